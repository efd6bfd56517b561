"""From text files to ids, splits, and the windows that training reads.

A text is read once, in pieces: each piece is decoded and turned into provisional ids (in order
of first appearance) of the smallest type that fits, so that memory stays near one byte a
character for an ordinary alphabet; at the end the ids are renumbered in the order of the sorted
characters. The text itself is never held whole.
"""

import codecs
import gzip
import hashlib
import sys
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from grucli.config import Data
from grucli.errors import CorpusError
from grucli.nn.params import Ids
from grucli.vocabulary import Unknown, Vocabulary, smallest_unsigned

PIECE = 2**20
"""Bytes read at a time."""

STANDARD_INPUT = "-"

CODE_POINTS = 0x110000
"""Unicode code points are below this number."""


@dataclass(frozen=True)
class Corpus:
    """A text as ids.

    Attributes:
        ids: the text, (N,), of the smallest unsigned type that fits the vocabulary.
        vocabulary: what the ids stand for.
        sources: the files it was read from, as given.
        sha256: hash of the bytes of all files in order, decompressed.
        size: number of those bytes.
        skipped: symbols that were left out because the vocabulary lacks them.
    """

    ids: Ids
    vocabulary: Vocabulary
    sources: tuple[str, ...]
    sha256: str
    size: int
    skipped: int = 0


@dataclass(frozen=True)
class Splits:
    """Views of a corpus: first the training text, then validation, then test."""

    train: Ids
    val: Ids
    test: Ids


# ---- reading ---------------------------------------------------------------------------------


def read(
    sources: Sequence[str],
    data: Data,
    vocabulary: Vocabulary | None = None,
    unknown: Unknown = "error",
) -> Corpus:
    """Read files, ``.gz`` among them, or ``-`` for standard input, as one text.

    Args:
        sources: paths; the texts follow one another in this order.
        data: level and encoding.
        vocabulary: use this one instead of the text's own symbols.
        unknown: whether symbols that it lacks are an error or are left out.

    Raises:
        CorpusError: missing, a directory, empty, not in the encoding.
        UnknownCharacterError: symbols that ``vocabulary`` lacks.
    """
    if sources.count(STANDARD_INPUT) > 1:
        raise CorpusError("- (standard input) is named twice; it can be read only once")
    digest, size = hashlib.sha256(), 0
    numbering = _Numbering()
    for source in sources:
        before = numbering.count
        for raw, points in _pieces(source, data):
            digest.update(raw)
            size += len(raw)
            numbering.add(points)
        if numbering.count == before:
            raise CorpusError(f"{source}: the file is empty; give a text to read")
    ids, vocabulary = numbering.finish(data.level, vocabulary, unknown)
    skipped = numbering.count - len(ids)
    return Corpus(ids, vocabulary, tuple(sources), digest.hexdigest(), size, skipped)


class _Numbering:
    """Gives each new symbol the next free number; renumbers by sorted symbol at the end."""

    def __init__(self) -> None:
        self.number_of = np.full(CODE_POINTS, -1, np.int32)
        self.symbols: list[int] = []
        self.pieces: deque[Ids] = deque()
        self.count = 0

    def add(self, points: Ids) -> None:
        numbers = self.number_of[points]
        if numbers.size and numbers.min() < 0:
            for point in np.unique(points[numbers < 0]).tolist():
                self.number_of[point] = len(self.symbols)
                self.symbols.append(point)
            numbers = self.number_of[points]
        self.pieces.append(numbers.astype(smallest_unsigned(len(self.symbols))))
        self.count += len(points)

    def finish(
        self, level: Literal["char", "byte"], vocabulary: Vocabulary | None, unknown: Unknown
    ) -> tuple[Ids, Vocabulary]:
        symbols = np.array(self.symbols, np.uint32)
        if vocabulary is None:
            vocabulary = Vocabulary(level, np.sort(symbols))
        if unknown == "error":
            vocabulary.number(symbols)
        final = vocabulary.find(symbols)  # (symbols,) provisional id -> id, -1 to leave it out
        complete = bool((final >= 0).all())
        ids = np.empty(self.count, smallest_unsigned(len(vocabulary)))
        end = 0
        while self.pieces:
            piece = final[self.pieces.popleft()]
            piece = piece if complete else piece[piece >= 0]
            ids[end : end + len(piece)] = piece
            end += len(piece)
        return ids[:end], vocabulary


