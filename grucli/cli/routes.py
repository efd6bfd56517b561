"""``grucli routes``: show the routes that a gradient takes back through time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from grucli.analysis.route_shares import COUNTED, Enumeration, RouteShares, counts, measure
from grucli.analysis.route_tree import draw_tree
from grucli.analysis.subject import UNITS, Subject, cell_names, of_run, untrained
from grucli.cli import render
from grucli.errors import UsageError
from grucli.nn.cells import in_words


def routes(
    run: Path | None = None,
    cell: str | None = None,
    own_cell: str | None = None,
    steps_back: int = 2,
    distance: int = 64,
    text: str | None = None,
    positions: int = 64,
    hidden: int | None = None,
    rows: int = 16,
    plot: Path | None = None,
    tree: Path | None = None,
    force: bool = False,
    as_json: bool = False,
) -> None:
    """Count, name and measure the routes of the gradient from step t back to step t-k.

    A composition is one route per step, the latest step first. A GRU has 4^k compositions. The
    share of a composition is the component of its gradient along the whole gradient, mean over
    positions of the text. All shares add up to 100 %. Only the top layer is analysed.

    The exit code is 1 if the compositions do not add up to the gradient of the backward pass.
    """
    render.check_plot("--plot", plot, force=force)
    render.check_plot("--tree", tree, force=force)
    if plot and tree and plot.resolve() == tree.resolve():
        raise UsageError("--plot and --tree name the same file; name another one for --tree")
    if cell is not None and "," in cell:
        raise UsageError(f"--cell {cell}: this command analyses one cell; name one")
    runs = [] if run is None else [run]
    (subject,) = choose_subjects(runs, "--cell", cell, own_cell or "gru", text, hidden)
    result = measure(subject, steps_back, distance, positions)
    render.write_plot(plot, result.chart() if plot else "")
    render.write_plot(tree, draw_tree(result) if tree else "")
    render.answer(result.to_dict(), _lines(result, rows), as_json=as_json)
    raise typer.Exit(0 if result.enumeration.agrees else 1)


def choose_subjects(
    runs: Sequence[Path],
    option: str,
    cells: str | None,
    default: str,
    text: str | None,
    hidden: int | None,
) -> list[Subject]:
    """Load runs, or without runs make untrained models of the cells that an option names."""
    for name, value in ((option, cells), ("--hidden", hidden)):
        if runs and value is not None:
            raise UsageError(f"{name} is for untrained models; leave it out, or name no run")
    if runs:
        return [of_run(path, text) for path in runs]
    return untrained(cell_names(default if cells is None else cells), text, hidden or UNITS)


def _lines(result: RouteShares, rows: int) -> Iterator[str]:
    yield (
        "number of routes from the loss of step t to the weights used k steps back, of the update "
        "gate (GRU), the forget gate (LSTM), or the only weights (RNN)"
    )
    yield f"  {'':<6}" + "".join(f"{f'k = {k}':>8}" for k in COUNTED)
    for cell, numbers in counts().items():
        yield f"  {in_words(cell):<6}" + "".join(f"{number:>8,}" for number in numbers.values())
    yield f"\n{result.subject.name}"
    yield from _composition_lines(result.enumeration, rows)
    yield from _share_lines(result)


def _composition_lines(enumeration: Enumeration, rows: int) -> Iterator[str]:
    k, contributions = enumeration.k, enumeration.contributions
    shown, rest = contributions[:rows], contributions[rows:]
    whole = f"all {len(contributions):,} compositions" if contributions[1:] else "the composition"
    yield f"{whole} of {k} step{'s' * (k > 1)} back"
    width = max(len(one.name) for one in shown)
    yield f"  {'':<{width}}  {'gradient':>9}  {'share':>8}"
    for one in shown:
        line = f"  {one.name:<{width}}  {one.norm:9.2e}  {one.share:8.2%}  "
        yield line + render.bar(abs(one.share), render.bar_width(len(line)))
    if rest:
        share = sum(one.share for one in rest)
        yield f"  {f'{len(rest):,} more':<{width}}  {'':9}  {share:8.2%}"
    yield (
        "gradient: norm of what the composition carries; share: its part of the whole gradient, "
        "negative if it points against the whole; both are means over positions of the text"
    )
    is_sum = (
        "sum of all compositions = gradient of the backward pass, with"
        if enumeration.agrees
        else "WRONG: the sum of all compositions is not the gradient of the backward pass:"
    )
    yield f"{is_sum} a relative difference of {enumeration.difference:.1e}"


def _share_lines(result: RouteShares) -> Iterator[str]:
    shares = result.shown()
    if not shares:
        yield ""
        yield "no gradient flows back: a document begins at each position"
        return
    names = list(next(iter(shares.values())))
    yield ""
    yield (
        "share of each route in the k-th step back, from t-k+1 to t-k, mean over positions of the "
        "text"
    )
    yield f"  {'k':>5} {''.join(f'{name:>10}' for name in names)}"
    for k, named in shares.items():
        cells = "".join(f"{round(named[name], 3) + 0.0:>10.1%}" for name in names)
        yield f"  {k:>5} {cells}"
    if result.distance not in shares:
        yield "  no gradient reaches further back: documents begin there"
