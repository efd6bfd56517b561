"""Files that a command writes where the user says: pages, plots and corpora."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from grucli.errors import UsageError
from grucli.files import replace_file

Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")]

STREAMS = (1, 2)
"""Standard output and standard error, which are open when the program starts."""


def check(option: str, path: Path | None, *, force: bool) -> None:
    """Refuse, before anything is computed, a file that must not or cannot be written.

    Raises:
        UsageError: it is a directory, there is none for it, or it exists and nothing forces it.
    """
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{option} {path}: this is a directory; name a file")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no directory {path.parent}")
    if exists(path) and not force:
        raise UsageError(
            f"{option} {path}: this file exists; name another, or overwrite it with --force"
        )


def exists(path: Path) -> bool:
    """Whether there is a file that would be lost; pipes, devices and streams hold nothing."""
    return path.is_file() and _stream(path) is None


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file, complete or not at all; into a pipe or a device as it comes.

    Raises:
        OSError: it cannot be written.
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


def _stream(path: Path) -> int | None:
    """The stream that a name such as /dev/stdout stands for, wherever it leads."""
    for stream in STREAMS:
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(stream)):
                return stream
    return None
