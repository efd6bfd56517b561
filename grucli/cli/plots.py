"""Drawing with matplotlib, the extra ``plot``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from grucli.cli import outputs, render
from grucli.errors import RunError, UsageError

FORMATS = (".svg", ".png", ".pdf")

Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", help="Draw into this file, .svg, .png or .pdf; needs matplotlib.", metavar="FILE"
    ),
]


def check(path: Path | None, *, force: bool) -> None:
    """Refuse, before anything is computed, a plot that could not be drawn.

    Raises:
        UsageError: a format or a file that cannot be written, or no matplotlib.
    """
    if path is None:
        return
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--plot {path}: the name must end in {', '.join(FORMATS)}")
    outputs.check("--plot", path, force=force)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(
            "--plot needs matplotlib: pip install matplotlib; the table and --json do without"
        ) from None


def plain(text: str) -> str:
    """Text as it is: a dollar sign would begin a formula, control characters break an SVG file."""
    return render.printable(text).replace("$", r"\$")


@contextmanager
def figure(path: Path, title: str, x: str, y: str) -> Iterator[Any]:
    """Axes to draw on; written to ``path`` at the end, whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "grucli"  # equal pictures have equal bytes
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    axes.set(title=plain(title), xlabel=x, ylabel=y)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    yield axes
    axes.legend(frameon=False, fontsize="small")
    kind = path.suffix[1:].lower()
    metadata = {"Date": None} if kind == "svg" else {}
    try:
        outputs.write(path, lambda file: fig.savefig(file, format=kind, dpi=150, metadata=metadata))
    except OSError as error:
        raise RunError(f"{path}: cannot write the plot: {error.strerror}") from None
    finally:
        plt.close(fig)
