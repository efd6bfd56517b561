"""Beams against the enumeration of all texts, and against a plain search."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grucli.beams import Beam
from grucli.errors import ArgumentError, UnknownCharacterError
from grucli.language_model import LanguageModel
from tests.test_language_model import make, of_list

Found = tuple[float, str, bool]


def children(lm: LanguageModel, prompt: str, begun: str, stops: list[str]) -> Iterator[Found]:
    """Each text that is one symbol longer, without a stop text, and its own log probability."""
    for symbol in map(chr, lm.vocabulary.symbols.tolist()):
        text = begun + symbol
        log_probs = lm.score(prompt + text).log_probs[len(prompt) :]
        ends = sorted(filter(text.endswith, stops), key=len, reverse=True)  # the longest counts
        shown = text[: len(text) - len(ends[0])] if ends else text
        yield float(log_probs.sum()), shown, bool(ends)


def likeliest(
    lm: LanguageModel, prompt: str, length: int, stops: list[str], width: int
) -> list[Found]:
    """A beam search in Python; with a large width, an enumeration."""
    live, ended = [(0.0, "", False)], list[Found]()
    for _ in range(length):
        longer = [one for _, text, _ in live for one in children(lm, prompt, text, stops)]
        longer.sort(key=lambda one: -one[0])
        ended += [one for one in longer if one[2]]
        live = [one for one in longer if not one[2]][:width]
    return sorted(ended + live, key=lambda one: -one[0])[:width]


def check(found: list[Beam], expected: list[Found]) -> None:
    assert [(one.text, one.ended) for one in found] == [(text, end) for _, text, end in expected]
    np.testing.assert_allclose([one.log_prob for one in found], [one[0] for one in expected], 1e-4)
    for one in found:
        assert len(one) == len(one.log_probs)
        assert one.ended or one.log_prob == pytest.approx(-one.nats)
        assert one.log_prob <= -one.nats + 1e-9


CASES: list[tuple[LanguageModel, str, int, list[str]]] = [
    (of_list(symbols="\nab"), "", 5, ["\n"]),
    (of_list(symbols="\nabc"), "ca", 4, ["\n", "bb"]),
    (make("abc", cell="lstm"), "ab", 4, []),
    (make("ab\n", layers=1), "a\n", 6, ["aa", "ba\n"]),
    (make("abc"), "c", 4, ["abca", "b", "x"]),
    (make("abc"), "c", 4, ["b", "ab", "ca"]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case[1:]))
@pytest.mark.parametrize("width", [1, 2, 3, 7, 2000])
def test_beams_are_those_of_a_plain_search(case: tuple[Any, ...], width: int) -> None:
    lm, prompt, length, stops = case
    given = [stop for stop in stops if stop != "\n" or not lm.documents]
    found = lm.beams(width, length, prompt=prompt, stop=given)
    check(found, likeliest(lm, prompt, length, stops, width))


def test_a_wide_beam_has_all_texts() -> None:
    lm = of_list(symbols="\nab")
    found = lm.beams(1000, 3)
    assert len(found) == len({one.text for one in found}) == 1 + 2 + 4 + 8
    assert sum(np.exp(one.log_prob) for one in found) == pytest.approx(1)
    assert [one.ended for one in found] == [len(one) < 3 for one in found]


def test_a_single_beam_of_running_text_is_the_sample_at_temperature_0() -> None:
    for lm in (make(), make(cell="lstm")):
        for prompt in ("", "a", "bé"):
            (beam,) = lm.beams(1, 20, prompt=prompt)
            assert beam.text == lm.sample(20, prompt=prompt, temperature=0, echo=False)


def test_equal_beams_come_in_the_order_of_their_symbols() -> None:
    letters = "abcdefghijkl"
    lm = make(letters)
    lm.model.params.flat[:] = 0
    texts = [one.text for one in lm.beams(30, 2, prompt="a")]
    assert texts == [one + other for one in letters for other in letters][:30]


def test_the_unknown_character_is_not_written() -> None:
    lm = make("ab\N{REPLACEMENT CHARACTER}", min_count=2)
    found = lm.beams(100, 2, prompt="\N{SNOWMAN}")
    assert {one.text for one in found} == {"aa", "ab", "ba", "bb"}


def test_bytes_are_found_too() -> None:
    lm = make("é\na", level="byte", documents="line")
    found = lm.beams(400, 3)
    assert len(found) == 1 + 3 + 9 + 27
    assert {type(one.symbols) for one in found} == {bytes}


def test_a_stop_text_may_begin_like_the_mark_of_utf_8() -> None:
    for stop in ("\ufeff", "\ufeffa"):
        found = make("ab\ufeff").beams(3**4, 4, stop=stop)
        assert {one.text.count(stop) for one in found} == {0}
        assert any("\ufeffb" in one.text for one in found) == (stop != "\ufeff")


def test_nothing_is_compiled_for_beams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grucli.compilation.select", lambda *_: pytest.fail("it compiles"))
    assert len(replace(make(), compiled=True).beams(3, 2)) == 3


def test_nothing_to_add_is_one_beam() -> None:
    (one,) = make().beams(5, 0, prompt="a")
    assert (one.text, one.log_prob, one.ended) == ("", 0.0, False)


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="count must be 1 or above, not 0"):
        make().beams(0)
    with pytest.raises(ArgumentError, match="length must be at most 41,943 for 100 beams"):
        make().beams(100, 10**6)
    with pytest.raises(ArgumentError, match="stop needs a text"):
        make().beams(2, stop="")
    with pytest.raises(UnknownCharacterError):
        make().beams(2, prompt="xyz")
