"""``grucli gradcheck``: check that the gradients are right."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import typer

from grucli.analysis.gradient_checks import Report, check_run, check_settings, settings_of, worst
from grucli.analysis.mistakes import Mistake, find_mistake, mistakes
from grucli.cli import render
from grucli.cli.request import overrides
from grucli.config import Values
from grucli.errors import UsageError
from grucli.nn.gradcheck import TOLERANCE, Row

NAMED = 6  # wrong gradients that the verdict names
VERDICTS = {"right": "", "undecided": "  cannot be decided here", "WRONG": "  WRONG"}
LETTERS = (
    "V characters in the vocabulary, H units, L layers, T steps, B streams of text; D inputs of "
    "one layer"
)


def gradcheck(
    run: Path | None = None,
    sets: list[str] | None = None,
    own_cell: str | None = None,
    text: str | None = None,
    mistake: str | None = None,
    products: Literal["numpy", "onednn"] | None = None,
    brief: bool = False,
    as_json: bool = False,
) -> None:
    """Check every gradient against central differences, in float64; exit 1 if one is wrong.

    Without a run, the command checks a small model with random weights. --set changes this model,
    for example with model.layers=3 or model.reset=after. With a run, the command checks the weights
    of its best checkpoint on its text. --break makes a known mistake, for example route-2-update.

    On extreme weights, gradients can vanish, and rounding can explain errors as large as those of
    a mistake. They "cannot be decided here", which is no failure; the command then checks the
    initial weights of the run, too.
    """
    for option, value in (("--set", sets), ("--break", mistake)):
        if run is not None and value:
            raise UsageError(f"{option} is for the small model; leave it out, or name no run")
    if run is None and text is not None:
        raise UsageError("--text is for a run or a checkpoint; name one, or leave --text out")
    values = overrides(sets or [], own_cell)
    if mistake == "list":
        _list_mistakes(values, as_json)
        return
    if run is None:
        report = check_settings(values, mistake, products)
    else:
        report = check_run(run, text, products)
    lines = _lines(report, brief)
    if mistake is not None:
        cell = settings_of(values).model.variant
        lines = chain(_mistake_lines(find_mistake(cell, mistake)), lines)
    render.answer(report.to_dict(), lines, as_json=as_json)
    raise typer.Exit(0 if report.passed else 1)


def _list_mistakes(values: Values, as_json: bool) -> None:
    choices = mistakes(settings_of(values).model.variant)
    names = ("meaning", "formula", "wrong_formula", "right", "wrong")
    records = [
        {"mistake": one.slug} | {name: getattr(one, name) for name in names} for one in choices
    ]
    lines = chain.from_iterable((one.slug, f"  {one.meaning}") for one in choices)
    render.answer(records, lines, as_json=as_json)


def _mistake_lines(mistake: Mistake) -> Iterator[str]:
    yield f"a mistake: {mistake.name}"
    yield f"  {mistake.meaning}"
    yield f"  right: {mistake.formula}"
    yield f"  wrong: {mistake.wrong_formula}"
    yield f"  in {mistake.module.__name__}, {mistake.right}"
    yield f"  becomes {mistake.wrong}"
    yield ""


def _lines(report: Report, brief: bool) -> Iterator[str]:
    yield from _verdict(report)
    in_float64 = sum(row.allowed == TOLERANCE for _, row in report.rows)
    yield (
        f"{in_float64} checks of NumPy's products against derivatives in float64: the "
        f"worst relative error is {report.worst:.1e}, {TOLERANCE:.0e} is allowed"
    )
    yield ""
    for title, rows in report.sections.items():
        yield title
        if brief:
            right = sum(row.verdict == "right" for row in rows)
            error, allowed = worst(rows), max(row.allowed for row in rows)
            yield f"  {right} of {len(rows)} right, worst error {error:.1e}, allowed {allowed:.1e}"
        else:
            yield from _row_lines(rows)
    yield LETTERS
    if not brief:
        yield ""
        yield from _verdict(report)  # what a projector still shows


def _verdict(report: Report) -> Iterator[str]:
    total = len(report.rows)
    if report.wrong:
        yield f"WRONG: {len(report.wrong)} of {total} gradients ({_named(report.wrong)})"
    elif not report.undecided:
        yield "all gradients are right"
    if report.undecided:
        yield (
            f"cannot be decided here: {len(report.undecided)} of {total} gradients "
            f"({_named(report.undecided)}); on these weights they vanish, or rounding explains "
            "errors as large as those of a mistake"
        )


def _named(arrays: Sequence[str]) -> str:
    names = list(dict.fromkeys(arrays))
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _row_lines(rows: Sequence[Row]) -> Iterator[str]:
    yield f"  {'array':<14} {'shape':<14} {'compared':<11} rel. error    allowed"
    for row in rows:
        shape, verdict = " x ".join(map(str, row.shape)), VERDICTS[row.verdict]
        yield (
            f"  {row.name:<14} {shape:<14} {row.compared:<11} {row.error:10.1e} {row.allowed:10.1e}"
            f"{verdict}"
        )
    yield ""
