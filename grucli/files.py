"""Files that are either the old ones or the new ones, never half of both."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

LOCKED_BYTE = 1024
"""Where a lock lies in its file on Windows, which locks bytes and not files."""


TEMPORARY = re.compile(r"\.(.+)\.tmp-\d+-[0-9a-f]{8}", re.DOTALL)
"""The name of a file that is being written: name of the file, process, a random number."""

PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR, errno.EAGAIN, errno.EBUSY}
"""Errors of writing that may be gone in a minute: a full disk can be emptied, a network come back;
a directory that may not be written to stays as it is."""


def replace_file(
    path: Path,
    write: Callable[[BinaryIO], object],
    check: Callable[[Path], object] = lambda _: None,
) -> None:
    """Write a file completely before it takes the place of the old one.

    The new content goes to a temporary file in the same directory, to the disk, and only then
    under its name; the directory entry goes to the disk as well where the system can do that.

    Args:
        path: the file.
        write: writes the new content.
        check: reads it again under its temporary name, and raises OSError if it is not right.

    Raises:
        OSError: the old file is untouched then, and the temporary one removed.
    """
    # process ids repeat where containers or machines share a directory
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        check(temporary)
        _replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    _sync_directory(path.parent)


def temporary_for(name: str) -> str | None:
    """The name of the file that a temporary one was to become; None if it is not one of ours."""
    match = TEMPORARY.fullmatch(name)
    return match[1] if match else None


def _replace(temporary: Path, path: Path) -> None:
    """Rename; Windows refuses for as long as somebody has the old file open."""
    for _ in range(20 if sys.platform == "win32" else 0):
        try:
            temporary.replace(path)
        except PermissionError:
            time.sleep(0.05)
        else:
            return
    temporary.replace(path)


def replace_text(path: Path, text: str) -> None:
    """``replace_file`` with UTF-8 text."""
    replace_file(path, lambda file: file.write(text.encode()))


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file, as a whole or not at all.

    Raises:
        OSError: the file is as it was.
    """
    data = line.encode()
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError as error:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise OSError(error.errno, error.strerror, str(path)) from error


class Lock:
    """A file that one process at a time holds; the system lets go of it when the process ends.

    Args:
        path: the file; it is made, holds the process id, and stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False if another process has it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _try_lock(descriptor):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        if self.is_lost():  # the file was deleted between the opening and the locking
            self.release()
            return False
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return True

    def release(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_lost(self) -> bool:
        """Whether it was taken, and its file was deleted or replaced since."""
        if self._descriptor is None:
            return False
        try:
            return not os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))
        except OSError:
            return True

    def is_free(self) -> bool:
        """Whether no process holds it."""
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except OSError as error:
            return isinstance(error, FileNotFoundError)
        free = _try_lock(descriptor)
        os.close(descriptor)
        return free

    def holder(self) -> str:
        """The id of the process that took it last."""
        with contextlib.suppress(OSError):
            return self.path.read_text(encoding="ascii", errors="replace").strip() or "unknown"
        return "unknown"


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)  # the id before it stays readable
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # a file system that cannot lock must not keep a run from being trained
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


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
