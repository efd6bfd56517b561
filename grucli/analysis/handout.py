"""A worked example as a sheet of paper: the equations, what is given, and blanks for the rest."""

import re

import numpy as np

from grucli.analysis.worked_example import Quantity, WorkedExample
from grucli.html import as_html, filled, source

SIGNS = ("one_hot", "one-hot"), (" * ", " \N{CIRCLED DOT OPERATOR} "), ("~", "\N{COMBINING TILDE}")


def handout(example: WorkedExample) -> str:
    """The page, which needs no other file and prints on A4 or Letter."""
    template = source("grucli.analysis", "handout.html")
    style = template.partition("<style>")[2].partition("</style>")[0]
    return filled(
        template,
        style,
        task=_typeset(example.task),
        sections="".join(_section(*one) for one in example.sections[:-1]),
        losses=_typeset(", ".join(f"L_{t} = {example.values[f'L_{t}']:.4f}" for t in (1, 2))),
    )


def _section(title: str, quantities: list[Quantity]) -> str:
    rows = ""
    for symbol, formula, value in quantities:
        shown = [["" if formula else _given(one) for one in row] for row in np.atleast_2d(value)]
        numbers = "".join(f"<tr><td>{'<td>'.join(row)}" for row in shown)
        equals = f"= {_typeset(formula)}" if formula else ""
        rows += f"<tr><th>{_typeset(symbol)}<td>{equals}<td><table>{numbers}</table>"
    return f"<section><h2>{as_html(title)}</h2><table>{rows}</table></section>\n"


def _given(number: float) -> str:
    """All digits, and at least two decimals: the losses to check are computed with all of them."""
    return f"{number:.2f}" if round(number, 2) == number else f"{number:.15g}"


def _typeset(formula: str) -> str:
    """A formula in HTML: what follows an underscore is an index, and ~ a sign above the letter."""
    text = re.sub(r"\^(\w)", r"<sup>\1</sup>", as_html(formula))
    for plain, sign in SIGNS:
        text = text.replace(plain, sign)
    return re.sub(r"(\w\N{COMBINING TILDE}?)_(\w+)", r"\1<sub>\2</sub>", text)
