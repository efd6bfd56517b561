import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grucli.nn.params import Ids
from grucli.run.copied_text import SHORTEST_COPY, longest_copy


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
