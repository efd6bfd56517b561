"""Recognize files that are not text, by their first bytes."""

import codecs
from dataclasses import dataclass

START = 2**15
"""Number of first bytes that are looked at."""

FEW = 16
"""With fewer bytes than this, zeros do not show that a file is UTF-16."""

CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
"""Control characters that are rare in text of any encoding but UTF-16 and UTF-32."""

MANY = 0.05
"""With more control characters than this share, bytes that are not UTF-8 are binary data."""


@dataclass(frozen=True)
class FileType:
    """A type of file that is not text.

    Attributes:
        name: the type, with its article.
        advice: how to get a text from such a file.
    """

    name: str
    advice: str


SAVE_AS_TEXT = "open it in the program that made it, save it as plain text (.txt), and give that"
UNPACK = "unpack it, and give the text files in it"
NO_TEXT = "give a text file"

_ZIPPED = (
    (b"word/", FileType("a Word document", SAVE_AS_TEXT)),
    (b"xl/", FileType("an Excel workbook", "save the sheet as text (.csv or .txt), and give that")),
    (b"ppt/", FileType("a PowerPoint presentation", SAVE_AS_TEXT)),
    (b"application/epub+zip", FileType("an EPUB book", "convert it to plain text, and give that")),
    (b"application/vnd.oasis.opendocument", FileType("an OpenDocument file", SAVE_AS_TEXT)),
    (b".npy", FileType("a NumPy archive, such as a checkpoint", NO_TEXT)),
)
"""(Bytes near the start of a zip file, what the file is)."""

_ZIP = FileType("a zip archive", UNPACK)
_IMAGE = FileType("an image", NO_TEXT)
_SOUND = FileType("a sound or video file", NO_TEXT)
_PROGRAM = FileType("a compiled program", NO_TEXT)
_FONT = FileType("a font", NO_TEXT)
_DATA = FileType("binary data", NO_TEXT)
_GZIP = FileType("a gzip file", "give its name the ending .gz, or unpack it with gunzip")
_TAR = FileType("a tar archive", UNPACK)
_OLD_OFFICE = FileType("an Office document of the old format (.doc, .xls, .ppt)", SAVE_AS_TEXT)
_PDF = FileType("a PDF document", "extract its text, for example with pdftotext, and give that")
_RTF = FileType("a document in Rich Text Format", SAVE_AS_TEXT)
_UTF16 = FileType("UTF-16 text without a byte order mark", "--set data.encoding={} reads it")

_AT_START: tuple[tuple[bytes, FileType], ...] = (
    (b"{\\rtf", _RTF),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLD_OFFICE),
    (b"\x1f\x8b\x08", _GZIP),
    *((magic, _IMAGE) for magic in (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")),
    *((magic, _IMAGE) for magic in (b"II*\0", b"MM\0*", b"8BPS\0\1", b"\0\0\1\0", b"\0\0\2\0")),
    *((magic, _SOUND) for magic in (b"ID3\2", b"ID3\3", b"ID3\4", b"OggS\0", b"fLaC\0")),
    *((magic, _SOUND) for magic in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\x1aE\xdf\xa3")),
    *((magic, _SOUND) for magic in (b"MThd\0\0", b"FLV\1")),
    (b"BZh91AY&SY", FileType("a bzip2 file", "unpack it with bunzip2")),
    (b"\xfd7zXZ\0", FileType("an xz file", "unpack it with unxz")),
    (b"\x28\xb5\x2f\xfd", FileType("a zstd file", "unpack it with unzstd")),
    (b"7z\xbc\xaf\x27\x1c", FileType("a 7z archive", UNPACK)),
    (b"Rar!\x1a\x07", FileType("a RAR archive", UNPACK)),
    *((magic, _PROGRAM) for magic in (b"\x7fELF", b"\xca\xfe\xba\xbe", b"\0asm")),
    *((magic, _PROGRAM) for magic in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe")),
    *((magic, _FONT) for magic in (b"\0\1\0\0\0", b"OTTO\0", b"wOFF\0", b"wOF2\0")),
    (b"SQLite format 3\0", FileType("a database of SQLite", "export its texts, and give those")),
    *((magic, _DATA) for magic in (b"\x93NUMPY", b"\x89HDF\r\n", b"PAR1\x15")),
)
"""(First bytes, what the file is)."""


def recognize(start: bytes, encoding: str = "utf-8") -> FileType | None:
    """Return the type of a file that is not text, or None.

    Args:
        start: the first bytes of the file, at most ``START`` of them.
        encoding: the encoding in which the file would be read.
    """
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return next((kind for part, kind in _ZIPPED if part in start), _ZIP)
    found = next((kind for magic, kind in _AT_START if start.startswith(magic)), None)
    return found or _by_structure(start) or _by_controls(start, encoding)


def _by_structure(start: bytes) -> FileType | None:
    """Recognize a file by bytes that are not its first, or by first bytes that text can have."""
    if start.lstrip().startswith(b"%PDF-"):
        return _PDF
    if start[257:263] in (b"ustar\0", b"ustar "):
        return _TAR
    if start[:4] == b"RIFF" and start[8:12] in (b"WAVE", b"AVI "):
        return _SOUND
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return _IMAGE
    if start[:3] == bytes(3) and start[4:8] == b"ftyp":
        return _IMAGE if start[8:12] in (b"heic", b"heix", b"mif1", b"avif") else _SOUND
    if start[:2] == b"BM" and start[6:10] == bytes(4):
        return _IMAGE
    return _PROGRAM if start[:2] == b"MZ" and b"\0" in start[:64] else None


def _by_controls(start: bytes, encoding: str) -> FileType | None:
    """Recognize UTF-16, and binary data: bytes that are not UTF-8, with many control characters."""
    if codecs.lookup(encoding).name != "utf-8":
        return None
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None  # the message about the encoding names the right one
    for zeros, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(start) >= FEW and not any(start[zeros::2]) and all(start[1 - zeros :: 2]):
            return FileType(_UTF16.name, _UTF16.advice.format(name))
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        controls = len(start) - len(start.translate(None, CONTROLS))
        return _DATA if b"\0" in start or controls > MANY * len(start) else None
    return None
