"""Write files at paths that the user chooses: pages, plots and corpora."""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from grucli.errors import RunError, UsageError
from grucli.files import replace_file

STREAMS = (1, 2)
"""Standard output and standard error, which are open when the program starts."""


def check(option: str, path: Path | None, *, force: bool, reads: Iterable[Path] = ()) -> None:
    """Refuse a path that cannot or must not be written, before anything is computed.

    Args:
        option: the option that names the file, for messages.
        path: the file, or None for no file.
        force: whether an existing file may be overwritten.
        reads: the files that the command reads, which are never overwritten.

    Raises:
        UsageError: the path is a directory, its directory is missing, the command reads the file,
            or the file exists and ``force`` is false.
    """
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{option} {path}: this is a directory; name a file")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no directory {path.parent}")
    if exists(path) and path.resolve() in (one.resolve() for one in reads):
        raise UsageError(f"{option} {path}: the command reads this file; name another file")
    if exists(path) and not force:
        raise UsageError(
            f"{option} {path}: this file exists; name another file, or overwrite it with --force"
        )


def exists(path: Path) -> bool:
    """Whether there is a regular file that would be overwritten, not a pipe or a device."""
    return path.is_file() and _stream(path) is None


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file, completely or not at all; write to a pipe or a device directly.

    Args:
        path: the file.
        fill: a function that writes the content.

    Raises:
        OSError: the file cannot be written.
    """
    stream = _stream(path)
    if stream is not None:
        with os.fdopen(os.dup(stream), "wb") as file:
            fill(file)
    elif path.exists() and not path.is_file():  # a directory is an error here
        with path.open("wb") as file:
            fill(file)
    else:
        replace_file(Path(os.path.realpath(path)), fill)


def write_result(path: Path, kind: str, text: str) -> None:
    """Write a result to a file, as ``write`` does; ``kind`` is its name in messages.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        write(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise RunError(f"{path}: cannot write the {kind}: {error.strerror}") from None


def _stream(path: Path) -> int | None:
    """Return the stream that a path such as /dev/stdout stands for, or None; follow links."""
    for stream in STREAMS:
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(stream)):
                return stream
    return None
