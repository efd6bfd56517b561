"""``grucli gradflow``: how far back a gradient reaches."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grucli.cli import outputs, plots, render, subjects
from grucli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

Runs = Annotated[
    list[Path] | None,
    typer.Argument(help="Look into these runs or checkpoints.", metavar="[RUN|CKPT]..."),
]
LIMITS = (1e-2, 1e-3)
SPREAD = (10, 50, 90)
"""Percentiles over the places of the text."""
DECADES = 6
"""Powers of ten that a full bar stands for: its length is a logarithm."""


def gradflow(
    runs: Runs = None,
    cells: Annotated[
        str | None,
        typer.Option(
            "--cells", help="Untrained cells to compare (rnn,lstm,gru).", metavar="A,B,..."
        ),
    ] = None,
    distance: Annotated[
        int, typer.Option("--distance", min=1, max=10_000, help="Steps back.", metavar="N")
    ] = 128,
    text: subjects.Text = None,
    positions: subjects.Positions = 64,
    hidden: subjects.Hidden = None,
    plot: plots.Plot = None,
    force: outputs.Force = False,
    as_json: subjects.AsJson = False,
) -> None:
    """Show how the gradient of a loss fades on its way back through time.

    The length of the gradient of L_t with respect to the top layer's state at t-k (of an LSTM: h
    and c together), relative to that at t: median over places of the text, and where a tenth and
    nine tenths of them lie.
    """
    plots.check(plot, force=force)
    if runs and cells:
        raise UsageError("--cells is for untrained models; runs have their cells; keep one")
    H = subjects.units(runs, hidden)
    from grucli.analysis.gradient_flow import look, norms_by_distance

    looked = (
        [subjects.of_run(path, text) for path in runs]
        if runs
        else subjects.untrained(subjects.cell_names(cells or "rnn,lstm,gru"), text, H)
    )
    subjects.check_same_vocabulary(looked)
    flows: dict[str, np.ndarray[Any, Any]] = {}
    for subject in looked:
        norms = norms_by_distance(look(subject.model, subject.ids, distance, positions))
        flows[_free(subject.name, flows)] = _percentiles(norms)
    if plot is not None:
        _draw(plot, flows)
    if as_json:
        render.write_json([_as_json(name, flow) for name, flow in flows.items()])
        return
    for name, flow in flows.items():
        _print(name, flow)


def _free(name: str, taken: dict[str, Any]) -> str:
    """A name that is not taken: two checkpoints may be called alike."""
    number = 2
    free = name
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free


def _percentiles(norms: Any) -> "np.ndarray[Any, Any]":
    """The spread of the norms relative to those at distance 0, (3, distance+1)."""
    import numpy as np

    relative = norms / np.maximum(norms[0], 1e-300)
    percentiles: np.ndarray[Any, Any] = np.percentile(relative, SPREAD, axis=1)
    return percentiles


def _print(name: str, flow: "np.ndarray[Any, Any]") -> None:
    import numpy as np

    low, middle, high = flow
    render.write_line(f"{name}\nlength of the gradient k steps back, of that at step t")
    render.write_line(f"  {'k':>5} {'median':>9} {'10 %':>9} {'90 %':>9}")
    for k in [0, *subjects.distances_shown(len(middle) - 1)]:
        line = f"  {k:>5} {middle[k]:9.1e} {low[k]:9.1e} {high[k]:9.1e}  "
        decades = DECADES + np.log10(max(middle[k], 1e-99))
        render.write_line(line + render.bar(decades / DECADES, len(line)))
    for limit, reach in _reach(middle).items():
        where = f"not within {len(middle) - 1} steps" if reach is None else f"after {reach} steps"
        render.write_line(f"  below {limit:.1%} {where}")
    render.write_line("")


def _reach(middle: Sequence[float]) -> dict[float, int | None]:
    from grucli.analysis.gradient_flow import falls_below

    return {limit: falls_below(middle, limit) for limit in LIMITS}


def _as_json(name: str, flow: "np.ndarray[Any, Any]") -> dict[str, Any]:
    low, middle, high = (row.tolist() for row in flow)
    return {
        "model": name,
        "median": middle,
        "percentile_10": low,
        "percentile_90": high,
        "falls_below": {f"{limit:g}": k for limit, k in _reach(middle).items()},
    }


def _draw(path: Path, flows: "dict[str, np.ndarray[Any, Any]]") -> None:
    title, y = "How far back the gradient reaches", "relative length of the gradient"
    with plots.figure(path, title, "steps back", y) as axes:
        for name, (low, middle, high) in flows.items():
            (line,) = axes.plot(range(len(middle)), middle, label=plots.plain(name))
            axes.fill_between(range(len(middle)), low, high, color=line.get_color(), alpha=0.15)
        axes.set_yscale("log")
        for limit in LIMITS:
            axes.axhline(limit, color="0.7", linewidth=0.8, linestyle="--")
