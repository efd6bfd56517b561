"""The one place where a command prints its answer, as text or as JSON."""

from collections.abc import Iterable

from grucli.cli import render


def answer(records: object, lines: Iterable[str], *, as_json: bool, coloured: bool = False) -> None:
    """Print what a command has found.

    Args:
        records: the answer as JSON takes it.
        lines: the same for people, line by line, such as ``render.table`` makes. They are made
            only if they are printed.
        as_json: whether to print JSON.
        coloured: whether the lines have colours for the terminal in them.
    """
    if as_json:
        render.write_json(records)
        return
    for line in lines:
        if coloured:
            render.write_raw(f"{line}\n".encode(errors="replace"))
        else:
            render.write_line(line)
