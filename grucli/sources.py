"""From the names of a text's files to its bytes, piece by piece."""

import gzip
import hashlib
import os
import stat
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from grucli.errors import CorpusError

PIECE = 2**20
"""Bytes read at a time."""

STANDARD_INPUT = "-"

GZ_RATIO = 5
"""How much larger than its ``.gz`` a text is taken for."""


def expand(sources: Sequence[str]) -> list[str]:
    """The files to read, in order: a directory stands for all files below it that are not hidden.

    Raises:
        CorpusError: standard input is named twice, or a directory holds no text.
    """
    if sources.count(STANDARD_INPUT) > 1:
        raise CorpusError("- (standard input) is named twice; it can be read only once")
    files: list[str] = []
    for source in sources:
        if source == STANDARD_INPUT or not Path(source).is_dir():
            files.append(source)
            continue
        inside = list(_files_below(source))
        if not inside:
            raise CorpusError(f"{source}: there is no text in this directory; name another")
        files += inside
    return files


def _files_below(directory: str) -> Iterator[str]:
    """Files that hold something, in the order of their paths."""

    def problem(error: OSError) -> None:
        raise CorpusError(f"{error.filename}: cannot be read: {error.strerror}") from None

    for parent, directories, names in os.walk(directory, onerror=problem):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(parent, name)
            if not name.startswith(".") and _holds_something(path):
                yield path


def _holds_something(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from None
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def size_on_disk(files: Sequence[str]) -> int:
    """About how many bytes the text has, as far as that can be told without reading it."""
    return sum(
        os.path.getsize(file) * (GZ_RATIO if file.endswith(".gz") else 1)
        for file in files
        if os.path.isfile(file)
    )


def digest(files: Sequence[str]) -> str:
    """SHA-256 of the bytes of all files in order, decompressed."""
    content = hashlib.sha256()
    for file in files:
        for raw in raw_pieces(file):
            content.update(raw)
    return content.hexdigest()


def raw_pieces(file: str) -> Iterator[bytes]:
    """The bytes of a file, of a ``.gz`` decompressed, or of standard input.

    Raises:
        CorpusError: it cannot be read.
    """
    try:
        with _open(file) as opened:
            while piece := opened.read(PIECE):
                yield piece
    except FileNotFoundError:
        raise CorpusError(
            f"{file}: there is no such file; give a text file, or make one with "
            "`grucli corpus python-reference`"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorpusError(
            f"{file}: not a complete gzip file ({error}); "
            "fetch it again, or drop the ending .gz if it is plain text"
        ) from None
    except OSError as error:
        raise CorpusError(f"{file}: cannot be read: {error.strerror}") from None


def _open(file: str) -> BinaryIO:
    if file == STANDARD_INPUT:
        if sys.stdin is None:
            raise CorpusError("-: standard input is closed")
        return open(sys.stdin.fileno(), "rb", closefd=False)
    if file.endswith(".gz"):
        return gzip.open(file, "rb")  # type: ignore[return-value]
    return Path(file).open("rb")
