import gzip
import io
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grucli.config import Data
from grucli.data import builtin as corpora
from grucli.data import corpus
from grucli.data import text_files as sources
from grucli.data.corpus import Corpus, read
from grucli.errors import CorpusError, UnknownCharacterError, UsageError


def text_of(read_corpus: Corpus) -> str:
    return read_corpus.vocabulary.decode(read_corpus.ids).decode()


def problem(*sources: object, **data: object) -> str:
    with pytest.raises(CorpusError) as caught:
        read([str(source) for source in sources], Data(**data))
    return str(caught.value)


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


def test_a_byte_order_mark_is_dropped() -> None:
    Path("t.txt").write_bytes(b"\xef\xbb\xbfabc")
    assert text_of(read(["t.txt"], Data())) == "abc"


def test_files_follow_one_another_and_gz_is_read() -> None:
    Path("a.txt").write_text("first ", encoding="utf-8")
    Path("b.txt.gz").write_bytes(gzip.compress(b"second"))
    result = read(["a.txt", "b.txt.gz"], Data())
    assert text_of(result) == "first second"
    assert result.sources == ("a.txt", "b.txt.gz")


def test_standard_input() -> None:
    code = "import sys; from grucli.config import Data; from grucli.data.corpus import read; "
    code += "c = read(['-'], Data()); print(c.vocabulary.decode(c.ids))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"h\xc3\xa9llo", capture_output=True, check=True
    )
    assert done.stdout.strip() == b"b'h\\xc3\\xa9llo'"
    assert "named twice" in problem("-", "-")


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8", "utf-32"])
def test_encodings(encoding: str) -> None:
    Path("t.txt").write_bytes("“naïve” text\n".encode(encoding))
    assert text_of(read(["t.txt"], Data(encoding=encoding))) == "“naïve” text\n"


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


def test_missing_directory_empty() -> None:
    Path("empty.txt").touch()
    Path("dir").mkdir()
    assert "nothing.txt: there is no such file" in problem("nothing.txt")
    assert "dir: there is no text in this directory" in problem("dir")
    assert "empty.txt: the file is empty" in problem("empty.txt")


def test_a_directory_stands_for_the_files_below_it_in_the_order_of_their_paths() -> None:
    Path("dir/b").mkdir(parents=True)
    Path("dir/.git").mkdir()
    Path("dir/z.txt").write_text("last", encoding="utf-8")
    Path("dir/b/2.txt.gz").write_bytes(gzip.compress(b"second "))
    Path("dir/b/1.txt").write_text("first ", encoding="utf-8")
    for ignored in ("dir/empty.txt", "dir/.hidden", "dir/.git/config"):
        Path(ignored).write_text("" if "empty" in ignored else "hidden", encoding="utf-8")
    result = read(["dir"], Data())
    assert text_of(result) == "first second last"
    assert (result.sources, result.files) == (("dir",), 3)
    Path("dir/b/3.bin").write_bytes(b"\xff\x00")
    assert text_of(read(["dir"], Data())) == "first second last"
    Path("dir/b/4.txt").write_bytes(b"caf\xe9")
    assert f"{Path('dir/b/4.txt')}: byte 0xe9" in problem("dir")


def test_linked_directories_are_followed_once_and_runs_are_left_out() -> None:
    Path("dir/runs/1/checkpoints").mkdir(parents=True)
    Path("elsewhere").mkdir()
    Path("elsewhere/b.txt").write_text("linked", encoding="utf-8")
    Path("dir/a.txt").write_text("own ", encoding="utf-8")
    Path("dir/runs/1/run.json").write_text("{}", encoding="utf-8")
    Path("dir/runs/1/checkpoints/step-1.npz").write_bytes(b"\xff")
    try:
        Path("dir/link").symlink_to(Path("elsewhere").resolve())
        Path("dir/loop").symlink_to(Path("dir").resolve())
    except OSError:
        pytest.skip("no links here")
    assert text_of(read(["dir"], Data())) == "own linked"


