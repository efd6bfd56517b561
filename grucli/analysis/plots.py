"""Draw plots with matplotlib, which the extra ``plot`` installs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from grucli import output_files
from grucli.analysis.gradient_flow import LIMITS, GradientFlow
from grucli.charts import Curve
from grucli.errors import UsageError
from grucli.text_out import printable

TABLE = "the table and --json work"
"""What there is without matplotlib."""

FORMATS = (".svg", ".png", ".pdf")

LARGEST = 1e300
"""Largest value that is drawn; matplotlib fails near the largest float."""


def check(path: Path | None, *, force: bool, option: str = "--plot", instead: str = TABLE) -> None:
    """Refuse a plot that cannot be drawn, before anything is computed.

    Raises:
        UsageError: the format is unknown, the file cannot be written, or matplotlib is missing.
    """
    if path is None:
        return
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{option} {path}: the name must end in {', '.join(FORMATS)}")
    output_files.check(option, path, force=force)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{option} needs matplotlib: pip install matplotlib; {instead} without it"
        ) from None


def draw_shares(path: Path, name: str, shares: Mapping[int, Mapping[str, float]]) -> None:
    """Draw the share of each route against the distance.

    Args:
        path: the file to write.
        name: the name of the model.
        shares: for each distance, the share of each route by the route's name.

    Raises:
        UsageError: the plot cannot be drawn; see ``check``.
        RunError: the file cannot be written.
    """
    ks = list(shares)
    title = f"{name}: shares of the routes"
    with _figure(path, title, "steps back", "share of the step's gradient") as axes:
        for route in shares.get(1, {}):
            axes.plot(ks, [shares[k][route] for k in ks], label=route)
        axes.axhline(0, color="0.8", linewidth=0.8)


def draw_flows(path: Path, flows: Sequence[GradientFlow]) -> None:
    """Draw the relative norm of each model's gradient against the distance.

    Raises:
        UsageError: the plot cannot be drawn; see ``check``.
        RunError: the file cannot be written.
    """
    title, y = "How far back the gradient reaches", "norm of the gradient, relative to step t"
    with _figure(path, title, "steps back", y) as axes:
        for flow in flows:
            ks = range(len(flow.median))
            (line,) = axes.plot(ks, flow.median, label=_plain(flow.name))
            axes.fill_between(ks, flow.low, flow.high, color=line.get_color(), alpha=0.15)
        axes.set_yscale("log")
        for limit in LIMITS:
            axes.axhline(limit, color="0.7", linewidth=0.8, linestyle="--")


def draw_curves(path: Path, curves: Sequence[Curve], x: str, y: str, highest: float | None) -> None:
    """Draw curves.

    Raises:
        UsageError: the plot cannot be drawn; see ``check``.
        RunError: the file cannot be written.
    """
    with _figure(path, "", x, y) as axes:
        for curve in curves:
            points = np.clip(np.array(curve.points).reshape(-1, 2), -LARGEST, LARGEST)
            axes.plot(*points.T, label=_plain(curve.name))
        axes.set_ylim(top=None if highest is None else min(highest, LARGEST))


@contextmanager
def _figure(path: Path, title: str, x: str, y: str) -> Iterator[Any]:
    """Yield axes to draw on; then write the figure to ``path``, completely or not at all.

    Raises:
        UsageError: the plot cannot be drawn; see ``check``.
        RunError: the file cannot be written.
    """
    check(path, force=True)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")  # without pyplot's state
    axes = figure.subplots()
    axes.set(title=_plain(title), xlabel=x, ylabel=y)
    axes.xaxis.get_major_locator().set_params(integer=True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    yield axes
    axes.legend(frameon=False, fontsize="small")
    kind = path.suffix[1:].lower()
    options = {"format": kind, "dpi": 150, "metadata": {"Date": None} if kind == "svg" else {}}
    with rc_context({"svg.hashsalt": "grucli"}):  # equal figures give equal files
        output_files.write_result(path, "plot", lambda file: figure.savefig(file, **options))


def _plain(text: str) -> str:
    """Escape dollar signs, which start formulas, and control characters, which break SVG files."""
    return printable(text).replace("$", r"\$")
