"""``grucli gradcheck``: check that the gradients are right."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Literal

import typer

from grucli.analysis.gradient_checks import check_run, check_settings, settings_of
from grucli.analysis.mistakes import Mistake, find_mistake, mistakes
from grucli.cli import render
from grucli.cli.request import overrides
from grucli.config import Values
from grucli.errors import UsageError


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
    same network before training, too.
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
    lines = report.lines(brief=brief)
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
