"""How things look: the answer goes to stdout, and everything else to stderr."""

import codecs
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from grucli.errors import RunError
from grucli.errors import quote as quote_word
from grucli.printable import CONTROLS, printable

LONGEST_BAR = 28
"""Columns of the longest bar."""

LINE_BREAKING = {ord("\t"): "\u2409", ord("\n"): "\u240a", ord("\r"): "\u240d"}
"""Characters that would break a table, and their symbols."""


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


class _Terminal:
    """Printable text for a terminal, from an answer that comes in chunks."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # a carriage return: the next chunk tells whether it ends a line

    def encode(self, data: bytes) -> bytes:
        """What can be shown by now; the rest comes with the next chunk."""
        text = self._held + self._decoder.decode(data)
        self._held = "\r" if text.endswith("\r") else ""
        return printable(text.removesuffix(self._held)).encode()


_terminal = _Terminal()


def on_terminal() -> bool:
    """Whether the answer goes to a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def write(data: bytes) -> None:
    """Write part of the answer at once; a terminal gets symbols for control characters.

    Raises:
        RunError: standard output is closed, or full.
    """
    write_raw(_terminal.encode(data) if on_terminal() else data)


def write_raw(data: bytes) -> None:
    """Write part of the answer as it is; end quietly if its reader is gone.

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
    write(_encode(text) + b"\n")


def write_path(path: Path) -> None:
    """Write a path as the answer: the bytes that the system knows it by."""
    write(os.fsencode(_never_option(str(path))) + b"\n")


def _encode(text: str) -> bytes:
    """UTF-8; a file name in it keeps its bytes."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode(errors="replace")


def write_table(rows: Sequence[Sequence[str]], *, words: bool = False) -> None:
    """Write a table, as ``table`` makes it."""
    for line in table(rows, words=words):
        write_line(line)


def table(rows: Sequence[Sequence[str]], *, words: bool = False) -> Iterator[str]:
    """The lines of a table; on a terminal that is too narrow for it, one line for each cell.

    Args:
        rows: the header, then the others; the first column is names.
        words: whether the other columns are words; otherwise they are numbers.
    """
    rows = [[_one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if on_terminal() and sum(widths) + 2 * len(widths) - 2 > terminal_width():
        yield from _cell_by_cell(rows)
        return
    for name, *cells in rows:
        padded = zip(cells, widths[1:], strict=True)
        line = [cell.ljust(width) if words else cell.rjust(width) for cell, width in padded]
        yield "  ".join([name.ljust(widths[0]), *line]).rstrip()


def _one_line(cell: str) -> str:
    """A cell of a table, without characters that would break its line."""
    line = cell.translate(LINE_BREAKING)
    return printable(line) if on_terminal() else line


def _cell_by_cell(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    (_, *header), *others = rows
    width = max(map(len, header))
    for name, *cells in others:
        yield name
        for column, cell in zip(header, cells, strict=True):
            yield f"  {column.ljust(width)}  {cell}".rstrip()


def terminal_width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns


def bar(share: float, used: int) -> str:
    """A bar for a share of 0 to 1, after ``used`` columns of a line."""
    longest = min(LONGEST_BAR, terminal_width() - used - 1)
    return "\N{FULL BLOCK}" * round(max(0, longest) * min(1.0, max(0.0, share)))


def write_json(value: Any) -> None:
    """Write the answer as JSON, with control characters escaped."""
    text = json.dumps(value, ensure_ascii=False)
    write_line(CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def say(text: str = "", style: str = "") -> None:
    """Tell the user something that is not the answer."""
    _print((text, style))


def say_command(command: str) -> None:
    """Show a command on a line of its own, whole, so that it can be copied."""
    _print((f"  {command}", ""), soft_wrap=True)


def warn(text: str) -> None:
    """Tell the user something that they may not expect."""
    _print(("note: ", "yellow"), (text, ""))


def error(text: str) -> None:
    """Tell the user what went wrong."""
    _print(("error: ", "bold red"), (text, ""))


def _print(*parts: tuple[str, str], soft_wrap: bool | None = None) -> None:
    """Print text and its style, part by part; an error of stderr does not stop training."""
    text = Text.assemble(*((printable(part), style) for part, style in parts))
    with contextlib.suppress(OSError):
        err.print(text, soft_wrap=soft_wrap)


def typed(text: str) -> str:
    """Text from the command line, read as UTF-8 whatever the locale."""
    return os.fsencode(text).decode(errors="replace") if not text.isascii() else text


def duration(seconds: float) -> str:
    """Seconds in words, such as "3 min 20 s"."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes in words, such as "4.2 MB"."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit in "BKB" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def quote(path: str) -> str:
    """A path as the shell takes it: one word, and never an option."""
    path = _never_option(path)
    as_bytes = os.name != "nt" and CONTROLS.search(path)
    return _escape(path) if as_bytes else quote_word(path)


def _never_option(path: str) -> str:
    """A path that does not begin as an option does; - alone is standard input."""
    return f"./{path}" if path.startswith("-") and path != "-" else path


def _escape(path: str) -> str:
    """A path that cannot be shown, as bash and zsh take it."""
    plain = [chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in _encode(path)]
    return "$'" + "".join("\\" + one if one in "\\'" else one for one in plain) + "'"
