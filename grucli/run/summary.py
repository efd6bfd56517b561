"""Summaries of the runs in a directory."""

from dataclasses import dataclass
from pathlib import Path

from grucli.arguments import FilePath, checked
from grucli.errors import CheckpointError
from grucli.run.directory import RunDirectory, list_runs
from grucli.run.run_files import RunInfo

DAMAGED = "damaged run.json"
"""The status of a run that cannot be read."""


@dataclass(frozen=True)
class RunSummary:
    """The summary of a run; unknown values are None.

    Attributes:
        run: name of its directory.
        status: running, done, interrupted, failed, died, or ``DAMAGED``.
        loss: best validation loss, in nats per symbol.
        level: what a symbol is: char or byte.
        step: number of steps done at the last checkpoint.
        model: cell, layers and units.
        lr: the learning rate.
        dropout: the dropout.
        budget: the budget in words.
        corpus: names of the training files.
    """

    run: str
    status: str
    loss: float | None
    level: str | None
    step: int | None
    model: str | None
    lr: float | None
    dropout: float | None
    budget: str | None
    corpus: str | None


def summarize(run: RunDirectory) -> RunSummary:
    """Summarize one run, even if its run.json is damaged."""
    try:
        info, status = run.info, run.status
    except CheckpointError:
        info, status = RunInfo(), DAMAGED
    names = [Path(path).name for path in info.corpus.paths or []]
    return RunSummary(
        run=run.path.name,
        status=status,
        loss=None if info.best.split == "train" else info.best.loss,
        level=info.corpus.level,
        step=info.step,
        model=info.model,
        lr=info.lr,
        dropout=info.dropout,
        budget=info.budget,
        corpus=", ".join(names) or None,
    )


@checked
def summaries(root: FilePath) -> list[RunSummary]:
    """Summarize all runs under ``root``, newest first.

    Raises:
        UsageError: there is no such directory.
    """
    return [summarize(run) for run in list_runs(root)]
