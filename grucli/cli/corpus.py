"""``grucli corpus``: real text to try things on."""

from pathlib import Path
from typing import Annotated

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
        typer.Option("--output", "-o", help="Where to write it [data/NAME.txt].", metavar="FILE"),
    ] = None,
) -> None:
    """Write a text that this Python installation already holds, and print its path."""
    from grucli import corpora
    from grucli.errors import UsageError
    from grucli.files import replace_file

    pieces = corpora.pieces(name)
    path = Path("data", f"{name}.txt") if output is None else output
    chars = 0

    def write(file: object) -> None:
        nonlocal chars
        for piece in pieces:
            chars += len(piece)
            file.write(piece.encode())  # type: ignore[attr-defined]

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, write)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}; choose a place with --output"
        ) from None
    render.say(f"{chars:,} characters; train on them with: grucli train {render.quote(str(path))}")
    render.write_line(str(path))
