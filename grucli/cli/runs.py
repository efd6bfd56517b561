"""``grucli runs``: list the runs in a directory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grucli.cli import render
from grucli.run.run import runs as list_runs

# Columns that a narrow terminal does not show; the first of them goes first.
LEAST_USED = ("step", "corpus", "dropout", "lr", "budget")


def runs(directory: Path = Path("runs"), as_json: bool = False) -> None:
    """List the runs, newest first: status, best validation loss, model, settings, corpus."""
    listed = list_runs(directory)
    if not listed:
        render.say(f"there are no runs in {directory} yet; `grucli train CORPUS` makes one")
    records = [run.facts() for run in listed]
    render.answer(records, _lines(records), as_json=as_json)
    if any((run.path / "report.html").is_file() for run in listed):
        render.say("report.html in the directory of a run shows its curves and samples")


def _lines(records: list[dict[str, Any]]) -> Iterator[str]:
    rows = [
        [render.cell(value, ".4f" if name == "loss" else ".4g") for name, value in record.items()]
        for record in records
    ]
    if records:
        yield from render.table([list(records[0]), *rows], words=True, drop=LEAST_USED)
