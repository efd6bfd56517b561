"""``grucli example``: a GRU computed by hand, with every number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import typer

from grucli.analysis.handout import handout as make_handout
from grucli.analysis.worked_example import Quantity, WorkedExample, worked_example
from grucli.cli import render
from grucli.config import read_yaml
from grucli.files import check_output, write_result
from grucli.nn.params import Array

SYMBOL, FORMULA = 10, 51  # columns of a symbol, and columns before a value


def example(
    cell: Literal["gru", "lstm", "rnn"] = "gru",
    numbers: Path | None = None,
    handout: Path | None = None,
    force: bool = False,
    as_json: bool = False,
) -> None:
    """Show every number of the forward and the backward pass of a very small network.

    It has two units and reads two characters, so that each number can be checked by hand. The exit
    code is 1 if the gradients of the program are not those of the example.
    """
    check_output("--handout", handout, force=force, reads=[numbers] if numbers else [])
    result = worked_example(cell, read_yaml(numbers) if numbers else None)
    if handout is not None:
        write_result(handout, "page", make_handout(result))
    render.answer(result.to_dict(), _lines(result), as_json=as_json)
    raise typer.Exit(0 if result.agrees else 1)


def _lines(result: WorkedExample) -> Iterator[str]:
    yield result.task
    for title, quantities in result.sections:
        yield f"\n{title}"
        for quantity in quantities:
            yield from _quantity_lines(quantity)
    yield ""
    same = "are the same" if result.agrees else "are WRONG"
    yield (
        f"The gradients of the program's backward pass {same}; the largest difference is "
        f"{result.difference:.0e}."
    )


def _quantity_lines(quantity: Quantity) -> Iterator[str]:
    """The lines of a quantity; its value is below a long formula, and on a narrow terminal."""
    head = f"  {quantity.symbol:<{SYMBOL}} {f'= {quantity.formula}' * bool(quantity.formula)}"
    rows = _rows(quantity.value)
    width = max(map(len, rows))
    narrow = render.on_terminal() and FORMULA + width > render.terminal_width()
    if narrow or len(head) >= FORMULA:
        yield head.rstrip()
        yield from (f"{'':<{SYMBOL + 3}}{row}" for row in rows)
        return
    yield f"{head:<{FORMULA}}{rows[0]}"
    yield from (f"{'':<{FORMULA}}{row}" for row in rows[1:])


def _rows(value: Array) -> list[str]:
    """A number, a vector, or each row of a matrix, with the digits that a check needs."""
    if value.ndim == 0:
        return [f" {value:.8f}"]
    if value.ndim == 1:
        return ["[" + " ".join(f"{number:7.4f}" for number in value) + "]"]
    return [row for vector in value for row in _rows(vector)]
