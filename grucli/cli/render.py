"""Write output: the answer of a command to stdout, and everything else to stderr."""

import codecs
import contextlib
import errno
import json
import locale
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console
from rich.text import Text

from grucli.errors import RunError, UsageError
from grucli.files import check_output, output_exists, replace_text, write_result
from grucli.text_out import CONTROLS, never_option, printable, to_bytes

STANDARD_OUTPUT = Path("-")
LONGEST_BAR = 28  # columns
LABEL = 9  # columns of the label of a fact
LOG_WIDTH = 100  # columns of a line with sampled text where there is no terminal
LINE_BREAKING = str.maketrans("\t\n\r", "\u2409\u240a\u240d")  # symbols that do not break a table


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Stop writing to stderr. Otherwise rich would end the program, and training with it."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.on_broken_pipe()  # the terminal was closed


err = _Console(stderr=True, highlight=False)


def use_utf8() -> None:
    """Use UTF-8 for stdout and stderr in any locale, so that no character ends a training run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")


# ---- the answer


class _Terminal:
    """A converter from chunks of an answer to printable text for a terminal."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # a carriage return that may be the start of a line end
        self._word, self._column = "", 0

    def encode(self, data: bytes) -> bytes:
        text = self._held + self._decoder.decode(data)
        self._held = "\r" if text.endswith("\r") else ""
        return printable(text.removesuffix(self._held)).encode()

    def wrapped(self, data: bytes) -> bytes:
        """As ``encode``, with line ends between words; the last word waits for its end."""
        width, written = terminal_width(), ""
        *words, held = re.split(r"(?<=\s)", self._word + self.encode(data).decode())
        *pieces, self._word = chop_cells(held, width) or [""]  # of a text without blanks
        for word in chain(*(chop_cells(word, width) or [word] for word in words), pieces):
            if self._column and self._column + cell_len(word.rstrip()) > width:
                written, self._column = written + "\n", 0
            self._column += cell_len(word)
            written += word if self._column <= width else word.rstrip(" ")
            if word.endswith("\n"):
                self._column = 0
        return written.encode()


_terminal = _Terminal()


def on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def draws() -> bool:
    """Whether messages go to a terminal on which a bar can be drawn again and again."""
    return err.is_interactive and sys.stderr is not None and sys.stderr.isatty()


def terminal_width() -> int:
    return shutil.get_terminal_size().columns


def write(data: bytes) -> bool:
    """As ``write_raw``; on a terminal, replace control characters by symbols."""
    return write_raw(_terminal.encode(data) if on_terminal() else data)


def write_words(data: bytes) -> bool:
    """As ``write``; on a terminal, lines break between words, and end with a line end."""
    return write_raw(_terminal.wrapped(data) if on_terminal() else data)


def write_raw(data: bytes) -> bool:
    """Write part of the answer unchanged; return False if the reader has closed the pipe."""
    if sys.stdout is None:
        raise RunError("standard output is closed; there is nowhere to write the answer")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # otherwise Python's flush at exit would fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno in (errno.EPIPE, errno.EIO):  # EIO: the terminal was closed
            return False  # the exit code is the same for any reader
        raise RunError(f"standard output: cannot be written: {error.strerror}") from None
    return True


def write_line(text: str) -> None:
    write(to_bytes(text) + b"\n")


def write_path(path: Path) -> None:
    """Write a path as the answer, in the bytes of the file system; a pipe has had the answer."""
    if path.is_dir() or output_exists(path):
        write(os.fsencode(never_option(str(path))) + b"\n")


def write_json(value: Any) -> None:
    write_line(json_of(value))


def json_of(value: Any) -> str:
    """A value as JSON, with control characters escaped; arrays are lists."""
    text = json.dumps(value, ensure_ascii=False, default=lambda array: array.tolist())
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def answer(records: object, lines: Iterable[str], *, as_json: bool = False) -> None:
    """Print an answer, as JSON or as lines, which are made only then and fit a terminal."""
    if as_json:
        write_json(records)
        return
    for line in lines:
        write_line("\n".join(wrap(line, terminal_width()) if on_terminal() else [line]))


# ---- pages and plots


def deliver(text: str, kind: str, output: Path | None, own: Path | None = None) -> None:
    """Write a page or plot to --output, whose path is the answer, or to a file of the run."""
    if output == STANDARD_OUTPUT:
        write(text.encode())
    elif output is not None:
        write_result(output, kind, text)
        write_path(output)
    elif own is not None:
        replace_text(own, text)  # this replaces a link; a link that the user names is followed
        write_path(own)


def write_plot(path: Path | None, picture: str) -> None:
    """Write a plot beside an answer; a note says if there is nothing to draw."""
    if path is not None and picture:
        write_result(path, "plot", picture)
    elif path is not None:
        warn(f"{path}: is not written, because there is nothing to draw")


def check_plot(option: str, path: Path | None, *, force: bool) -> None:
    """Refuse a plot that cannot be written, before anything is computed."""
    if path is not None and path.suffix.lower() != ".svg":
        raise UsageError(
            f"{option} {path}: a plot is an SVG file, so its name must end in .svg; a browser "
            "prints it as PDF, and resvg (pip install resvg-py) makes a PNG of it"
        )
    check_output(option, path, force=force)


