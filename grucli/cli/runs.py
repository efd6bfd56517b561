"""``grucli runs``: list the runs in a directory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from typer import Argument

from grucli.cli import options, render
from grucli.run.run import runs as list_runs

Directory = Annotated[Path, Argument(help="The directory of the runs.", metavar="DIR")]
# Columns that a narrow terminal does not show; the first of them goes first.
LEAST_USED = ("step", "corpus", "dropout", "lr", "budget")


def runs(directory: Directory = Path("runs"), as_json: options.Json = False) -> None:
    """List the runs, newest first: status, best validation loss, model, settings, corpus."""
    listed = list_runs(directory)
    if not listed:
        render.say(f"there are no runs in {directory} yet; `grucli train CORPUS` makes one")
    records = [run.facts() for run in listed]
    render.answer(records, _lines(records), as_json=as_json)
    if any((run.path / "report.html").is_file() for run in listed):
        render.say("report.html in the directory of a run shows its curves and samples")


def _lines(records: list[dict[str, Any]]) -> Iterator[str]:
    if records:
        rows = [[_cell(name, value) for name, value in record.items()] for record in records]
        yield from render.table([list(records[0]), *rows], words=True, drop=LEAST_USED)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "loss":
        return f"{value:.4f}"
    return f"{value:g}" if isinstance(value, float) else str(value)