def test_an_empty_file_is_an_error_only_where_it_is_named() -> None:
    Path("dir").mkdir()
    Path("dir/a.txt").write_text("text", encoding="utf-8")
    Path("dir/bom.txt").write_bytes(b"\xef\xbb\xbf")
    Path("dir/empty.gz").write_bytes(gzip.compress(b""))
    assert text_of(read(["dir"], Data())) == "text"
    assert "bom.txt: the file is empty" in problem("dir/bom.txt")
    Path("dir/a.txt").unlink()
    assert "dir: there is no text in these files" in problem("dir")


def test_line_ends_are_never_too_rare_in_a_list() -> None:
    Path("t.txt").write_text("aaab\nab", encoding="utf-8")
    assert read(["t.txt"], Data(min_count=2)).vocabulary.line_end is None
    listed = read(["t.txt"], Data(min_count=2, documents="line"))
    assert listed.vocabulary.line_end is not None


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


def test_a_broken_gz() -> None:
    Path("cut.gz").write_bytes(gzip.compress(b"hello" * 1000)[:-20])
    Path("plain.gz").write_bytes(b"hello")
    assert "cut.gz: not a complete gzip file" in problem("cut.gz")
    assert "plain.gz: not a complete gzip file" in problem("plain.gz")


@pytest.mark.parametrize("chunk", [7, 2**20])
def test_a_byte_that_is_not_utf8_is_located_and_the_way_out_works(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CHUNK", chunk)
    content = "ein Wörtchen\nund it’s “smart”\n".encode()
    bad = content[:20] + b"\x92" + content[20:]
    Path("t.txt").write_bytes(bad)
    message = problem("t.txt")
    assert "t.txt: byte 0x92 at offset 20 (line 2) is not utf-8 (invalid start byte)" in message
    assert "from line 1 on there are UTF-8 characters" in message
    assert "reads this file" not in message, "another encoding would garble the first line"
    Path("t.txt").write_bytes(bad := b"ein\nund it\x92s \x9d\n")
    assert "--set data.encoding=latin-1 reads this file" in problem("t.txt")  # \x9d: not in cp1252
    assert read(["t.txt"], Data(encoding="latin-1")).text_id.bytes == len(bad)


@pytest.mark.parametrize("chunk", [5, 2**20])
def test_where_each_of_two_encodings_begins(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK", chunk)
    first = "plain\r\nfirst café\r\nthen Größe\r\n"
    Path("t.txt").write_bytes(first.encode() + b"later\r\nM\xfcller\r\n")
    message = problem("t.txt")
    assert f"byte 0xfc at offset {len(first.encode()) + 8} (line 5)" in message
    assert "from line 2 on there are UTF-8 characters" in message
    assert "convert what is not UTF-8 (often cp1252), from line 5 on" in message


def test_the_encoding_suggested_is_the_first_that_reads_the_whole_file() -> None:
    Path("w.txt").write_bytes("It’s".encode("cp1252"))
    Path("u.txt").write_bytes("It’s".encode("utf-16"))
    Path("cut.txt").write_bytes("abcé".encode()[:-1])
    assert "--set data.encoding=cp1252 reads" in problem("w.txt")
    assert "--set data.encoding=utf-16 reads" in problem("u.txt")
    assert "byte 0xc3 at offset 3 (line 1) is not utf-8 (unexpected end of data)" in problem(
        "cut.txt"
    )


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


# ---- corpora that come with Python


def test_the_language_reference() -> None:
    text = "".join(corpora.chunks("python-reference"))
    assert 300_000 < len(text) < 2_000_000
    assert 'The "assert" statement' in text


def test_the_standard_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pkg" / "test").mkdir(parents=True)
    (tmp_path / "b.py").write_bytes("# -*- coding: latin-1 -*-\n# é\n".encode("latin-1"))
    (tmp_path / "a.py").write_text("a = 1\n", encoding="utf-8")
    (tmp_path / "pkg" / "test" / "t.py").write_text("left out", encoding="utf-8")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path)})
    assert list(corpora.chunks("python-stdlib")) == ["a = 1\n", "# -*- coding: latin-1 -*-\n# é\n"]


def test_a_corpus_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there are python-reference and python-stdlib"):
        corpora.chunks("shakespeare")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(CorpusError, match="keeps no source files"):
        list(corpora.chunks("python-stdlib"))
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(CorpusError, match="without pydoc_data"):
        corpora.chunks("python-reference")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no file can have this name"):
        read([name], Data())
