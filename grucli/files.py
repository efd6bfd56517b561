"""Files that are either the old ones or the new ones, never half of both."""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file completely before it takes the place of the old one.

    The new content goes to a temporary file in the same directory, to the disk, and only then
    under its name; the directory entry goes to the disk as well where the system can do that.

    Raises:
        OSError: the old file is untouched then, and the temporary one removed.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def replace_text(path: Path, text: str) -> None:
    """``replace_file`` with UTF-8 text."""
    replace_file(path, lambda file: file.write(text.encode()))


def sha256(path: Path) -> str:
    """Hash of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _sync_directory(directory: Path) -> None:
    # Windows cannot open a directory, some file systems cannot sync one: the rename has
    # happened by then and only its survival of a power cut is not assured
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
