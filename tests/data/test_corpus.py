import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grucli.config import Data
from grucli.data import corpus
from grucli.data import text_files as sources
from grucli.data.corpus import read
from grucli.data.documents import LINE_END
from grucli.errors import UnknownCharacterError
from tests.data.helpers import problem, text_of


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(
        st.one_of(st.sampled_from("\r\n"), st.characters(exclude_categories=["Cs"])), min_size=1
    ),
    chunk=st.integers(1, 9),
    newlines=st.sampled_from(["unify", "keep"]),
)
def test_any_text_survives_whatever_the_chunks(text: str, chunk: int, newlines: str) -> None:
    text = text.removeprefix("\ufeff") or "x"
    Path("t.txt").write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CHUNK", chunk)
        result = read(["t.txt"], Data.model_validate({"newlines": newlines}))
    expected = text if newlines == "keep" else io.StringIO(text, newline=None).getvalue()
    assert text_of(result) == expected
    assert list(result.vocabulary.symbols) == sorted(map(ord, set(expected)))
    assert result.text_id.bytes == len(text.encode())
    assert result.unified == (0 if newlines == "keep" else text.count("\r"))


def test_emoji_and_chinese_are_kept_and_a_line_end_is_a_line_end() -> None:
    text = "Zeile\r\n零\U0001f600 mit\rallem\n"
    Path("t.txt").write_bytes(text.encode())
    assert text_of(read(["t.txt"], Data())) == "Zeile\n零\U0001f600 mit\nallem\n"
    assert text_of(read(["t.txt"], Data(newlines="keep"))) == text
    assert text_of(read(["t.txt"], Data(level="byte"))) == text


def test_each_file_has_line_ends_of_its_own() -> None:
    Path("a.txt").write_bytes(b"a\r")
    Path("b.txt").write_bytes(b"\nb\r")
    assert text_of(read(["a.txt", "b.txt"], Data())) == "a\n\nb\n"
    assert text_of(read(["a.txt", "b.txt"], Data(documents="line"))) == "a\n\nb\n"


def test_any_file_is_bytes() -> None:
    content = bytes(range(256)) * 2
    Path("t.bin").write_bytes(content)
    result = read(["t.bin"], Data(level="byte"))
    assert result.vocabulary.decode(result.ids) == content
    assert result.ids.dtype == np.uint8


def test_ids_have_the_smallest_type() -> None:
    Path("t.txt").write_text("".join(chr(0x4E00 + i) for i in range(300)), encoding="utf-8")
    assert read(["t.txt"], Data()).ids.dtype == np.uint16


def test_the_vocabulary_of_a_checkpoint() -> None:
    Path("a.txt").write_text("abcd", encoding="utf-8")
    Path("b.txt").write_text("bdxb", encoding="utf-8")
    vocabulary = read(["a.txt"], Data()).vocabulary
    with pytest.raises(UnknownCharacterError, match="'x' LATIN SMALL LETTER X"):
        read(["b.txt"], Data(), vocabulary)
    assert list(read(["b.txt"], Data(), vocabulary, "skip").ids) == [1, 3, 1]


def test_line_ends_are_never_too_rare_in_a_list() -> None:
    Path("t.txt").write_text("aaab\nab", encoding="utf-8")
    assert read(["t.txt"], Data(min_count=2)).vocabulary.id_of(LINE_END) is None
    listed = read(["t.txt"], Data(min_count=2, documents="line"))
    assert listed.vocabulary.id_of(LINE_END) is not None


def test_a_file_of_a_list_ends_a_line() -> None:
    Path("names").mkdir()
    for name in ("Anna", "Bert", "Cleo"):
        Path(f"names/{name}.txt").write_text(name, encoding="utf-8")
    listed = read(["names"], Data(documents="line"))
    assert listed.vocabulary.decode(listed.ids) == b"Anna\nBert\nCleo"
    plain = read(["names"], Data())
    assert plain.vocabulary.decode(plain.ids) == b"AnnaBertCleo"


def test_rare_characters_are_read_as_one() -> None:
    Path("t.txt").write_text("aaabbbccx\U0001f600", encoding="utf-8")
    result = read(["t.txt"], Data(min_count=3))
    assert text_of(result) == "aaabbb" + 4 * "\ufffd"
    assert (result.rare, result.vocabulary.unknown_id) == (4, 2)
    assert read(["t.txt"], Data(min_count=1)).vocabulary.unknown_id is None
    Path("u.txt").write_text("abz", encoding="utf-8")
    assert list(read(["u.txt"], Data(min_count=3), result.vocabulary).ids) == [0, 1, 2]
    assert list(read(["u.txt"], Data(min_count=3), result.vocabulary, "skip").ids) == [0, 1]
    assert "leaves none of the 5 different" in problem("t.txt", min_count=4)


def test_no_character_is_rare_then_there_is_no_symbol_for_them() -> None:
    Path("t.txt").write_text("aabb", encoding="utf-8")
    vocabulary = read(["t.txt"], Data(min_count=2)).vocabulary
    assert (len(vocabulary), vocabulary.unknown_id) == (2, None)


def test_memory_stays_below_five_bytes_a_character() -> None:
    chars = 4_000_000
    text = "Grüße, 世界 and some \U0001f600 more plain text with it. " * (chars // 46)
    Path("t.txt").write_text(text, encoding="utf-8")
    chars = len(text)
    del text
    read(["t.txt"], Data())  # what is imported and cached on the way is not the corpus's
    tracemalloc.start()
    try:
        read(["t.txt"], Data())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    fixed = 4 * corpus.CODE_POINTS + 16 * sources.CHUNK  # the table and one chunk in all its forms
    assert peak - fixed < 5 * chars
