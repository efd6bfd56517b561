import codecs
import gzip
import os
from pathlib import Path

import pytest

from grucli.config import Data
from grucli.data import text_files as sources
from grucli.data.corpus import read
from grucli.data.decoding import lines_of, recognize
from grucli.errors import CorpusError
from tests.cli.helpers import write
from tests.data.helpers import problem, text_of


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"PK\3\4...word/document.xml", "a Word document"),
        (b"PK\3\4...xl/workbook.xml", "an Excel workbook"),
        (b"PK\3\4..mimetypeapplication/epub+zip", "an EPUB book"),
        (b"PK\3\4...notes.txt", "a zip archive"),
        (b"PK\3\4...meta.npy", "a NumPy archive, such as a checkpoint"),
        (b"\n%PDF-1.4\n", "a PDF document"),
        (b"{\\rtf1\\ansi", "a document in Rich Text Format"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"\xff\xd8\xff\xe0", "an image"),
        (b"RIFF\1\2\3\4WEBPVP8 ", "an image"),
        (b"\0\0\0\x18ftypheic", "an image"),
        (b"RIFF\1\2\3\4WAVEfmt ", "a sound or video file"),
        (b"\0\0\0\x18ftypmp42", "a sound or video file"),
        (b"ID3\4\0", "a sound or video file"),
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"PK\3\4...ppt/slides", "a PowerPoint presentation"),
        (b"PK\3\4application/vnd.oasis.opendocument.text", "an OpenDocument file"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "an Office document of the old format (.doc, .xls, .ppt)",
        ),
        (b"SQLite format 3\0", "a database of SQLite"),
        (b"BZh91AY&SY", "a bzip2 file"),
        (b"\xfd7zXZ\0", "an xz file"),
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        *((some, "an image") for some in (b"GIF89a", b"II*\0", b"BM\1\2\3\4" + bytes(4))),
        *((some, "a sound or video file") for some in (b"OggS\0", b"fLaC\0", b"\xff\xfb")),
        *((some, "a compiled program") for some in (b"\0asm", b"\xca\xfe\xba\xbe")),
        *((some, "binary data") for some in (b"\x93NUMPY", b"PAR1\x15", b"OTTO\0", b"wOF2\0")),
        (b"notes.txt".ljust(257, b"\0") + b"ustar\0", "a tar archive"),
        (b"\x7fELF\2", "a compiled program"),
        (b"MZ\x90\0\3", "a compiled program"),
        (bytes(range(256)), "binary data"),
        (bytes(range(1, 256)), "binary data"),
        ("a line of text".encode("utf-16-le") * 2, "UTF-16 text without a byte order mark"),
        ("a line of text".encode("utf-16-be") * 2, "UTF-16 text without a byte order mark"),
        ("Война и мир, том 1".encode("utf-16-le"), "UTF-16 text without a byte order mark"),
        ("Война и мир, том 1".encode("utf-32-be"), "UTF-32 text without a byte order mark"),
        ("It’s a text".encode("utf-32-le"), "UTF-32 text without a byte order mark"),
        (
            "It’s “typeset”, without a mark".encode("utf-16-le"),
            "UTF-16 text without a byte order mark",
        ),
    ],
)
def test_what_is_not_text_is_recognized(start: bytes, name: str) -> None:
    kind = recognize(start)
    assert kind is not None
    assert kind.name == name


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"MZ is not a word, BM neither, and RIFF is one",
        b"a text about %PDF- and {\\rtf",
        "Zeile\r\n\u96f6 \U0001f600 \0 \x1b[1m".encode(),
        "d\xe9j\xe0 vu".encode("cp1252"),
        "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0".encode("shift_jis"),
        "a line of text".encode("utf-16"),
        codecs.BOM_UTF8 + b"text",
        "\u96f6".encode()[:2],
        b"\0" * 40,
    ],
)
def test_text_of_any_encoding_is_text(start: bytes) -> None:
    assert recognize(start) is None


