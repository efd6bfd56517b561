"""How things look: one console for answers, one for everything else.

stdout carries the answer alone; all else goes to stderr.
"""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from grucli.errors import RunError

LONGEST_BAR = 28
"""Columns of the longest bar."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Fall silent; rich would end the program, and training with it."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


err = _Console(stderr=True, highlight=False)
err.soft_wrap = not err.is_terminal  # lines in a log stay whole


def use_utf8() -> None:
    """Make both streams UTF-8 whatever the locale: a character must not end a training run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")


def write(data: bytes) -> None:
    """Write part of the answer at once; end quietly if nobody reads it any more.

    Raises:
        RunError: standard output is closed, or full.
    """
    if sys.stdout is None:
        raise RunError("standard output is closed; there is nowhere to write the answer")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # what Python flushes at exit must not fail a second time
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise RunError(f"standard output: cannot be written: {error.strerror}") from None


def write_line(text: str) -> None:
    """Write one line of the answer."""
    write(text.encode(errors="replace") + b"\n")


def write_table(rows: Sequence[Sequence[str]], *, words: bool = False) -> None:
    """Write a table; on a terminal that is too narrow for it, a line for each cell.

    Args:
        rows: the header, then the others; the first column is names.
        words: the other columns are words; else they are figures.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sys.stdout and sys.stdout.isatty() and sum(widths) + 2 * len(widths) - 2 > terminal_width():
        _write_cells(rows)
        return
    for name, *cells in rows:
        padded = zip(cells, widths[1:], strict=True)
        line = [cell.ljust(width) if words else cell.rjust(width) for cell, width in padded]
        write_line("  ".join([name.ljust(widths[0]), *line]).rstrip())


def _write_cells(rows: Sequence[Sequence[str]]) -> None:
    (_, *header), *others = rows
    width = max(map(len, header))
    for name, *cells in others:
        write_line(name)
        for column, cell in zip(header, cells, strict=True):
            write_line(f"  {column.ljust(width)}  {cell}".rstrip())


def terminal_width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns


def bar(share: float, used: int) -> str:
    """A bar for a share of 0 to 1, in what a line of ``used`` columns leaves of the terminal."""
    room = min(LONGEST_BAR, terminal_width() - used - 1)
    return "\N{FULL BLOCK}" * round(max(0, room) * min(1.0, max(0.0, share)))


def write_json(value: Any) -> None:
    """Write the answer as JSON."""
    write_line(json.dumps(value, ensure_ascii=False))


def say(text: str = "", style: str = "") -> None:
    """Tell the user something that is not the answer; training goes on if nobody listens."""
    with contextlib.suppress(OSError):
        err.print(Text(text, style=style))


def say_command(command: str) -> None:
    """Show a command on a line of its own, whole, so that it can be copied."""
    with contextlib.suppress(OSError):
        err.print(Text(f"  {command}"), soft_wrap=True)


def warn(text: str) -> None:
    """Tell the user something that may be unwelcome."""
    with contextlib.suppress(OSError):
        err.print(Text("note: ", style="yellow").append(text, style="default"))


def error(text: str) -> None:
    """Tell the user what went wrong."""
    with contextlib.suppress(OSError):
        err.print(Text("error: ", style="bold red").append(text, style="default"))


def typed(text: str) -> str:
    """Text from the command line, which is UTF-8 even where the locale says otherwise."""
    return os.fsencode(text).decode(errors="replace") if not text.isascii() else text


def printable(text: str) -> str:
    """Text without control characters: a model can write what drives a terminal."""
    return "".join(
        character if character in "\n\t" or character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in text.replace("\r\n", "\n")
    )


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes as a person says them."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit in "BKB" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def quote(text: str) -> str:
    """A word as the shell takes it."""
    import shlex
    import subprocess

    return subprocess.list2cmdline([text]) if os.name == "nt" else shlex.quote(text)
