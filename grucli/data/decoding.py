"""From the bytes of a file to its symbols; what is not text is recognized by its first bytes."""

import codecs
import contextlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from grucli.config import Data
from grucli.data.documents import LINE_END, Documents, end_of, split
from grucli.data.text_files import STANDARD_INPUT, raw_chunks
from grucli.errors import CorpusError
from grucli.nn.params import Ids

START = 2**15  # first bytes that are looked at
FEW = 16  # with fewer bytes than this, zeros do not show that a file is UTF-16
CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))  # rare in all encodings of 8 bits
MANY = 0.05  # with more of them than this share, bytes that are not UTF-8 are binary data

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

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
    """Recognize UTF-16, and binary data: bytes that are not UTF-8, with many control characters."""
    if not is_utf8(encoding) or start.startswith(UTF16_MARKS):  # the error names the encoding
        return None
    for zeros, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(start) >= FEW and not any(start[zeros::2]) and all(start[1 - zeros :: 2]):
            advice = f"--set data.encoding={name} reads it"
            return FileType("UTF-16 text without a byte order mark", advice)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        controls = len(start) - len(start.translate(None, CONTROLS))
        if b"\0" in start or controls > MANY * len(start):
            return FileType("binary data", NO_TEXT)
    return None


def recognized(files: Sequence[str], encoding: str) -> dict[str, FileType]:
    """The files that are not text, with their types; only what can be read again is looked at."""
    types: dict[str, FileType] = {}
    for file in files:
        if file != STANDARD_INPUT and os.path.isfile(file):
            start = next(raw_chunks(file, START), b"")
            if kind := recognize(start, encoding):
                types[file] = kind
    return types


def not_a_text(file: str, kind: FileType) -> CorpusError:
    return CorpusError(
        f"{file}: this is {kind.name}, not text: {kind.advice} "
        "(to model the bytes of the file as they are: --set data.level=byte)"
    )


def is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"


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
        decoder.lines += text.count("\n")
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
        self.wide = 0  # line of the first character beyond ASCII, from 1; 0 before there is one

    def decode(self, raw: bytes) -> str:
        if not self.offset and (kind := recognize(raw[:START], self.encoding)):  # standard input
            raise not_a_text(self.file, kind)
        pending = len(self.decoder.getstate()[0])
        try:
            text = self.decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            offset = self.offset - pending + error.start
            if not self.offset and raw.startswith(codecs.BOM_UTF8):
                offset += len(codecs.BOM_UTF8)  # the decoder does not count it
            raise self._error(offset, error) from None
        except UnicodeError as error:  # this codec does not tell the position
            raise CorpusError(
                f"{self.file}: is not {self.encoding}: {error}; name its encoding with "
                "--set data.encoding=..., or read bytes with --set data.level=byte"
            ) from None
        self.offset += len(raw)
        self.wide = self.wide or self._line_beyond_ascii(text)
        return text

    def _line_beyond_ascii(self, text: str) -> int:
        """The line of the first character beyond ASCII; 0 if there is none."""
        if text.isascii():
            return 0
        first = next(index for index, one in enumerate(text) if one > "\x7f")
        return self.lines + text.count("\n", 0, first) + 1

    def _error(self, offset: int, error: UnicodeDecodeError) -> CorpusError:
        before = error.object[: error.start]
        line = self.lines + before.count(b"\n") + 1
        wide = self.wide or self._line_beyond_ascii(before.decode("latin-1"))
        if wide and is_utf8(self.encoding):
            advice = (
                f"from line {wide:,} on there are UTF-8 characters, which another encoding would "
                "garble: the file seems to have two encodings, so convert what is not UTF-8 (often "
                f"cp1252), from line {line:,} on; if it has only one, name it with --set "
                "data.encoding=..."
            )
        elif working := _encoding_that_reads(self.file):
            advice = f"--set data.encoding={working} reads this file"
        else:
            advice = "if it is text, name its encoding with --set data.encoding=..."
        return CorpusError(
            f"{self.file}: byte 0x{error.object[error.start]:02x} at offset {offset:,} "
            f"(line {line:,}) is not {self.encoding} ({error.reason}); {advice}"
        )


def _encoding_that_reads(file: str) -> str | None:
    """The first of the common encodings that decodes the whole file, or None."""
    if file == STANDARD_INPUT:
        return None
    start = next(raw_chunks(file))
    utf16 = start.startswith(UTF16_MARKS)
    if b"\0" in start and not utf16:
        return None  # this is not a text
    common = ["utf-16"] * utf16 + ["utf-8", "cp1252", "latin-1"]
    for encoding in common:
        with contextlib.suppress(UnicodeError):
            for _ in codecs.iterdecode(raw_chunks(file), encoding):
                pass
            return encoding
    return None
