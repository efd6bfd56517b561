"""``grucli runs``: list the runs in a directory."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from grucli.cli import options, render
from grucli.cli.output import answer


def runs(
    directory: Annotated[
        Path,
        typer.Argument(help="The directory of the runs.", metavar="DIR", show_default=True),
    ] = Path("runs"),
    as_json: options.Json = False,
) -> None:
    """List the runs, newest first: corpus, model, steps, best validation loss, status."""
    from grucli.storage.summary import summaries

    found = summaries(directory)
    if not found:
        render.say(f"there are no runs in {directory} yet; `grucli train CORPUS` makes one")
    records = [asdict(summary) for summary in found]
    answer(records, _lines(records), as_json=as_json)


def _lines(records: list[dict[str, Any]]) -> Iterator[str]:
    if records:
        rows = [[_cell(value) for value in record.values()] for record in records]
        yield from render.table([list(records[0]), *rows], words=True)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
