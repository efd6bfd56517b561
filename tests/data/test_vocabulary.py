from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grucli.config import Data
from grucli.data.vocabulary import UNK, Vocabulary, smallest_unsigned
from grucli.errors import CorpusError, UnknownCharacterError


def of(text: str) -> Vocabulary:
    return Vocabulary(np.array(sorted(map(ord, set(text))), np.uint32))


def ids_of(vocabulary: Vocabulary, text: str | bytes, *rules: Any, **named: Any) -> np.ndarray:
    ids = vocabulary.find(vocabulary.points(text), *rules, **named)
    return ids[ids >= 0]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_text_survives(text: str) -> None:
    vocabulary = of(text)
    assert vocabulary.decode(ids_of(vocabulary, text)).decode() == text


def test_bytes_survive() -> None:
    vocabulary = Vocabulary(np.arange(256, dtype=np.uint32), Data(level="byte"))
    assert vocabulary.decode(ids_of(vocabulary, "é\n")) == "é\n".encode()
    assert vocabulary.decode(np.array([0, 255])) == b"\x00\xff"


def test_unknown_characters_are_named() -> None:
    with pytest.raises(UnknownCharacterError) as caught:
        ids_of(of("ab"), "aéb\U0001f600\x07é")
    message = str(caught.value)
    assert "the characters unnamed (U+0007)" in message
    assert "'é' LATIN SMALL LETTER E WITH ACUTE (U+00E9)" in message
    assert "'\U0001f600' GRINNING FACE (U+1F600)" in message
    assert message.count("U+00E9") == 1


def test_many_unknown_characters_are_counted() -> None:
    with pytest.raises(UnknownCharacterError, match=r" and 12 more$"):
        ids_of(of("ab"), "CDEFGHIJKLMNOPQRSTUV")


@pytest.mark.parametrize(
    ("known", "text", "proposed"),
    [
        (
            "acef\u00e9",
            "cafe\u0301",
            "it knows composed letters: compose the text (Unicode form NFC)",
        ),
        (
            "acef\u0301",
            "caf\u00e9",
            "it knows letters and marks: decompose the text (Unicode form NFD)",
        ),
        ("am", "aMa", "it knows 'm' for 'M'"),
        ("AM", "mA", "it knows 'M' for 'm'"),
        ("a'", "a\u2019", "it knows \"'\" for '\u2019'"),
        ("a\u2019", "a'", "it knows '\u2019' for \"'\""),
        ('a"', "\u201ca\u201d", "it knows '\"' for '\u201c', '\"' for '\u201d'"),
        ("ae", "ae\u0301", None),
        ("a", "M\u00e9\u2019", None),
    ],
)
def test_a_similar_character_that_is_known_is_proposed(
    known: str, text: str, proposed: str | None
) -> None:
    with pytest.raises(UnknownCharacterError) as caught:
        ids_of(of(known), text)
    if proposed is None:
        assert "it knows" not in str(caught.value)
    else:
        assert str(caught.value).endswith(f"; {proposed}")


def test_unknown_characters_can_be_skipped() -> None:
    vocabulary = of("ab")
    assert vocabulary.decode(ids_of(vocabulary, "xaxbx", "skip")) == b"ab"


def test_bytes_are_read_as_utf8_without_a_byte_order_mark() -> None:
    vocabulary = of("aé")
    np.testing.assert_array_equal(ids_of(vocabulary, "\ufeffaé".encode()), ids_of(vocabulary, "aé"))
    with pytest.raises(CorpusError, match="byte 0xe9 at offset 4 of the text is not UTF-8"):
        ids_of(vocabulary, b"\xef\xbb\xbfa\xe9")


def test_rare_characters_have_an_id_where_there_is_a_lower_bound() -> None:
    symbols = np.array([ord("a"), UNK])
    assert Vocabulary(symbols, Data()).unknown_id is None
    rare = Vocabulary(symbols, Data(min_count=2))
    assert rare.unknown_id == 1
    assert ids_of(rare, "axay").tolist().count(rare.unknown_id) == 2
    both = Vocabulary(np.union1d(of("ab").symbols, rare.symbols), Data(min_count=2))
    assert (len(both), both.unknown_id) == (3, 2)


@pytest.mark.parametrize(
    ("count", "dtype"), [(1, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4")]
)
def test_smallest_type(count: int, dtype: str) -> None:
    assert smallest_unsigned(count) == np.dtype(dtype)


def test_a_letter_of_the_held_out_text_is_not_proposed_for_itself() -> None:
    vocabulary = Vocabulary(np.array(list(map(ord, "Jj")), np.uint32))
    with pytest.raises(UnknownCharacterError) as caught:
        ids_of(vocabulary, "J", unseen=[0])
    assert "it knows 'j' for 'J'" in str(caught.value)
    assert "'J' for 'J'" not in str(caught.value)
