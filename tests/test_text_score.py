import math
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grucli.text_score import COLUMNS, SHOWN, TextScore


def of(symbols: str | bytes) -> TextScore:
    return TextScore(symbols, -np.arange(len(symbols), dtype=np.float64))


def columns(line: str) -> int:
    return sum(
        0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF")
        for one in line
    )


def test_sums() -> None:
    score = TextScore("abcd", np.log([0.5, 0.25, 1.0, 0.125]))
    assert score.nats == pytest.approx(6 * math.log(2))
    assert score.bits_per_symbol == pytest.approx(1.5)
    np.testing.assert_allclose(score.bits, [1, 2, 0, 3])
    assert len(score) == 4


def test_a_span_is_the_score_of_that_part() -> None:
    score = of("to be or not")
    span = score[3:9]
    assert (span.text, len(span)) == ("be or ", 6)
    assert span.nats == sum(range(3, 9))
    assert (score[-1].text, score[-1].nats) == ("t", 11.0)
    assert [one.text for one in score] == list("to be or not")
    with pytest.raises(IndexError):
        score[12]


def test_bytes_are_cut_as_bytes() -> None:
    score = of("aé".encode())
    assert len(score) == 3
    assert score.text == "aé"
    assert score[:2].text == "a\N{REPLACEMENT CHARACTER}"
    assert score[:2].symbols == b"a\xc3"
    assert str(score).splitlines()[1].split() == ["a", "c3", "a9"]
    assert "bits per byte" in str(score)


def test_an_empty_text() -> None:
    assert str(of("")) == "0 characters"
    assert of("").nats == 0
    assert math.isnan(of("").bits_per_symbol)


def test_it_prints_each_character_above_its_bits() -> None:
    score = TextScore("a \n", np.log([0.5, 0.25, 2.0**-130]))
    assert str(score) == (
        "3 characters, 92.19 nats, 44.333 bits per character\n"
        "    a    \N{SYMBOL FOR SPACE}    \N{SYMBOL FOR LINE FEED}\n"
        "  1.0  2.0  130"
    )
    assert repr(score) == str(score)
    assert "-0.0" not in str(TextScore("a", np.zeros(1)))


@given(st.text(max_size=100))
def test_lines_are_aligned_and_not_too_long(text: str) -> None:
    lines = str(of(text)).splitlines()
    for symbols, bits in zip(lines[1::2], lines[2::2], strict=True):
        assert columns(symbols) == len(bits) <= COLUMNS
    assert sum(len(line.split()) for line in lines[2::2]) == len(text)


def test_a_long_text_is_shown_in_part() -> None:
    score = of("a" * (SHOWN + 1234))
    assert f"1,234 more are not shown; [{SHOWN}:] has them" in repr(score)
    assert repr(score).count("a ") < str(score).count("a ")
    assert score._repr_html_().count("<span") == SHOWN


@given(st.text(max_size=60))
def test_html_holds_the_text_and_nothing_of_it_is_markup(text: str) -> None:
    page = of(text)._repr_html_()
    spans = re.findall(
        r'<span style="background:#ff(..)\1" title="[\d.]+ bits">([^<>]+)</span>', page
    )
    assert len(spans) == len(text)
    assert page.count("<") == 2 * len(spans) + 4
    assert not re.search(r"[\0-\t\x0b-\x1f\x7f]", page)


def test_html_is_redder_where_the_text_surprises() -> None:
    page = TextScore("a<b", np.log([1.0, 2.0**-4, 2.0**-9]))._repr_html_()
    assert re.findall(r"#ff(..)\1", page) == ["ff", "a8", "50"]
    assert "&lt;" in page
