"""``grucli gradflow``: measure how far back a gradient reaches."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from grucli.analysis.gradient_flow import LIMITS, GradientFlow, chart, measure
from grucli.analysis.gradient_routes import doubling_distances
from grucli.analysis.subject import before_training
from grucli.charts import power_of_ten
from grucli.cli import render
from grucli.cli.routes import choose_subjects
from grucli.errors import UsageError

DECADES = 6  # powers of ten in a full bar, which is logarithmic; an even number


def gradflow(
    models: list[Path] | None = None,
    cells: str | None = None,
    own_cell: str | None = None,
    distance: int = 128,
    text: str | None = None,
    positions: int = 64,
    hidden: int | None = None,
    untrained: bool = False,
    plot: Path | None = None,
    force: bool = False,
    as_json: bool = False,
) -> None:
    """Show how the gradient of a loss shrinks on its way back through time.

    The table shows the norm of the gradient of L_t with respect to the top layer's state at t-k,
    relative to the norm at t. (The state of an LSTM is h and c together.) It shows the median over
    positions of the text, and the 10th and the 90th percentile. In a text of documents, a position
    counts as far back as its document goes. Without runs, the command compares untrained models of
    the cells in --cells (rnn,lstm,gru, and that of --cell-file).
    """
    if untrained and not models:
        raise UsageError("--untrained is for runs; without one, all networks are untrained")
    render.check_plot("--plot", plot, force=force)
    others = ",".join(filter(None, ["rnn,lstm,gru", own_cell]))
    subjects = choose_subjects(models or [], "--cells", cells, others, text, hidden)
    subjects += [before_training(one) for one in subjects if untrained]
    flows = measure(subjects, distance, positions)
    render.write_plot(plot, chart(flows) if plot else "")
    render.answer([flow.to_dict() for flow in flows], _lines(flows, distance), as_json=as_json)


def _lines(flows: Iterable[GradientFlow], distance: int) -> Iterator[str]:
    yield (
        "k: steps back; median, 10 %, 90 %: norm of the gradient k steps back divided by its "
        "norm at k = 0, over positions of the text; bars: the median on a logarithmic scale"
    )
    reaches = [["the median falls below", *(f"{limit:.1%}" for limit in LIMITS)]]
    for flow in flows:
        yield ""
        yield flow.name
        yield from _rows(flow)
        last = len(flow.median) - 1
        if last < distance:
            yield f"  few documents go back farther than {last} steps, where the table ends"
        found = flow.falls_below().values()
        reaches.append([flow.name, *(f"k = {k}" if k else f"k > {last}" for k in found)])
    yield ""
    yield from render.table(reaches)


def _rows(flow: GradientFlow) -> Iterator[str]:
    """A line for each distance, with a bar whose blocks each stand for a part of a decade."""
    header = f"  {'k':>5} {'median':>9} {'10 %':>9} {'90 %':>9}  "
    each = render.bar_width(len(header)) // DECADES  # blocks for a power of ten
    yield (header + _scale(each)).rstrip()
    for k in sorted({0, *doubling_distances(len(flow.median) - 1)}):
        line = f"  {k:>5} {flow.median[k]:9.1e} {flow.low[k]:9.1e} {flow.high[k]:9.1e}  "
        decades = DECADES + math.log10(max(flow.median[k], 1e-99))
        yield line + render.bar(decades / DECADES, each * DECADES)


def _scale(each: int) -> str:
    """The marks of the decades above the bars, every second one with its value."""
    marks = [power_of_ten(10.0**-decade) for decade in range(DECADES, 0, -2)]
    return "".join(f"|{mark}".ljust(2 * each) for mark in marks) + "|1" if each > 2 else ""
