"""Drawing with matplotlib, the extra ``plot``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from grucli.errors import RunError, UsageError
from grucli.files import replace_file

FORMATS = (".svg", ".png", ".pdf")

Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", help="Draw into this file, .svg, .png or .pdf (extra plot).", metavar="FILE"
    ),
]


def check(path: Path | None) -> None:
    """Refuse, before anything is computed, a plot that could not be drawn.

    Raises:
        UsageError: a format that cannot be written, no such directory, or no matplotlib.
    """
    if path is None:
        return
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--plot {path}: the name must end in {', '.join(FORMATS)}")
    check_place("--plot", path)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(
            "--plot needs matplotlib: pip install 'grucli[plot]'; the table and --json do without"
        ) from None


def check_place(option: str, path: Path | None) -> None:
    """Refuse a file that has no place.

    Raises:
        UsageError: it is a directory, or there is none for it.
    """
    if path is not None and path.is_dir():
        raise UsageError(f"{option} {path}: this is a directory; name a file")
    if path is not None and not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no directory {path.parent}")


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
    axes.set(title=title.replace("$", r"\$"), xlabel=x, ylabel=y)  # $ would begin a formula
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    yield axes
    axes.legend(frameon=False, fontsize="small")
    kind = path.suffix[1:].lower()
    metadata = {"Date": None} if kind == "svg" else {}
    try:
        replace_file(path, lambda file: fig.savefig(file, format=kind, dpi=150, metadata=metadata))
    except OSError as error:
        raise RunError(f"{path}: cannot write the plot: {error.strerror}") from None
    finally:
        plt.close(fig)
