"""``grucli routes``: the routes that a gradient takes back through time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grucli.cli import outputs, plots, render, subjects

if TYPE_CHECKING:
    from grucli.analysis.gradient_flow import Enumeration
    from grucli.analysis.routes import Past

NOTE = {"gru": {1: 4, 2: 16, 3: 64}, "lstm": {2: 24}, "rnn": {1: 1, 2: 1, 3: 1}}
"""What the lecture note says there are."""
COUNTED = range(1, 5)


Run = Annotated[
    Path | None,
    typer.Argument(help="Look into this run or checkpoint.", metavar="[RUN|CKPT]"),
]
CellName = Annotated[
    str | None,
    typer.Option("--cell", help="Look into an untrained gru, lstm or rnn.", metavar="NAME"),
]
StepsBack = Annotated[
    int,
    typer.Option("--steps-back", "-k", min=1, max=100, help="Steps to enumerate.", metavar="K"),
]
Distance = Annotated[
    int, typer.Option("--distance", min=1, max=10_000, help="Steps to follow shares.", metavar="N")
]
Rows = Annotated[int, typer.Option("--rows", min=1, help="Compositions to show.", metavar="N")]


def routes(
    run: Run = None,
    cell: CellName = None,
    steps_back: StepsBack = 2,
    distance: Distance = 64,
    text: subjects.Text = None,
    positions: subjects.Positions = 64,
    hidden: subjects.Hidden = None,
    rows: Rows = 16,
    plot: plots.Plot = None,
    force: outputs.Force = False,
    as_json: subjects.AsJson = False,
) -> None:
    """Count, name and measure the routes of the gradient from step t back to step t-k.

    A composition is one route a step, the latest first; of a GRU there are 4^k. Its share is its
    component along the whole gradient, mean over places of the text: all shares add up to 100 %.
    Only the top layer is looked at.
    """
    plots.check(plot, force=force)
    from grucli.analysis import gradient_flow as inspection
    from grucli.nn.cells import CELLS

    subject = subjects.one(run, cell, text, hidden)
    inspection.check_enumerable(CELLS[subject.model.cell], steps_back)
    near = inspection.look(subject.model, subject.ids, steps_back, positions)
    far = inspection.look(subject.model, subject.ids, distance, positions)
    enumeration = inspection.enumerate_routes(near, steps_back)
    shares = inspection.shares_by_distance(far, subjects.distances_shown(distance))
    if plot is not None:
        _draw(plot, subject.name, far, distance)
    if as_json:
        render.write_json(_as_json(subject.name, enumeration, shares))
        return
    _print_counts()
    _print_compositions(subject.name, enumeration, rows)
    _print_shares(shares, distance)


def _counts() -> dict[str, dict[int, int]]:
    from grucli.analysis.routes import count
    from grucli.nn.cells import CELLS, basic

    return {cell: {k: count(CELLS[cell], k) for k in COUNTED} for cell in basic()}


def _print_counts() -> None:
    render.write_line("routes from L_t k steps back, counted into the weights of the update")
    render.write_line("gate (GRU), of the forget gate (LSTM), into the only ones (RNN)")
    header = "".join(f"{f'k = {k}':>8}" for k in COUNTED)
    render.write_line(f"  {'':<6}{header}   lecture note")
    for cell, counts in _counts().items():
        note = NOTE.get(cell, {})
        said = ", ".join(str(note.get(k, "-")) for k in range(1, max(note, default=0) + 1))
        numbers = "".join(f"{number:>8,}" for number in counts.values())
        render.write_line(f"  {cell.upper():<6}{numbers}   {said}")


def _print_compositions(name: str, enumeration: "Enumeration", rows: int) -> None:
    k, carried = enumeration.k, enumeration.carried
    render.write_line(
        f"\n{name}\nall {len(carried):,} compositions of {k} step{'s' * (k > 1)} back"
    )
    width = max(len(one.name) for one in carried[:rows])
    render.write_line(f"  {'':<{width}}  {'gradient':>9}  {'share':>8}")
    for one in carried[:rows]:
        line = f"  {one.name:<{width}}  {one.norm:9.2e}  {one.share:8.2%}  "
        render.write_line(line + render.bar(abs(one.share), len(line)))
    if len(carried) > rows:
        rest = sum(one.share for one in carried[rows:])
        render.write_line(f"  {f'{len(carried) - rows:,} more':<{width}}  {'':9}  {rest:8.2%}")
    render.write_line(
        f"their sum differs from the backward pass by {enumeration.difference:.1e} of it;\n"
        "gradient: mean length; share: mean component along the whole,\n"
        "negative where it points the other way"
    )


def _print_shares(shares: dict[int, dict[str, float]], distance: int) -> None:
    if not shares:
        render.write_line("\nno gradient goes back: a document begins at each place")
        return
    names = list(next(iter(shares.values())))
    render.write_line("\nshare of each route in the step that ends k steps back;")
    render.write_line("every place of the text counts alike")
    render.write_line(f"  {'k':>5} {''.join(f'{name:>10}' for name in names)}")
    for k, named in shares.items():
        cells = "".join(f"{named[name]:>10.1%}" for name in names)
        render.write_line(f"  {k:>5} {cells}")
    if distance not in shares:
        render.write_line("  no gradient reaches further back: documents begin there")


def _as_json(
    name: str, enumeration: "Enumeration", shares: dict[int, dict[str, float]]
) -> dict[str, Any]:
    return {
        "model": name,
        "counts": _counts(),
        "note": NOTE,
        "steps_back": enumeration.k,
        "compositions": [vars(one) for one in enumeration.carried],
        "relative_difference": enumeration.difference,
        "shares_by_distance": shares,
    }


def _draw(path: Path, name: str, past: "Past", distance: int) -> None:
    from grucli.analysis.gradient_flow import shares_by_distance

    ks: Sequence[int] = range(1, distance + 1)
    shares = shares_by_distance(past, ks)
    ks = list(shares)
    title = f"{name}: shares of the routes"
    with plots.figure(path, title, "steps back", "share of the step's gradient") as axes:
        for route in shares.get(1, {}):
            axes.plot(ks, [shares[k][route] for k in ks], label=route)
        axes.axhline(0, color="0.8", linewidth=0.8)