def _pieces(source: str, data: Data) -> Iterator[tuple[bytes, Ids]]:
    """Raw bytes and the symbols that they complete, piece by piece."""
    if data.level == "byte":
        for raw in _raw_pieces(source):
            yield raw, np.frombuffer(raw, np.uint8)
        return
    decoder = codecs.getincrementaldecoder(_with_bom(data.encoding))("strict")
    offset = lines = 0  # bytes and line ends before the current piece
    for raw in _and_end(_raw_pieces(source)):
        pending = decoder.getstate()[0]
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            line = lines + error.object[: error.start].count(b"\n") + 1
            at = offset - len(pending) + error.start
            if not offset and raw.startswith(codecs.BOM_UTF8):
                at += len(codecs.BOM_UTF8)  # which the decoder has dropped
            raise _not_decodable(source, data.encoding, at, line, error) from None
        except UnicodeError as error:  # a codec that does not say where
            raise CorpusError(f"{source}: is not {data.encoding}: {error}") from None
        offset += len(raw)
        lines += text.count("\n")
        yield raw, np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _and_end(pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield from pieces
    yield b""


def _raw_pieces(source: str) -> Iterator[bytes]:
    try:
        with _open(source) as file:
            while piece := file.read(PIECE):
                yield piece
    except FileNotFoundError:
        raise CorpusError(
            f"{source}: there is no such file; give a text file, or make one with "
            "`grucli corpus python-reference`"
        ) from None
    except IsADirectoryError:
        raise CorpusError(_is_directory(source)) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorpusError(
            f"{source}: not a complete gzip file ({error}); "
            "fetch it again, or drop the ending .gz if it is plain text"
        ) from None
    except OSError as error:
        if Path(source).is_dir():  # Windows reports a directory as a lack of permission
            raise CorpusError(_is_directory(source)) from None
        raise CorpusError(f"{source}: cannot be read: {error.strerror}") from None


def _open(source: str) -> BinaryIO:
    if source == STANDARD_INPUT:
        if sys.stdin is None:
            raise CorpusError("-: standard input is closed")
        return open(sys.stdin.fileno(), "rb", closefd=False)
    if source.endswith(".gz"):
        return gzip.open(source, "rb")  # type: ignore[return-value]
    return Path(source).open("rb")


def _is_directory(source: str) -> str:
    return f"{source}: this is a directory; name the files in it, as in {Path(source) / '*.txt'}"


def _with_bom(encoding: str) -> str:
    """The same encoding, dropping a byte order mark at the start."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _not_decodable(
    source: str, encoding: str, offset: int, line: int, error: UnicodeDecodeError
) -> CorpusError:
    byte = f"0x{error.object[error.start]:02x}"
    working = _encoding_that_reads(source)
    advice = f"--set data.encoding={working}" if working else "--set data.level=byte"
    return CorpusError(
        f"{source}: byte {byte} at offset {offset:,} (line {line:,}) is not {encoding} "
        f"({error.reason}); {advice} reads this file"
    )


def _encoding_that_reads(source: str) -> str | None:
    """The first of the common encodings in which the whole file decodes."""
    if source == STANDARD_INPUT:
        return None
    start = next(_raw_pieces(source))
    if b"\0" in start and not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None  # no text at all
    wide = start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    for encoding in ["utf-16"] * wide + ["utf-8", "cp1252", "latin-1"]:
        if _decodes(source, encoding):
            return encoding
    return None


def _decodes(source: str, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        for raw in _and_end(_raw_pieces(source)):
            decoder.decode(raw, final=not raw)
    except UnicodeError:
        return False
    return True


# ---- splits and windows ----------------------------------------------------------------------


def split(ids: Ids, data: Data) -> Splits:
    """Cut by position; a part must have a character to read and one to predict.

    Raises:
        CorpusError: one symbol only, or too small, with the arithmetic.
    """
    N = len(ids)
    if N and ids.min() == ids.max():
        raise CorpusError(
            f"the corpus holds only one symbol, {N:,} times; there is nothing to learn: "
            "give a text with at least two different characters"
        )
    val, test = round(N * data.val), round(N * data.test)
    train = N - val - test
    shares = [("train", train, 1.0), ("val", val, data.val), ("test", test, data.test)]
    if any(share > 0 and part < 2 for _, part, share in shares):
        raise CorpusError(
            f"the corpus is too small: {N:,} characters, of which data.val={data.val} takes "
            f"{val:,} and data.test={data.test} takes {test:,}, leave {train:,} for training; "
            "each part needs 2 (one to read, one to predict): give a longer text, or set "
            "data.val or data.test to 0"
        )
    return Splits(ids[:train], ids[train : train + val], ids[train + val :])


def count_symbols(ids: Ids, V: int) -> npt.NDArray[np.int64]:
    """How often each of ``V`` symbols occurs, (V,); in pieces, as bincount needs 8 bytes each."""
    counts = np.zeros(V, np.int64)
    for lo in range(0, len(ids), PIECE):
        counts += np.bincount(ids[lo : lo + PIECE], minlength=V)
    return counts


@dataclass(frozen=True)
class Windows:
    """The training text as B parallel streams, read in windows of at most T steps.

    Stream b covers characters [b S, (b+1) S) of the text; each is read from start to end once an
    epoch, in windows whose lengths differ by one at most, so that no character is left over but
    the fewer than B that do not fill a row.

    Attributes:
        ids: the training text, (N,).
        B: number of streams.
        T: steps of the longest window.
    """

    ids: Ids
    B: int
    T: int

    @property
    def stream_length(self) -> int:
        """S: characters that each stream predicts in an epoch."""
        return (len(self.ids) - 1) // self.B

    @property
    def per_epoch(self) -> int:
        """Windows, and so updates, in an epoch."""
        return -(-self.stream_length // self.T)

    @property
    def chars_per_epoch(self) -> int:
        """Characters predicted in an epoch."""
        return self.stream_length * self.B

    def window(self, number: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """What window ``number`` of an epoch reads and what it predicts, each (T, B)."""
        S, B = self.stream_length, self.B
        lo, hi = (S * edge // self.per_epoch for edge in (number, number + 1))
        x, targets = (
            self.ids[shift : shift + B * S].reshape(B, S)[:, lo:hi].T.astype(np.intp)
            for shift in (0, 1)
        )
        return x, targets


def fit_windows(ids: Ids, B: int, T: int) -> Windows:
    """Windows of B streams by T steps, both shrunk by halves where the text is too small.

    A text should fill ten windows; to get there B may fall to about 8 and T to about 32, and
    below that only as far as one window demands.
    """
    N = len(ids) - 1
    while 10 * B * T > N and (B > 8 or T > 32):
        B, T = _halve(B, T)
    while B * T > N:
        B, T = _halve(B, T)
    return Windows(ids, B, T)


def _halve(B: int, T: int) -> tuple[int, int]:
    return (-(-B // 2), T) if T == 1 or (B / 8 >= T / 32 and B > 1) else (B, -(-T // 2))
