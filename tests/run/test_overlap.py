import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grucli.nn.params import Ids
from grucli.run.overlap import SHORTEST_COPY, KnownWords, known_words, longest_copy
from tests.texts import prose


def longest_copy_slowly(sample: str, corpus: str) -> int:
    return max(
        (
            n
            for i in range(len(sample))
            for n in range(1, len(sample) - i + 1)
            if sample[i : i + n] in corpus
        ),
        default=0,
    )


def ids_of(text: str) -> Ids:
    return np.frombuffer(text.encode(), np.uint8)


@given(st.text("ab", max_size=40), st.text("ab", max_size=200))
def test_longest_copy(sample: str, corpus: str) -> None:
    length, start = longest_copy(ids_of(sample), ids_of(corpus), chunk=32)
    expected = longest_copy_slowly(sample, corpus)
    assert length == (expected if expected >= SHORTEST_COPY else 0)
    assert sample[start : start + length] in corpus


def test_a_copy_is_found_across_chunks() -> None:
    corpus = "".join(chr(97 + i * i % 26) for i in range(500)) + "the very passage" + "zyx" * 50
    length, start = longest_copy(ids_of("...the very passage!"), ids_of(corpus), chunk=16)
    assert (length, start) == (16, 3)


def test_a_long_run_of_one_symbol_does_not_take_for_ever() -> None:
    zeros = np.zeros(300_000, np.uint8)
    assert longest_copy(zeros[:300], zeros)[0] == 300


def test_words_of_a_sample_are_looked_up_in_the_training_text() -> None:
    text = "The quiet river doesn\u2019t stop, and the old boat is on it. " * 9
    sample = "xx " + "the river doesn\u2019t blorp. " * 6 + "yy"
    assert known_words(sample, text, text) == KnownWords(18, 24, 1.0)


def test_nothing_is_said_of_few_words_or_of_writing_without_spaces() -> None:
    text = prose(4000)
    assert known_words(text[:200], text, text) is not None
    assert known_words(text[:40], text, text) is None
    lines = ["".join(chr(0x4E00 + (7 * i * j) % 5000) for j in range(12)) for i in range(90)]
    assert (
        known_words("\n".join(lines[:30]), "\n".join(lines[30:60]), "\n".join(lines[60:])) is None
    )
