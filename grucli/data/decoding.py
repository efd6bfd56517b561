"""From the bytes of a file to its symbols; what is not text is recognized by its first bytes."""

import codecs
import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from grucli.config import Data
from grucli.data.documents import LINE_END, Documents, end_of, split
from grucli.data.text_files import can_be_read_again, raw_chunks
from grucli.errors import CorpusError
from grucli.nn.params import Ids

START = 2**15  # first bytes that are looked at
FEW = 16  # with fewer bytes than this, zeros do not show that a file is UTF-16
CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))  # rare in all encodings of 8 bits
MANY = 0.05  # with more of them than this share, bytes that are not UTF-8 are binary data

MOST = 0.9  # share of control characters in one half of the bytes of UTF-16 without a mark

MARKS = {  # those of UTF-32 first, since one of them begins as one of UTF-16 does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the byte order marks with which files begin."""

NO_TEXT = "give a text file"
OLD_OFFICE = rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP = rb"PK(\x03\x04|\x05\x06).*"


class FileType(NamedTuple):
    """A type of file that is not text."""

    name: str  # with its article
    advice: str  # how to get a text from such a file


KINDS = {
    "open it in the program that made it, save it as plain text (.txt), and give that": {
        "a Word document": ZIP + rb"word/",
        "a PowerPoint presentation": ZIP + rb"ppt/",
        "an OpenDocument file": ZIP + rb"application/vnd\.oasis\.opendocument",
        "a document in Rich Text Format": rb"\{\\rtf",
        "an Office document of the old format (.doc, .xls, .ppt)": OLD_OFFICE,
    },
    "save the sheet as text (.csv or .txt), and give that": {"an Excel workbook": ZIP + rb"xl/"},
    "convert it to plain text, and give that": {"an EPUB book": ZIP + rb"application/epub\+zip"},
    "extract its text, for example with pdftotext, and give that": {"a PDF document": rb"\s*%PDF-"},
    "export its texts, and give those": {"a database of SQLite": rb"SQLite format 3\0"},
    "give its name the ending .gz, or unpack it with gunzip": {"a gzip file": rb"\x1f\x8b\x08"},
    "unpack it with bunzip2": {"a bzip2 file": rb"BZh91AY&SY"},
    "unpack it with unxz": {"an xz file": rb"\xfd7zXZ\0"},
    "unpack it with unzstd": {"a zstd file": rb"\x28\xb5\x2f\xfd"},
    NO_TEXT: {
        "a NumPy archive, such as a checkpoint": ZIP + rb"\.npy",
        "an image": rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*"
        rb"|RIFF.{4}WEBP|\0\0\0.ftyp(heic|heix|mif1|avif)|BM.{4}\0{4}",
        "a sound or video file": rb"ID3[\x02-\x04]|OggS\0|fLaC\0|\xff\xfb|\x1aE\xdf\xa3"
        rb"|RIFF.{4}(WAVE|AVI )|\0\0\0.ftyp",
        "a compiled program": rb"\x7fELF|\xca\xfe\xba\xbe|\0asm|\xcf\xfa\xed\xfe|MZ.{0,61}\0",
        "binary data": rb"\x93NUMPY|\x89HDF\r\n|PAR1\x15|OTTO\0|wOF[F2]\0",
    },
    "unpack it, and give the text files in it": {
        "a tar archive": rb".{257}ustar[\0 ]",
        "a 7z archive": rb"7z\xbc\xaf\x27\x1c",
        "a RAR archive": rb"Rar!\x1a\x07",
        "a zip archive": ZIP,
    },
}
"""Types of files by the advice on them, and by name; the first whose pattern fits decides."""


def recognize(start: bytes, encoding: str = "utf-8") -> FileType | None:
    """The type of a file that is not text, by its first bytes (``START`` of them), or None."""
    for advice, kinds in KINDS.items():
        for name, pattern in kinds.items():
            if re.match(pattern, start, re.DOTALL):
                return FileType(name, advice)
    return _by_controls(start, encoding)


def _by_controls(start: bytes, encoding: str) -> FileType | None:
    """Recognize UTF-16 and UTF-32, and bytes with many controls that are not UTF-8."""
    if not is_utf8(encoding) or start.startswith((*MARKS,)):  # the error names the encoding
        return None
    for half, order in ((1, "le"), (0, "be")):
        high, low = start[half::2], start[1 - half :: 2]  # 0 of Latin letters, 4 of Cyrillic ones
        bits = 32 if 0.4 < low.count(0) / max(1, len(low)) < 0.6 else 16 * (0 not in low)
        if bits and len(high) >= FEW / 2 and _controls(high) >= MOST * len(high):
            advice = f"--set data.encoding=utf-{bits}-{order} reads it, or convert it to UTF-8"
            return FileType(f"UTF-{bits} text without a byte order mark", advice)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        if b"\0" in start or _controls(start) > MANY * len(start):
            return FileType("binary data", NO_TEXT)
    return None


def _controls(raw: bytes) -> int:
    """The number of control characters."""
    return len(raw) - len(raw.translate(None, CONTROLS))


def recognized(files: Sequence[str], encoding: str) -> dict[str, FileType]:
    """The files that are not text, with their types; only what can be read again is looked at."""
    readable = filter(can_be_read_again, files)
    starts = ((file, next(raw_chunks(file, START), b"")) for file in readable)
    return {file: kind for file, start in starts if (kind := recognize(start, encoding))}


def not_a_text(file: str, kind: FileType) -> CorpusError:
    return CorpusError(
        f"{file}: this is {kind.name}{', not text' * (' text ' not in kind.name)}: {kind.advice} "
        "(to train a model of its bytes, as they are: --set data.level=byte)"
    )


def is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"


def in_utf8(raw: bytes, data: Data) -> bytes:
    """A text of the user in UTF-8, if it is in that or in the encoding of the corpus."""
    if data.level == "byte":
        return raw
    wide = "a".encode(data.encoding) != b"a"  # UTF-16 of many letters is also correct UTF-8
    own_first = _controls(raw) > 0 if wide else raw.isascii()  # ISO-2022-JP is ASCII
    for encoding in (data.encoding, "utf-8") if own_first else ("utf-8", data.encoding):
        with contextlib.suppress(UnicodeError):
            return raw.decode(encoding).encode()
    return raw


def symbols_of(file: str, data: Data) -> Iterator[tuple[bytes, Ids, int]]:
    r"""Raw bytes, the symbols complete with them, and the number of \r that were unified."""
    documents = Documents(data)
    if data.level == "byte":
        for raw in chain(raw_chunks(file), [b""]):
            read = documents.add(raw.decode("latin-1"), final=not raw).encode("latin-1")
            yield raw, np.frombuffer(read, np.uint8), 0
        return
    decoder = _Decoder(file, data.encoding)
    unify = data.newlines == "unify"
    line_ends = io.IncrementalNewlineDecoder(None, translate=unify)
    for raw in chain(raw_chunks(file), [b""]):
        text = decoder.decode(raw)
        returns = text.count("\r") if unify else 0  # each \r begins or is one line end
        text = line_ends.decode(text, final=not raw)
        text = documents.add(text, final=not raw)
        yield raw, np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4"), returns


def lines_of(file: str, data: Data, *, whole: bool = False) -> Iterator[Any]:
    """The lines or documents of a file, without their ends; or the ``whole`` file as one."""
    parts: Iterator[Any] = (points.tobytes() for _, points, _ in symbols_of(file, data))
    end: Any = bytes([end_of(data) or LINE_END])
    if data.level == "char":
        parts, end = (raw.decode("utf-32-le", "surrogatepass") for raw in parts), end.decode()
    return iter([end[:0].join(parts)]) if whole else split(parts, end)


class _Decoder:
    """Decodes a file chunk by chunk; an error tells the byte, its line, and what to do."""

    def __init__(self, file: str, encoding: str) -> None:
        self.file, self.encoding = file, encoding
        # a byte order mark is allowed at the start
        name = "utf-8-sig" if is_utf8(encoding) else encoding
        self.decoder = codecs.getincrementaldecoder(name)("strict")
        self.offset = self.lines = 0  # bytes and line ends before the current chunk
        self.after_return = False  # whether the chunk before it ends with \r
        self.wide = 0  # line of the first character beyond ASCII, from 1; 0 before there is one

    def decode(self, raw: bytes) -> str:
        if not self.offset and (kind := recognize(raw[:START], self.encoding)):  # standard input
            raise not_a_text(self.file, kind)
        try:
            text = self.decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            # the decoder begins before ``raw``, or after a byte order mark
            offset = self.offset + len(raw) - len(error.object) + error.start
            raise self._error(offset, error) from None
        except UnicodeError as error:  # this codec does not tell the position
            raise CorpusError(
                f"{self.file}: is not {self.encoding}: {error}; name its encoding with "
                f"--set data.encoding=..., or convert it to {self.encoding}"
            ) from None
        self.wide = self.wide or self._line_beyond_ascii(text)
        self.offset += len(raw)
        self.lines += self._line_ends(text)
        self.after_return = text.endswith("\r") or (not text and self.after_return)
        return text

    def _line_ends(self, text: str) -> int:
        ends = text.count("\n") + text.count("\r") - text.count("\r\n")
        return ends - (self.after_return and text.startswith("\n"))

    def _line_beyond_ascii(self, text: str) -> int:
        """The line of the first character beyond ASCII; 0 if there is none."""
        if text.isascii():
            return 0
        first = next(index for index, one in enumerate(text) if one > "\x7f")
        return self.lines + self._line_ends(text[:first]) + 1

    def _error(self, offset: int, error: UnicodeDecodeError) -> CorpusError:
        before = error.object[: error.start]
        line = self.lines + self._line_ends(before.decode(self.encoding, "ignore")) + 1
        wide = self.wide or self._line_beyond_ascii(before.decode("latin-1"))
        if wide and is_utf8(self.encoding):
            advice = (
                f"from line {wide:,} on there are UTF-8 characters, which another encoding would "
                "garble: the file seems to have two encodings, so convert what is not UTF-8 (often "
                f"cp1252), from line {line:,} on; if it has only one, name it with --set "
                "data.encoding=..."
            )
        elif working := _encoding_that_reads(self.file):
            western = " (if it is in a language of Western Europe)" * (working == "cp1252")
            advice = f"--set data.encoding={working} reads this file{western}"
        else:
            advice = "if it is text, name its encoding with --set data.encoding=..."
        return CorpusError(
            f"{self.file}: byte 0x{error.object[error.start]:02x} at offset {offset:,} "
            f"(line {line:,}) is not {self.encoding} ({error.reason}); {advice}, "
            f"or convert it to {self.encoding}"
        )


def _encoding_that_reads(file: str) -> str | None:
    """The first of the common encodings that decodes the whole file, or None."""
    if not can_be_read_again(file):
        return None
    start = next(raw_chunks(file), b"")
    marked = [name for mark, name in MARKS.items() if start.startswith(mark)]
    if b"\0" in start and not marked:
        return None  # this is not a text
    for encoding in marked or ["utf-8", "cp1252"]:
        with contextlib.suppress(UnicodeError):
            for _ in codecs.iterdecode(raw_chunks(file), encoding):
                pass
            return encoding
    return None
