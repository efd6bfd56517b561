"""Count how many words of a sample are words of the training text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

WORD = re.compile(r"[^\W\d_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W\d_]+)*")
"""A run of letters, with apostrophes inside."""

FEWEST = 20
"""With fewer words than this, a share of them means nothing."""

HELD = 0.7
"""If a smaller share of the held-out words occurs in the training text, its writing has no spaces
between words, or it is a list of rare words; then known words say nothing about a sample."""


@dataclass(frozen=True)
class KnownWords:
    """How many words of a sample occur in the training text.

    Attributes:
        known: number of words of the sample that occur there.
        words: number of words of the sample.
        held_out: share of the words of the held-out text that occur there.
    """

    known: int
    words: int
    held_out: float


def known_words(sample: str, train: str, val: str) -> KnownWords | None:
    """Count the words of a sample that occur in the training text.

    Args:
        sample: the sample.
        train: the training text, or its end.
        val: the held-out text, or its start.

    Returns:
        The counts; None if the texts have too few words, or no words between spaces.
    """
    found, held_out = _words(sample), _words(val)
    if min(len(found), len(held_out)) < FEWEST:
        return None
    known = set(_words(train))
    share = _share(held_out, known)
    if share < HELD:
        return None
    return KnownWords(sum(word in known for word in found), len(found), share)


def _words(text: str) -> list[str]:
    """Return the words of a text without the first and the last, which may be incomplete."""
    return [word.casefold() for word in WORD.findall(text)][1:-1]


def _share(words: Iterable[str], known: set[str]) -> float:
    found = [word in known for word in words]
    return sum(found) / len(found)
