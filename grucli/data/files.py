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
    """The files to read, in order; a directory stands for those below it, in order of their paths.

    Files that are hidden or empty are left out, and so are runs of grucli.

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
        inside = sorted(_files_below(source), key=lambda path: Path(path).parts)
        if not inside:
            raise CorpusError(f"{source}: there is no text in this directory; name another")
        files += inside
    return files


def _files_below(directory: str) -> Iterator[str]:
    def problem(error: OSError) -> None:
        raise CorpusError(f"{error.filename}: cannot be read: {error.strerror}") from None

    seen: set[tuple[int, int]] = set()
    for parent, directories, names in os.walk(directory, onerror=problem, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen or "run.json" in names:
            directories.clear()  # a link to a directory above, or a run
            continue
        seen.add((status.st_dev, status.st_ino))
        directories[:] = [name for name in directories if not name.startswith(".")]
        for name in names:
            path = os.path.join(parent, name)
            if not name.startswith(".") and _holds_something(path):
                yield path


def _holds_something(path: str) -> bool:
    if os.path.islink(path) and not os.path.exists(path):
        return False
    try:
        status = os.stat(path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from None
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def size_on_disk(files: Sequence[str]) -> int | None:
    """About how many bytes the text has; None if some of it can be read only once."""
    if not all(os.path.isfile(file) and file != STANDARD_INPUT for file in files):
        return None
    return sum(os.path.getsize(file) * (GZ_RATIO if file.endswith(".gz") else 1) for file in files)


class Digest:
    """What identifies a text: the hash of its bytes, and where its files end."""

    def __init__(self) -> None:
        self._content, self.sizes = hashlib.sha256(), list[int]()

    def begin_file(self) -> None:
        """Another file follows."""
        self.sizes.append(0)

    def update(self, raw: bytes) -> None:
        """Some more of the last file."""
        self._content.update(raw)
        self.sizes[-1] += len(raw)

    @property
    def sha256(self) -> str:
        """The hash of the bytes of all files in order, decompressed."""
        return self._content.hexdigest()


def digest(files: Sequence[str]) -> Digest:
    """The digest of files that can be read again.

    Raises:
        CorpusError: as of ``raw_pieces``.
    """
    result = Digest()
    for file in files:
        result.begin_file()
        for raw in raw_pieces(file):
            result.update(raw)
    return result


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
    except ValueError:  # U+0000, or half of a pair of surrogates
        raise CorpusError(f"{file!r}: no file can have this name") from None


def _open(file: str) -> BinaryIO:
    if file == STANDARD_INPUT:
        if sys.stdin is None:
            raise CorpusError("-: standard input is closed")
        return open(sys.stdin.fileno(), "rb", closefd=False)
    if file.endswith(".gz"):
        return gzip.open(file, "rb")  # type: ignore[return-value]
    return Path(file).open("rb")