def test_zeros_are_expected_in_an_encoding_that_has_them() -> None:
    assert recognize("a line of text".encode("utf-16-le") * 2, "utf-16-le") is None


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize("chunk", [5, 6, 2**20])
def test_a_byte_is_counted_from_the_start_of_the_file(
    encoding: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CHUNK", chunk)
    Path("t.txt").write_bytes(codecs.BOM_UTF8 + b"a\rb\r\nc\x81def")
    assert "byte 0x81 at offset 9 (line 3)" in problem("t.txt", encoding=encoding)


@pytest.mark.parametrize("newlines", ["keep", "unify"])
@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 2**20])
def test_lines_are_counted_whatever_ends_them(
    chunk: int, newlines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CHUNK", chunk)
    Path("t.txt").write_bytes(b"a\rb\r\nc\n\r\x81d")
    assert "(line 5)" in problem("t.txt", newlines=newlines)
    Path("t.txt").write_bytes("a\r\nb\r\nc".encode("utf-16-le") + b"\x00\xd8a\x00")
    assert "(line 3)" in problem("t.txt", newlines=newlines, encoding="utf-16-le")


def test_a_pipe_that_is_not_utf8_is_one_message() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"abc\xff def\n")
    os.close(writer)
    assert "byte 0xff at offset 3 (line 1) is not utf-8" in problem(f"/dev/fd/{reader}")
    os.close(reader)


def test_a_byte_order_mark_is_dropped() -> None:
    Path("t.txt").write_bytes(b"\xef\xbb\xbfabc")
    assert text_of(read(["t.txt"], Data())) == "abc"


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8", "utf-32"])
def test_encodings(encoding: str) -> None:
    Path("t.txt").write_bytes("“naïve” text\n".encode(encoding))
    assert text_of(read(["t.txt"], Data(encoding=encoding))) == "“naïve” text\n"


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
    Path("t.txt").write_bytes(b"ein\nund it\x92s \x9d\n")  # \x9d: not in cp1252
    assert "if it is text, name its encoding with --set" in problem("t.txt")
    Path("t.txt").write_bytes("吾輩は猫である。".encode("shift_jis"))
    assert "if it is text, name its encoding with --set" in problem("t.txt")


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
    for encoding in ("utf-32", "utf-32-be"):
        mark = codecs.BOM_UTF32_BE * (encoding == "utf-32-be")
        Path("v.txt").write_bytes(mark + "hello world\nagain".encode(encoding))
        assert "--set data.encoding=utf-32 reads this file" in problem("v.txt")
    Path("cut.txt").write_bytes("abcé".encode()[:-1])
    assert "--set data.encoding=cp1252 reads" in problem("w.txt")
    assert "--set data.encoding=utf-16 reads" in problem("u.txt")
    assert "byte 0xc3 at offset 3 (line 1) is not utf-8 (unexpected end of data)" in problem(
        "cut.txt"
    )


# ---- lines

LINES = [
    (b"", []),
    (b"\n", [""]),
    (b"a", ["a"]),
    (b"a\n", ["a"]),
    (b"a\n\nb", ["a", "", "b"]),
    (b"a\r\nb\rc\r\n", ["a", "b", "c"]),
    (b"\xef\xbb\xbfa\x00\xc3\xa9\n", ["a\0\u00e9"]),
    (b"x" * 5000 + b"\ny", ["x" * 5000, "y"]),
    ("\U0001f600\u4f60\u2028\x0b\x85\n".encode(), ["\U0001f600\u4f60\u2028\x0b\x85"]),
]


@pytest.mark.parametrize("chunk", [1, 2, 7, 2**20])
@pytest.mark.parametrize(("content", "lines"), LINES)
def test_lines(
    monkeypatch: pytest.MonkeyPatch, content: bytes, lines: list[str], chunk: int
) -> None:
    monkeypatch.setattr(sources, "CHUNK", chunk)
    assert list(lines_of(write("text", content), Data())) == lines
    assert list(lines_of(write("text.gz", gzip.compress(content)), Data())) == lines
    whole = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert list(lines_of("text", Data(), whole=True)) == [whole.decode()]
    as_bytes = content.split(b"\n")[: content.count(b"\n") + (content[-1:] not in (b"", b"\n"))]
    assert list(lines_of("text", Data(level="byte"))) == as_bytes
    assert list(lines_of("text", Data(level="byte"), whole=True)) == [content]


def test_line_ends_that_are_kept_and_other_encodings() -> None:
    assert list(lines_of(write("text", b"a\r\nb\r"), Data(newlines="keep"))) == ["a\r", "b\r"]
    assert list(lines_of(write("text", b"caf\xe9\n"), Data(encoding="latin-1"))) == ["caf\u00e9"]
    paragraphs = Data(documents="paragraph")
    assert list(lines_of(write("text", b"a\nb\n\n\nc\n"), paragraphs)) == ["a\nb", "c"]
    write("text", b"caf\xe9\n")
    with pytest.raises(CorpusError, match=r"text: byte 0xe9 at offset 3 \(line 1\) is not utf-8"):
        list(lines_of("text", Data()))
