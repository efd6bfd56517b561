"""From file names to the bytes of a text, chunk by chunk."""

import gzip
import hashlib
import os
import stat
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from grucli.arguments import check_path
from grucli.errors import CorpusError

CHUNK = 2**20  # bytes read at a time
STANDARD_INPUT = "-"
GZ_RATIO = 5  # estimated size of a text, relative to its .gz file


def check_read_once(sources: Sequence[str]) -> None:
    if sources.count(STANDARD_INPUT) > 1:
        raise CorpusError("- (standard input) is named twice; it can be read only once")


def expand(sources: Sequence[str]) -> list[str]:
    """The files to read, in order; those in a directory without hidden and empty ones and runs."""
    check_read_once(sources)
    files: list[str] = []
    for source in sources:
        if source == STANDARD_INPUT or not Path(check_path(source)).is_dir():
            files.append(source)
            continue
        inside = sorted(_files_below(source), key=lambda path: Path(path).parts)
        if not inside:
            raise CorpusError(f"{source}: there is no text in this directory; give another one")
        files += inside
    return files


def _files_below(directory: str) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    seen: set[tuple[int, int]] = set()
    try:
        for parent, directories, names in os.walk(directory, onerror=fail, followlinks=True):
            status = os.stat(parent)
            if (status.st_dev, status.st_ino) in seen or "run.json" in names:
                directories.clear()  # a link to a directory above this one, or a run
                continue
            seen.add((status.st_dev, status.st_ino))
            directories[:] = [name for name in directories if not name.startswith(".")]
            for name in names:
                path = os.path.join(parent, name)
                if name.startswith(".") or (os.path.islink(path) and not os.path.exists(path)):
                    continue
                status = os.stat(path)
                if stat.S_ISREG(status.st_mode) and status.st_size > 0:
                    yield path
    except OSError as error:
        raise CorpusError(f"{error.filename}: cannot be read: {error.strerror}") from None


def can_be_read_again(file: str) -> bool:
    """Whether it is neither standard input nor a pipe."""
    return file != STANDARD_INPUT and os.path.isfile(file)


def size_on_disk(files: Sequence[str]) -> int:
    """Estimated bytes of the text; 0 if a part of it can be read only once."""
    if not all(map(can_be_read_again, files)):
        return 0
    return sum(os.path.getsize(file) * (GZ_RATIO if file.endswith(".gz") else 1) for file in files)


class Digest:
    """The identity of a text: the hash of its bytes, and the sizes of its files in order."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files, self.sizes = files, list[int]()
        self._content, self._of_files = hashlib.sha256(), list["hashlib._Hash"]()

    def begin_file(self) -> None:
        self.sizes.append(0)
        self._of_files.append(hashlib.sha256())

    def update(self, raw: bytes) -> None:
        self._content.update(raw)
        self.sizes[-1] += len(raw)
        if len(self.files) > 1:
            self._of_files[-1].update(raw)

    @property
    def sha256(self) -> str:
        """The hash of the bytes of all files in order, decompressed."""
        return self._content.hexdigest()

    @property
    def repeated(self) -> list[tuple[str, str]]:
        """The files with the content of an earlier file, each with the first such file."""
        first: dict[bytes, str] = {}
        repeated = []
        for file, size, content in zip(self.files, self.sizes, self._of_files, strict=True):
            key = content.digest()
            if size and key in first:
                repeated.append((file, first[key]))
            first.setdefault(key, file)
        return repeated


def digest(files: Sequence[str]) -> Digest:
    result = Digest(files)
    for file in files:
        result.begin_file()
        for raw in raw_chunks(file):
            result.update(raw)
    return result


def raw_chunks(file: str, chunk: int | None = None) -> Iterator[bytes]:
    """The bytes of a file, or of standard input (``-``); a ``.gz`` file is decompressed."""
    try:
        with _open(file) as opened:
            while raw := opened.read(chunk or CHUNK):
                yield raw
    except FileNotFoundError:
        raise CorpusError(
            f"{file}: there is no such file; give a text file, or write one with "
            "`grucli corpus python-reference`"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorpusError(
            f"{file}: not a complete gzip file ({error}); "
            "get it again, or rename it without .gz if it is plain text"
        ) from None
    except OSError as error:
        raise CorpusError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError:  # the name contains U+0000 or half of a surrogate pair
        raise CorpusError(f"{file!r}: no file can have this name") from None


def _open(file: str) -> BinaryIO:
    if file == STANDARD_INPUT:
        if sys.stdin is None:
            raise CorpusError("-: standard input is closed; give a file")
        return open(sys.stdin.fileno(), "rb", closefd=False)
    if file.endswith(".gz"):
        return gzip.open(file, "rb")  # type: ignore[return-value]
    return Path(file).open("rb")
