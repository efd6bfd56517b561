"""Print the answer of a command, as text or as JSON."""

from collections.abc import Iterable

from grucli.cli import render


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
