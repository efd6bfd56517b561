import codecs

import pytest

from grucli.data.decoding import recognize


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
        (b"notes.txt".ljust(257, b"\0") + b"ustar\0", "a tar archive"),
        (b"\x7fELF\2", "a compiled program"),
        (b"MZ\x90\0\3", "a compiled program"),
        (bytes(range(256)), "binary data"),
        (bytes(range(1, 256)), "binary data"),
        ("a line of text".encode("utf-16-le") * 2, "UTF-16 text without a byte order mark"),
        ("a line of text".encode("utf-16-be") * 2, "UTF-16 text without a byte order mark"),
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
