"""What a sample has in common with the training text: its longest copy, documents, and words."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grucli.data.documents import split
from grucli.data.vocabulary import Vocabulary
from grucli.data.windows import chunks
from grucli.nn.params import Ids
from grucli.novelty import candidates, keys

SEARCHED = 10**8  # symbols that are searched for copies, at most; this takes seconds
SHORTEST_COPY = 8  # symbols; shorter copies mean nothing, and are not searched for

WORD = re.compile(r"[^\W\d_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W\d_]+)*")
FEWEST_WORDS = 20  # with fewer, a share of them means nothing

# If a smaller share of the held-out words occurs in the training text, its writing has no spaces
# between words, or it is a list of rare words; then known words say nothing about a sample.
USUAL_SHARE = 0.7


@dataclass(frozen=True)
class Copied:
    """The longest passage that a sample has in common with the training text."""

    sample_chars: int  # number of characters of the sample
    chars: int  # number of characters of the passage; 0 if it is shorter than 8
    text: str  # the passage
    searched: int  # number of characters at the end of the text that were searched
    whole: bool  # whether the whole text was searched

    @property
    def share(self) -> float:
        return self.chars / self.sample_chars if self.sample_chars else 0.0


def find_copy(sample: Ids, train: Ids, vocabulary: Vocabulary) -> Copied:
    searched = train[-SEARCHED:]
    length, start = longest_copy(sample, searched)
    text = vocabulary.decode(sample[start : start + length]).decode(errors="replace")
    return Copied(len(sample), length, text, len(searched), len(searched) == len(train))


def longest_copy(sample: Ids, corpus: Ids, chunk: int = 2**20) -> tuple[int, int]:
    """Length and start of the longest passage of ``sample`` that also occurs in ``corpus``."""
    k = SHORTEST_COPY
    if len(sample) < k or len(corpus) < k:
        return 0, 0
    sample_keys = keys(sample, k)
    order = np.argsort(sample_keys, kind="stable")
    best = (0, 0)
    for places, there in candidates(sample_keys, corpus, k, chunk=chunk):  # of equal hashes
        first = np.searchsorted(sample_keys, there, "left", sorter=order)
        last = np.searchsorted(sample_keys, there, "right", sorter=order)
        for offset in range(int((last - first).max(initial=0))):
            hits = np.flatnonzero(first + offset < last)
            i, j = order[first[hits] + offset], places[hits]
            # if the symbols before are equal too, this is part of a longer passage
            begins = (i == 0) | (j == 0) | (sample[i - 1] != corpus[j - 1])
            best = max(best, _extend(sample, corpus, i[begins], j[begins]), key=lambda b: b[0])
    return best


def _extend(
    sample: Ids, corpus: Ids, i: npt.NDArray[np.intp], j: npt.NDArray[np.intp]
) -> tuple[int, int]:
    """Length and start of the longest common passage from a pair (sample[i], corpus[j])."""
    length, start = 0, 0
    while i.size:
        inside = (i + length < len(sample)) & (j + length < len(corpus))
        i, j = i[inside], j[inside]
        same = sample[i + length] == corpus[j + length]
        i, j = i[same], j[same]
        if i.size:
            length, start = length + 1, int(i[0])
    return length, start


# ---- documents


@dataclass(frozen=True)
class KnownDocuments:
    """How many documents of a sample, such as lines, are documents of the training text."""

    known: int  # number of documents of the sample that are there
    documents: int  # number of documents of the sample
    document: str  # what a document is, such as "line"


def known_documents(
    sample: Ids, train: Ids, vocabulary: Vocabulary, separator: int, document: str
) -> KnownDocuments:
    """Count known documents of a sample that begins with a document, without its last one."""
    end = vocabulary.decode(np.array([separator]))
    made = [one for one in vocabulary.decode(sample).split(end)[:-1] if one]
    known = {*made}.intersection(split(map(vocabulary.decode, chunks(train[-SEARCHED:])), end))
    return KnownDocuments(sum(one in known for one in made), len(made), document)


# ---- words


@dataclass(frozen=True)
class KnownWords:
    """How many words of a sample occur in the training text."""

    known: int  # number of words of the sample that occur there
    words: int  # number of words of the sample
    held_out: float  # share of the words of the held-out text that occur there


def known_words(sample: str, train: str, val: str) -> KnownWords | None:
    """Count known words; None if the texts have too few words, or no words between spaces."""
    of_sample, held_out = _words(sample), _words(val)
    if min(len(of_sample), len(held_out)) < FEWEST_WORDS:
        return None
    known = set(_words(train))
    share = sum(word in known for word in held_out) / len(held_out)
    if share < USUAL_SHARE:
        return None
    return KnownWords(sum(word in known for word in of_sample), len(of_sample), share)


def _words(text: str) -> list[str]:
    """The words of a text without the first and the last, which may be incomplete."""
    return [word.casefold() for word in WORD.findall(text)][1:-1]
