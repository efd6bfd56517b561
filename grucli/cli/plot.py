"""``grucli plot``: the curves of runs in the terminal, or in a file."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from grucli.charts import CELLS, Curve, colours_of, letter, svg, text, typical_top
from grucli.cli import render
from grucli.errors import UsageError
from grucli.run.run import Run, common_noun, loss_axis, names_in_figures, validation_curves
from grucli.run.verdict import about_dropout

COLUMNS = {"step": "step", "chars": "chars", "time": "elapsed_s"}
AXES = {"step": "step", "chars": "{}s", "time": "seconds"}

NARROWEST, WIDEST, LINES = 40, 100, 14  # columns of a chart, and its lines


def plot(
    paths: list[Path],
    own_cell: str | None = None,
    by: Literal["step", "chars", "time"] = "step",
    output: Path | None = None,
    force: bool = False,
) -> None:
    """Draw the losses of runs: one run with training and validation, several with validation.

    With --output, the curves are drawn into an .svg file. Standard output gets SVG.
    """
    if output != render.STANDARD_OUTPUT:
        render.check_plot("--output", output, force=force)
    opened = list({path.resolve(): Run(path) for path in paths}.values())
    noun = common_noun(opened)
    curves = opened[0].curves(COLUMNS[by]) if len(opened) == 1 else _validation(opened, by)
    if not any(curve.points for curve in curves):
        raise UsageError(
            "there are no losses yet; a run writes the first after some steps"
            if len(opened) == 1
            else "none of these runs has a validation loss, so they cannot be compared"
        )
    x = AXES[by].format(noun)
    if output is not None:
        picture = svg(curves, x=x, y=loss_axis(noun), highest=typical_top(curves), slide=True)
        render.deliver(picture, "plot", output)
        return
    render.answer((), chart(curves, x, noun))
    for sentence in about_dropout(opened[0].settings.model, curves):
        render.say(sentence)


def _validation(runs: Sequence[Run], by: str) -> list[Curve]:
    """The validation losses of several runs; runs without any are named."""
    curves = validation_curves(names_in_figures(runs), [run.metrics for run in runs], COLUMNS[by])
    drawn = {curve.colour for curve in curves}
    for number, run in enumerate(runs):
        if number not in drawn:
            render.warn(
                f"{run.path}: has no validation loss, so it is not drawn; named alone, it is drawn "
                "with its training loss"
            )
    cells = [run.settings.model.variant for run in runs]
    if len({*cells}) < len(runs):
        return curves
    colours = [*colours_of(cells, CELLS).values()]  # a cell has one colour in all figures
    return [replace(curve, colour=colours[curve.colour or 0]) for curve in curves]


def chart(curves: list[Curve], x: str, noun: str, lines: int = LINES) -> Iterator[str]:
    """The lines of a chart in the width of the terminal, and the names of its curves."""
    width = max(NARROWEST, min(render.terminal_width(), WIDEST))
    plain = not render.has_braille()
    yield from text(curves, width=width, height=lines, highest=typical_top(curves), plain=plain)
    named = [(curve.points[-1][1], n, curve.name) for n, curve in enumerate(curves) if curve.points]
    ends = ", ".join(
        f"{letter(n) + ': ' if plain else ''}{name} {last:.4f}"
        for last, n, name in sorted(named, reverse=True)
    )
    yield f"{loss_axis(noun)}, by {x}; at the end, from the top: {ends}"
