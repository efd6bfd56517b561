"""``grucli report``: curves, settings and samples of runs on one page."""

from pathlib import Path

from grucli import output_files
from grucli.cli import options, render
from grucli.errors import UsageError


def report(runs: options.Runs, output: options.Output = None, force: options.Force = False) -> None:
    """Write a report of a run, or of several runs that are compared, as one HTML page.

    The page needs no network. Without --output, the report of one run is
    report.html in its directory.
    """
    from grucli.analysis import report as reports

    output_files.check("--output", output, force=force)
    if output is None and len(runs) > 1:
        raise UsageError("a report of several runs needs a name: -o FILE")
    made = reports.report(*runs, verdict=_verdict(runs[0]) if len(runs) == 1 else None)
    path = runs[0] / "report.html" if output is None else output
    if path == Path("-"):
        render.write(made.html.encode())
        return
    made.write(path)
    render.write_path(path)


def _verdict(run: Path) -> str | None:
    """The verdict on a finished run, if its text is still there."""
    from grucli.analysis.conclusion import conclude_run
    from grucli.errors import GrucliError

    try:
        verdict = conclude_run(run).verdict
    except GrucliError:
        return None
    return None if verdict is None else verdict.text
