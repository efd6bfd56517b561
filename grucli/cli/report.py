"""``grucli report``: curves, settings and samples of runs on one page."""

from itertools import chain
from pathlib import Path

from grucli.cli import render
from grucli.errors import GrucliError, UsageError
from grucli.files import check_output
from grucli.run import report as reports
from grucli.run.conclusion import conclude_run, sentences
from grucli.run.run import Run


def report(
    paths: list[Path], own_cell: str | None = None, output: Path | None = None, force: bool = False
) -> None:
    """Write a report of a run, or of several runs that are compared, as one HTML page.

    The page needs no network. Without --output, the report of one run is
    report.html in its directory.
    """
    reads = chain.from_iterable(Run.open(path).inputs() for path in paths)
    check_output("--output", output, force=force, reads=reads)
    if output is None and len(paths) > 1:
        raise UsageError("a report of several runs needs a name: -o FILE")
    page = reports.report(*paths, said=_said(paths[0]) if len(paths) == 1 else ())
    render.deliver(page.html, "page", output, paths[0] / "report.html")


def _said(path: Path) -> list[str]:
    """What the end of a run says of it, or why it is not said."""
    run = Run(path)
    try:
        return sentences(conclude_run(path), run.noun)
    except GrucliError as error:
        render.warn(f"the report does not say what the losses mean: {error}")
        return []
