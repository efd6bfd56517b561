"""Print the answer of a command, as text or as JSON, or write it to a file."""

from collections.abc import Iterable
from pathlib import Path

from grucli import output_files
from grucli.cli import render
from grucli.files import replace_text

STANDARD_OUTPUT = Path("-")


def answer(records: object, lines: Iterable[str], *, as_json: bool, coloured: bool = False) -> None:
    """Print the answer of a command.

    Args:
        records: the answer as a value for JSON.
        lines: the answer as lines of text, for example from ``render.table``. They are computed
            only if they are printed.
        as_json: whether to print JSON.
        coloured: whether the lines contain colour codes for the terminal.
    """
    if as_json:
        render.write_json(records)
        return
    for line in lines:
        if coloured:
            render.write_raw(f"{line}\n".encode(errors="replace"))
        else:
            render.write_line(line)


def write_file(text: str, kind: str, output: Path | None, own: Path | None = None) -> Path | None:
    """Write a page or a plot to the file that --output names, or to a file of the run's own.

    Returns the path, or None if --output is standard output.
    """
    if output == STANDARD_OUTPUT:
        render.write(text.encode())
        return None
    if output is None:
        assert own is not None
        replace_text(own, text)  # this replaces a link; a link that the user names is followed
        return own
    output_files.write_result(output, kind, lambda file: file.write(text.encode()))
    return output
