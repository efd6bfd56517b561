"""Write what a command makes: an answer as text or as JSON, a page, a plot."""

from collections.abc import Iterable
from pathlib import Path

from grucli.cli import render
from grucli.errors import UsageError
from grucli.files import check_output, replace_text, write_result

STANDARD_OUTPUT = Path("-")


def answer(records: object, lines: Iterable[str], *, as_json: bool, coloured: bool = False) -> None:
    """Print the answer of a command, the records as JSON or the lines, which are made only then.

    ``coloured`` lines contain colour codes for the terminal.
    """
    if as_json:
        render.write_json(records)
        return
    for line in lines:
        if coloured:
            render.write_raw(f"{line}\n".encode(errors="replace"))
        else:
            render.write_line(line)


def deliver(text: str, kind: str, output: Path | None, own: Path | None = None) -> None:
    """Write a page or a plot to the file that --output names, or to a file of the run's own.

    Its path is the answer, unless --output is standard output.
    """
    if output == STANDARD_OUTPUT:
        render.write(text.encode())
    elif output is not None:
        write_result(output, kind, text)
        render.write_path(output)
    elif own is not None:
        replace_text(own, text)  # this replaces a link; a link that the user names is followed
        render.write_path(own)


def write_plot(path: Path, picture: str) -> None:
    """Write a plot beside an answer; a note says if there is nothing to draw."""
    if picture:
        write_result(path, "plot", picture)
    else:
        render.warn(f"{path}: is not written, because there is nothing to draw")


def check_plot(option: str, path: Path | None, *, force: bool) -> None:
    """Refuse a plot that cannot be written, before anything is computed."""
    if path is not None and path.suffix.lower() != ".svg":
        raise UsageError(
            f"{option} {path}: a plot is an SVG file, so its name must end in .svg; a browser "
            "prints it as PDF, and resvg (pip install resvg-py) makes a PNG of it"
        )
    check_output(option, path, force=force)
