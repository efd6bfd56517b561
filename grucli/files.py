"""Files that are either the old ones or the new ones, never half of both."""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

ATTEMPTS, PAUSE = 5, 0.01
"""How often, and after how many seconds, a lock is tried: ``is_free`` holds it for a moment."""

LOCKED_BYTE = 1024
"""Where a lock lies in its file on Windows, which locks bytes and not files."""


TEMPORARY = re.compile(r"\.(.+)\.tmp-\d+-[0-9a-f]{8}", re.DOTALL)
"""The name of a file that is being written: name of the file, process, a random number."""

TRANSIENT = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR, errno.EAGAIN, errno.EBUSY}
"""Errors of writing that may be gone in a minute: a full disk can be emptied, a network come back;
a directory that may not be written to stays as it is."""

SMALL = 2**24
"""Bytes above which a file of settings, of pointers or of facts is not believed."""

LEVELS = 32
"""How deep the lists and objects of a JSON file may lie in each other."""

_FLAGS = ("O_NONBLOCK", "O_NOCTTY", "O_BINARY")
_AT_ONCE = sum(getattr(os, flag, 0) for flag in _FLAGS)
"""Open bytes without waiting for a pipe's other end, where the system has such flags."""


class NotAFileError(OSError):
    """A directory, a pipe, a device or a socket stands where a file should."""


def _descriptor(path: Path, flags: int) -> int:
    """Open a regular file, or a link to one, and nothing else; never waits.

    Raises:
        NotAFileError: something else stands there.
        OSError: it cannot be opened.
    """
    no_file = NotAFileError(
        errno.EINVAL, "a pipe, a device or a directory stands where a file should", str(path)
    )
    try:
        descriptor = os.open(path, flags | _AT_ONCE, 0o644)
    except OSError as error:
        # a directory cannot be written to, and a socket not be opened
        raise no_file if error.errno in (errno.EISDIR, errno.ENXIO) else error from None
    except ValueError:  # U+0000, or half of a pair of surrogates
        raise OSError(errno.EINVAL, "no file can have this name", repr(str(path))) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise no_file
    return descriptor


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read its bytes; errors as of ``_descriptor``."""
    return os.fdopen(_descriptor(path, os.O_RDONLY), "rb")


def read_small(path: Path, limit: int = SMALL) -> bytes:
    """The content of a regular file that must not be long.

    Raises:
        OSError: it cannot be opened, is no regular file, or is longer than ``limit`` bytes.
    """
    with open_file(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"longer than {limit:,} bytes", str(path))
    return content


def read_json(path: Path) -> dict[str, Any]:
    """The object that a small JSON file holds; a byte order mark does no harm.

    Raises:
        OSError: as of ``read_small``.
        ValueError: it is not such a file.
    """
    try:
        loaded = json.loads(read_small(path).decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not JSON: {error}") from None
    except ValueError:
        raise ValueError("a number in it is too long") from None
    except RecursionError:
        loaded = None
    if not isinstance(loaded, dict) or _deeper(loaded, LEVELS):
        raise ValueError("not an object in JSON, or one that is nested too deeply")
    return loaded


def _deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return not levels or any(_deeper(one, levels - 1) for one in inside)


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
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
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
        for _ in range(ATTEMPTS):
            if self._acquire():
                return True
            time.sleep(PAUSE)
        return False

    def _acquire(self) -> bool:
        descriptor = _descriptor(self.path, os.O_RDWR | os.O_CREAT)
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
            descriptor = _descriptor(self.path, os.O_RDWR)
        except OSError as error:
            return isinstance(error, FileNotFoundError | NotAFileError)
        free = _try_lock(descriptor, shared=True)
        os.close(descriptor)
        return free

    def holder(self) -> str:
        """The id of the process that took it last."""
        with contextlib.suppress(OSError, ValueError):
            return str(int(read_small(self.path, 64)))
        return "unknown"


def _try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file; several may hold a shared lock, where the system has such locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)  # the id before it stays readable
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        # a file system that cannot lock must not keep a run from being trained
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def sha256(path: Path) -> str:
    """Hash of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open_file(path) as file:
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
