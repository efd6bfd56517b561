"""``grucli corpus``: real text to try things on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from grucli.cli import render


def corpus(
    name: Annotated[
        str,
        typer.Argument(
            help="python-reference (the language reference, 0.5 MB of English prose) or "
            "python-stdlib (the standard library, about 12 MB of Python source).",
            metavar="NAME",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to write it [data/NAME.txt]; - is standard output.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Write a text that this Python installation already holds, and print its path."""
    from grucli import corpora
    from grucli.errors import UsageError

    pieces = corpora.pieces(name)
    path = Path("data", f"{name}.txt") if output is None else output
    if str(path) == "-":
        for piece in pieces:
            render.write(piece.encode())
        return
    try:
        chars = _write(path, pieces)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}; choose a place with --output"
        ) from None
    render.say(f"{chars:,} characters; train on them with: grucli train {render.quote(str(path))}")
    render.write_line(str(path))


def _write(path: Path, pieces: Iterator[str]) -> int:
    """Write a text, complete or not at all where that can be; the number of characters."""
    from grucli.files import replace_file

    chars = 0

    def write(file: BinaryIO) -> None:
        nonlocal chars
        for piece in pieces:
            chars += len(piece)
            file.write(piece.encode())

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():  # a pipe, a device; a directory is an error
        with path.open("wb") as file:
            write(file)
    else:
        replace_file(path.resolve(), write)
    return chars
