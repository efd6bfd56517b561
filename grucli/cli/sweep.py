"""``grucli sweep``: train many runs whose settings Optuna chooses."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from grucli.cli import narrate, render
from grucli.cli.options import command_line
from grucli.cli.train import carry_out
from grucli.errors import GrucliError, UsageError
from grucli.nn.cells.from_file import FILES
from grucli.sweeps.api import make_worker, read_study
from grucli.sweeps.summary import Complete, Summary, SweepEvent, TrialBegun, TrialEnded, Waiting
from grucli.text_out import quote, word
from grucli.training.events import Evaluated, Started, Stepped

if TYPE_CHECKING:
    from grucli.sweeps.worker import Worker

SILENCE = 30.0  # seconds after which an evaluation of a long trial is shown
LEAST_USED = ("step",)  # columns that a narrow terminal does not show


def sweep(
    ranges: Path | None = None,
    sources: list[str] | None = None,
    own_cell: str | None = None,
    name: str | None = None,
    runs_dir: Path | None = None,
    storage: str | None = None,
    show: Path | None = None,
    as_json: bool = False,
) -> None:
    """Train many runs whose settings Optuna chooses, and print the path of their directory.

    The same command, started any number of times, also on other machines that share the
    directory, works on the same study. If a worker is killed, another one continues its run.
    --show prints the trials, the best one first, and writes the best settings and a report.
    """
    if show is not None:
        if ranges is not None or name is not None:
            raise UsageError("--show shows a study; leave out the file, the text and --name")
        by_name = show == Path(show.name) and not show.is_dir()
        summary = read_study((runs_dir or Path("runs")) / show if by_name else show, storage)
        render.answer(summary.to_dict(), _lines(summary), as_json=as_json)
        _say_best(summary)
        _say_written(summary)
        return
    if as_json:
        raise UsageError("--json is for --show")
    if ranges is None:
        raise UsageError(
            "name a sweep file and a text: grucli sweep SWEEP.yaml FILE; --show STUDY shows a study"
        )
    base = {"model.cell": own_cell} if own_cell else {}
    worker = make_worker(sources or [], ranges, {}, name, runs_dir, storage, command_line, base)
    _sweep(worker, own_cell, storage)


def _sweep(worker: "Worker", own_cell: str | None, storage: str | None) -> None:
    study, space = worker.study, worker.space
    if space.fixed.get("train.workers", "auto") == "auto" and study.trains_here():
        render.warn(
            "another worker trains on this machine, and each run takes all cores; set "
            "train.workers in the file such that all have enough"
        )

    def say_stopped() -> None:
        render.say(f"stopped; {study.folder} is as it was, and the same command goes on with it:")
        render.say_command(worker.command or "")

    complete, signal = carry_out(worker.events, SweepDisplay(space.trials).follow, say_stopped)
    render.write_path(study.folder)
    if not complete:
        say_stopped()
        raise typer.Exit(128 + signal)
    summary = study.summary()
    _say_best(summary)
    render.say(summary.what_mattered)
    _say_written(summary)
    database = "" if storage is None else f" --storage {word(study.storage_name)}"
    with_cell = f" --cell-file {quote(FILES[own_cell][0])}" if own_cell else ""
    render.say("\nnext")
    render.say_command(f"grucli sweep --show {quote(str(study.folder))}{database}{with_cell}")


class SweepDisplay:
    """The display of the trials of one worker."""

    def __init__(self, trials: int | None) -> None:
        self.of, self.best = "" if trials is None else f" of {trials}", float("inf")
        self.noted, self.progress, self.said = False, 0.0, time.monotonic()

    def follow(self, events: Iterator[SweepEvent]) -> bool:
        """Show the events; return whether the study is complete."""
        complete = False
        for event in events:
            if isinstance(event, TrialBegun):
                again = "" if event.step is None else f", continued from step {event.step:,}"
                self._say(f"trial {event.number}{self.of}: {_values(event.values)}{again}")
            elif isinstance(event, TrialEnded):
                self._say_ended(event)
            elif isinstance(event, Waiting):
                render.say("no trial is left to begin; waiting for those of other workers")
            elif isinstance(event, Complete):
                complete = True
            elif isinstance(event, Started):
                render.warn(*(() if self.noted else event.notes))
                self.noted = True
            else:
                narrate.warn(event)
                self._say_progress(event)
        return complete

    def _say_progress(self, event: SweepEvent) -> None:
        """Say what a long trial has reached, from time to time."""
        if isinstance(event, Stepped):
            self.progress = event.progress
        if isinstance(event, Evaluated) and time.monotonic() - self.said > SILENCE:
            loss = "" if event.val_loss is None else f", {event.val_loss:.4f}"
            self._say(f"  {self.progress:.0%}, step {event.step:,}{loss}")

    def _say(self, text: str) -> None:
        self.said = time.monotonic()
        render.say(text)

    def _say_ended(self, event: TrialEnded) -> None:
        trial = event.trial
        result = f"trial {trial.number}: {trial.status}"
        if trial.loss is None:
            self._say(f"{result}: {trial.problem}")
            return
        mark = ""
        if trial.status == "done" and trial.loss < self.best:
            self.best, mark = trial.loss, ", the best of this worker"
        self._say(f"{result}, {trial.loss:.4f} at step {trial.step}{mark}")


def _values(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {render.cell(value)}" for key, value in values.items())


# ---- the results


def _lines(summary: Summary) -> Iterator[str]:
    if not summary.trials:
        yield "there are no trials yet"
        return
    keys = list(dict.fromkeys(key for one in summary.trials for key in one.values))
    rows = [["trial", "status", "loss", "step", *keys]]
    for one in summary.trials:
        loss, step = render.cell(one.loss, ".4f"), render.cell(one.step)
        values = [render.cell(one.values.get(key)) for key in keys]
        rows.append([str(one.number), one.status, loss, step, *values])
    yield from render.table(rows, words=True, drop=LEAST_USED)
    for one in summary.trials:
        if one.problem:
            yield f"{one.number}: {one.problem}"
    if said := summary.what_mattered:
        yield ""
        yield said


def _say_best(summary: Summary) -> None:
    best = summary.best
    if best is None or best.loss is None:
        render.say("no trial is done")
        return
    text = f"\nbest of {len(summary.trials)} trials: {best.number}, {best.loss:.4f} nats"
    text += f" per {summary.noun} at step {best.step}: {_values(best.values)}"
    render.say(text, style="bold")


def _say_written(summary: Summary) -> None:
    """Write the best settings and the report, and name them."""
    labels = {"best.yaml": "settings", "report.html": "report"}
    try:
        for path in summary.write():
            render.fact(labels[path.name], str(path))
    except Exception as error:  # the answer is complete without them
        reason = error if isinstance(error, GrucliError | OSError) else repr(error)
        render.warn(f"the best settings and the report are not written: {reason}")
