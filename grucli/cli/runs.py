"""``grucli runs``: what has been trained."""

from pathlib import Path
from typing import Annotated, Any

import typer

from grucli.cli import render


def runs(
    directory: Annotated[
        Path, typer.Argument(help="Where the runs are.", metavar="DIR", show_default=True)
    ] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the runs, newest first: corpus, model, steps, best validation loss, status."""
    from grucli.storage.directory import list_runs

    found = [_summary(run) for run in list_runs(directory)]
    if as_json:
        render.write_json(found)
        return
    if not found:
        render.say(f"{directory} holds no runs yet; `grucli train CORPUS` makes one")
        return
    columns = list(found[0])
    rows = [[_cell(row[column]) for column in columns] for row in found]
    render.write_table([columns, *rows], words=True)


def _summary(run: Any) -> dict[str, Any]:
    from grucli.errors import CheckpointError
    from grucli.storage.info import RunInfo

    try:
        info, status = run.info, run.status
    except CheckpointError:
        info, status = RunInfo(), "damaged run.json"
    return {
        "run": run.path.name,
        "status": status,
        "loss": info.best.loss,
        "step": info.step,
        "model": info.model,
        "corpus": ", ".join(Path(path).name for path in info.corpus.paths or []) or None,
    }


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