# ---- lines of the answer


def table(
    rows: Sequence[Sequence[str]], *, words: bool = False, drop: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the lines of a table that fits the terminal; if it cannot fit, one line for each cell.

    The first row and column have names, the other cells numbers or ``words``. A narrow terminal
    does not show the columns in ``drop``, of which the first goes first.
    """
    rows = [[_one_line(cell) for cell in row] for row in rows]
    columns = list(zip(*rows, strict=True))
    for name in drop:
        if not _fits(columns):
            columns = [column for column in columns if column[0] != name]
    if not _fits(columns):
        yield from _cell_by_cell(rows)
        return
    widths = [max(map(cell_len, column)) for column in columns]
    for name, *cells in zip(*columns, strict=True):
        padded = [
            set_cell_size(cell, width) if words else " " * (width - cell_len(cell)) + cell
            for cell, width in zip(cells, widths[1:], strict=True)
        ]
        yield "  ".join([set_cell_size(name, widths[0]), *padded]).rstrip()


def cell(value: Any, form: str = ".4g") -> str:
    if isinstance(value, float):
        return format(value, form)
    return "-" if value is None else str(value)


def _one_line(cell: str) -> str:
    line = cell.translate(LINE_BREAKING)
    return printable(line) if on_terminal() else line


def _fits(columns: Sequence[Sequence[str]]) -> bool:
    """Whether a table is narrow enough; outside a terminal, every width is allowed."""
    width = sum(max(map(cell_len, column)) for column in columns) + 2 * len(columns) - 2
    return not on_terminal() or width <= terminal_width()


def _cell_by_cell(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    (_, *header), *others = rows
    width = max(map(cell_len, header))
    for name, *cells in others:
        yield name
        for column, cell in zip(header, cells, strict=True):
            yield f"  {set_cell_size(column, width)}  {cell}".rstrip()


def in_columns(words: Sequence[str], width: int) -> Iterator[str]:
    """Yield lines of at most ``width`` columns that contain the words, one below the other."""
    each = max(map(cell_len, words), default=0) + 2
    across = max(1, (width + 2) // each)
    for first in range(0, len(words), across):
        padded = (set_cell_size(word, each) for word in words[first : first + across])
        yield "".join(padded).rstrip()


def wrap(text: str, width: int) -> list[str]:
    """Break lines between words, and keep their indentation; a wider word stays whole."""
    lines = []
    for line in text.split("\n"):
        lines.append("")
        indent = line[: -len(line.lstrip())]
        for word in re.findall(r"\s*\S+", line):
            if lines[-1] and cell_len(lines[-1] + word) > width:
                lines.append(indent + word.lstrip())
            else:
                lines[-1] += word
    return lines


def folded(line: str, width: int) -> list[str]:
    """Break a line between words, and words that are wider than a line."""
    return [part for piece in wrap(line, width) for part in chop_cells(piece, width) or [""]]


def has_braille() -> bool:
    return "utf" in locale.getpreferredencoding(False).lower() and os.environ.get("TERM") not in (
        "dumb",
        "linux",
    )


def bar(share: float, width: int) -> str:
    """Return a bar for a share of 0 to 1; a full one has ``width`` columns."""
    return "\N{FULL BLOCK}" * round(width * min(1.0, max(0.0, share)))


def bar_width(used: int) -> int:
    """Return the columns of a full bar that follows ``used`` columns of a line."""
    return max(0, min(LONGEST_BAR, terminal_width() - used - 1))


# ---- messages


class _Log(logging.Handler):
    """Shows what the library says of work that takes a while."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def show_log(*, quiet: bool = False) -> None:
    log = logging.getLogger("grucli")
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.handlers = [_Log()]


def fact(label: str, text: str) -> None:
    """Show a fact with a label; further lines stand below the text, not below the label."""
    lines = wrap(text, err.width - LABEL) if err.is_terminal else [text]
    for number, line in enumerate(lines):
        say(f"{'' if number else label:<{LABEL}}{line}", whole=True)


def say_command(command: str) -> None:
    """Show a command on one line, without line breaks, so that it can be copied."""
    say(f"  {command}", whole=True)


def warn(*notes: str) -> None:
    """Show notes about what the user may not expect."""
    for note in notes:
        say(f"note: {note}", "yellow", len("note: "))


def error(text: str) -> None:
    say(f"error: {text}", "bold red", len("error: "))


def say(text: str = "", style: str = "", styled: int | None = None, *, whole: bool = False) -> None:
    """Show a message, ``styled`` up to a column; a terminal breaks it unless it is ``whole``."""
    text = printable(text)
    if err.is_terminal and not whole:
        text = "\n".join(wrap(text, err.width))
    coloured = Text(text)
    coloured.stylize(style, 0, styled)
    # it does not stop training; a handler of Ctrl-C may interrupt another write (RuntimeError)
    with contextlib.suppress(OSError, RuntimeError):
        err.print(coloured, soft_wrap=True)


# ---- words


def typed(text: str) -> str:
    """Decode text from the command line as UTF-8, in any locale."""
    return os.fsencode(text).decode(errors="replace") if not text.isascii() else text
