"""Write what a command makes: an answer as text or as JSON, a page, a plot."""

from collections.abc import Iterable
from pathlib import Path

from grucli import output_files
from grucli.cli import render
from grucli.errors import UsageError
from grucli.files import replace_text

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
    """Write a page or a plot to the file that the user named, and print its path.

    Without such a file it replaces the run's ``own`` one; - is standard output, without a path.
    """
    if output == STANDARD_OUTPUT:
        render.write(text.encode())
        return
    if output is not None:
        output_files.write_result(output, kind, text)
    elif own is not None:
        replace_text(own, text)
    render.write_path(output or own or STANDARD_OUTPUT)


def write_plot(path: Path, picture: str) -> None:
    """Write a plot beside an answer; a note says if there is nothing to draw."""
    if picture:
        output_files.write_result(path, "plot", picture)
    else:
        render.warn(f"{path}: is not written, because there is nothing to draw")


def check_plot(option: str, path: Path | None, *, force: bool) -> None:
    """Refuse a plot that cannot be written, before anything is computed."""
    if path is not None and path.suffix.lower() != ".svg":
        raise UsageError(
            f"{option} {path}: a plot is an SVG file, so its name must end in .svg; a browser "
            "prints it as PDF, and resvg (pip install resvg-py) makes a PNG of it"
        )
    output_files.check(option, path, force=force)
