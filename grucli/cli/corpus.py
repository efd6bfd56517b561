"""``grucli corpus``: real text to try things on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from grucli.cli import outputs, render
from grucli.errors import UsageError


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
    force: outputs.Force = False,
) -> None:
    """Write a text that this Python installation already holds, and print its path."""
    from grucli.data import builtin as corpora

    pieces = corpora.pieces(name)
    path = Path("data", f"{name}.txt") if output is None else output
    if str(path) == "-":
        for piece in pieces:
            render.write(piece.encode())
        return
    try:
        if outputs.exists(path) and not force:
            said = f"{path} holds this text already"
            _check_equal(path, pieces)
        else:
            said = f"{_write(path, pieces):,} characters"
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}; choose a place with --output"
        ) from None
    if not outputs.exists(path):  # a pipe or a device: the text was the answer
        return
    render.say(f"{said}; train on it with: grucli train {render.quote(str(path))}")
    render.write_path(path)


def _check_equal(path: Path, pieces: Iterator[str]) -> None:
    """Refuse to overwrite a file, unless there is no difference.

    Raises:
        UsageError: it holds something else.
    """
    with path.open("rb") as file:
        parts = (piece.encode() for piece in pieces)
        if not all(file.read(len(part)) == part for part in parts) or file.read(1):
            raise UsageError(
                f"{path}: this file exists and holds another text; name another place with "
                "--output, or overwrite it with --force"
            )


def _write(path: Path, pieces: Iterator[str]) -> int:
    """Write a text; the number of characters."""
    chars = 0

    def fill(file: BinaryIO) -> None:
        nonlocal chars
        for piece in pieces:
            chars += len(piece)
            file.write(piece.encode())

    path.parent.mkdir(parents=True, exist_ok=True)
    outputs.write(path, fill)
    return chars
