"""Reading, replacing and locking files; a reader sees the old file or the new one, no mixture."""

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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, cast

from grucli.errors import RunError, UsageError

ATTEMPTS, PAUSE = 20, 0.01  # to take a lock, and seconds: ``is_free`` holds it for a moment
LOCKED_BYTE = 1024  # position of the lock in its file on Windows, which locks bytes and not files
SMALL = 2**24  # maximum bytes of a small file, such as settings, pointers or JSON
LEVELS = 32  # maximum nesting of the lists and objects in a JSON file
# the name of a temporary file: the name of the final file, the process id, a random number
TEMPORARY = re.compile(r"\.(.+)\.tmp-\d+-[0-9a-f]{8}", re.DOTALL)

# errors of a file system without locks; ENOLCK is another, but may be gone in a moment
NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP}
# errors of writing that may be gone in a minute, such as those of a full disk or of a network
TRANSIENT = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR, errno.EAGAIN, errno.EBUSY}
# flags to open bytes without waiting for the other end of a pipe, if the system has such flags
_AT_ONCE = sum(getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))


class NotAFileError(OSError):
    """A directory, a pipe, a device, a socket or a link has the name of an expected file."""


def refuse_link(path: Path) -> None:
    """Refuse a link in the place of an own file: in a run of a stranger it could lead anywhere."""
    if path.is_symlink():
        raise NotAFileError(
            errno.ELOOP,
            "a link stands where the program has a file or directory of its own; remove it, or "
            "copy the whole directory with `cp -rL`",
            str(path),
        )


def _descriptor(path: Path, flags: int, *, links: bool = False) -> int:
    """Open a regular file without waiting, or a link to one if ``links`` is true."""
    if not links:
        refuse_link(path)
        flags |= getattr(os, "O_NOFOLLOW", 0)  # it may become a link now
    no_file = NotAFileError(
        errno.EINVAL, "a pipe, a device or a directory stands where a file should", str(path)
    )
    try:
        descriptor = os.open(path, flags | _AT_ONCE, 0o644)
    except OSError as error:
        # EISDIR: a directory cannot be written; ENXIO: a socket cannot be opened
        raise no_file if error.errno in (errno.EISDIR, errno.ENXIO) else error from None
    except ValueError:  # the name contains U+0000 or half of a surrogate pair
        raise OSError(errno.EINVAL, "no file can have this name", repr(str(path))) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise no_file
    return descriptor


def open_file(path: Path) -> BinaryIO:
    """Open a regular file, or a link to one, to read its bytes."""
    return os.fdopen(_descriptor(path, os.O_RDONLY, links=True), "rb")


def open_own(path: Path, mode: str = "rb", buffering: int = -1) -> BinaryIO:
    """Open a file of the program's own, which is never a link."""

    def opener(_: str, flags: int) -> int:
        return _descriptor(path, flags)

    return cast("BinaryIO", open(path, mode, buffering, opener=opener))


def read_small(path: Path, limit: int = SMALL) -> bytes:
    """The content of a regular file of at most ``limit`` bytes."""
    with open_file(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"longer than {limit:,} bytes", str(path))
    return content


def read_json(path: Path) -> dict[str, Any]:
    """The object in a small JSON file; a ValueError says that it holds none."""
    try:
        loaded = json.loads(read_small(path).decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not JSON: {error}") from None
    except ValueError:
        raise ValueError("it contains a number that is too long") from None
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
    """Write a file completely, flush it and ``check`` it, before it replaces the old one."""
    # the process id alone is not unique if containers or machines share a directory
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
    """The final name of a temporary file; None if ``replace_file`` does not make such names."""
    return match[1] if (match := TEMPORARY.fullmatch(name)) else None


def _replace(temporary: Path, path: Path) -> None:
    """Rename a file. Windows refuses while another process has the old file open: try again."""
    for _ in range(20 if sys.platform == "win32" else 0):
        with contextlib.suppress(PermissionError):
            temporary.replace(path)
            return
        time.sleep(0.05)
    temporary.replace(path)


def replace_text(path: Path, text: str) -> None:
    replace_file(path, lambda file: file.write(text.encode()))


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file, completely or not at all."""
    data = line.encode()
    with open_own(path, "ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())  # a later checkpoint must not outlive the line in a power cut
        except OSError as error:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise OSError(error.errno, error.strerror, str(path)) from error


class LockError(OSError):
    """A file cannot be locked, and not because another process has locked it."""


class Lock:
    """A lock file with the id of its process; the system releases it when the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False if another process has it, a LockError if nobody knows."""
        for _ in range(ATTEMPTS):
            descriptor = _descriptor(self.path, os.O_RDWR | os.O_CREAT)
            if _try_lock(self.path, descriptor):
                self._descriptor = descriptor
                if not self.is_lost():
                    os.truncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()}\n".encode())
                    return True
                self.release()  # the file was deleted between the opening and the locking
            time.sleep(PAUSE)
        return False

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_lost(self) -> bool:
        """Whether this lock was taken, but its file was deleted or replaced afterwards."""
        if self._descriptor is None:
            return False
        try:
            return not os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # may pass, and what is written next meets it, too
            return False

    def is_free(self) -> bool:
        """Whether certainly no process has the lock."""
        try:
            descriptor = _descriptor(self.path, os.O_RDWR)
            if not _try_lock(self.path, descriptor, shared=True):
                return False
        except OSError as error:
            return isinstance(error, FileNotFoundError | NotADirectoryError | NotAFileError)
        os.close(descriptor)
        return True

    def holder(self) -> str:
        """The id of the last process that took the lock."""
        with contextlib.suppress(OSError, ValueError):
            return str(int(read_small(self.path, 64)))
        return "unknown"


def _try_lock(path: Path, descriptor: int, *, shared: bool = False) -> bool:
    """Try to lock an open file; if another process has it, close it and return False."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)  # after the id, which stays readable
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        raise LockError(error.errno, error.strerror, str(path)) from None
    return True


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_file(path) as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _sync_directory(directory: Path) -> None:
    # Windows cannot open a directory, and some file systems cannot flush one. The file is already
    # renamed; only a power cut could then undo that.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---- files that the user names, such as pages, plots and corpora


def check_output(
    option: str, path: Path | None, *, force: bool, reads: Iterable[Path] = ()
) -> None:
    """Refuse a path that cannot be written, or must not be, before anything is computed."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{option} {path}: this is a directory; name a file")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no directory {path.parent}")
    if output_exists(path) and path.resolve() in (one.resolve() for one in reads):
        raise UsageError(f"{option} {path}: the command reads this file; name another file")
    if output_exists(path) and not force:
        raise UsageError(
            f"{option} {path}: this file exists; name another file, or overwrite it with --force"
        )


def output_exists(path: Path) -> bool:
    """Whether there is a regular file that would be overwritten, not a pipe or a device."""
    return path.is_file() and _standard_stream(path) is None


def write_output(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file, completely or not at all; write to a pipe or a device directly."""
    stream = _standard_stream(path)
    if stream is not None:
        with os.fdopen(os.dup(stream), "wb") as file:
            fill(file)
    elif path.exists() and not path.is_file():  # a directory is an error here
        with path.open("wb") as file:
            fill(file)
    else:
        replace_file(Path(os.path.realpath(path)), fill)


def write_result(path: Path, kind: str, text: str) -> None:
    """Write a text as ``write_output`` does; an OSError becomes a RunError that names its kind."""
    try:
        write_output(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise RunError(f"{path}: cannot write the {kind}: {error.strerror}") from None


def _standard_stream(path: Path) -> int | None:
    """Standard output or error if a path such as /dev/stdout stands for it; follow links."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(stream)):
                return stream
    return None
