"""Results of a study: its trials, the best settings, and what mattered. The events of a sweep."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

from grucli.config import Data, Values, flatten, held_out_files, resolve, to_yaml, without_former
from grucli.errors import CheckpointError, SettingsError
from grucli.files import replace_text
from grucli.run.names import is_run
from grucli.run.report import report
from grucli.run.run import Run
from grucli.training.events import Event

BEST, REPORT = "best.yaml", "report.html"  # what ``Summary.write`` makes in the study's folder
# Complete trials for importances, and for trust in them. With 12 of them, of four parameters the
# first one was one of the two that had any effect in 14 of 25 cases; with 24 in 20, with 50 in 25.
ENOUGH, MANY = 20, 50
TENTHS = 10  # of a budget: trials with other batches or speeds have other steps, but also tenths
NOTES = "grucli"  # the attribute of a trial in Optuna's storage that holds what workers have noted
SHOWN = ("number", "status", "loss", "step", "values", "problem", "run")

Kind = Literal["impossible", "diverged", "failed"]  # why a trial has no result


@dataclass(frozen=True)
class TrialRecord:
    """A trial of a study."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    number: int  # from 0
    # done, pruned, impossible, diverged, failed, running, stopped (the next worker goes on with
    # it), or elsewhere (a worker with another folder has it)
    status: str
    values: Values  # of the settings that have a range, by dotted key
    loss: float | None = None  # the lowest validation loss, in nats per symbol
    step: int | None = None  # of this loss
    kind: Kind | None = None  # why it has no result
    problem: str | None = None  # the same in words
    folder: str = ""  # the id of the folder of its run directory
    host: str = ""  # the machine of its last worker
    pid: int = 0  # the process of its last worker
    # when its workers began and were last heard of, in seconds of the clock
    sessions: Sequence[tuple[float, float]] = ()
    left: bool = True  # whether the last worker has left it on purpose
    lost: Sequence[int] = ()  # the steps of the last checkpoint at each death of a worker
    tenth: int = 0  # the last tenth of the budget whose loss was reported

    @staticmethod
    def read(number: int, status: str, values: Values, attributes: dict[str, Any]) -> "TrialRecord":
        """The record of a trial with these attributes; ValueError if they are damaged."""
        own = {"number": number, "status": status, "values": values}
        return _RECORD.validate_python({**attributes.get(NOTES, {}), **own})

    def notes(self) -> dict[str, Any]:
        """What workers have noted, and the storage does not know by itself."""
        own = {"number", "status", "values"}
        return {name: value for name, value in asdict(self).items() if name not in own}

    @property
    def run(self) -> str:
        """The name of its run directory and of its claim."""
        return f"trial-{self.number:04d}"

    def to_dict(self) -> dict[str, Any]:
        """What users see of it, for JSON."""
        return {name: getattr(self, name) for name in SHOWN}


_RECORD = TypeAdapter(TrialRecord)


@dataclass(frozen=True)
class Summary:
    """Results of a study."""

    path: Path  # the folder of the study
    # its trials, those that are done first, and the lowest loss first
    trials: Sequence[TrialRecord]
    # the share of each parameter in what sets the best tenth of the trials apart; empty if there
    # are too few
    importances: Mapping[str, float]
    minutes: float  # minutes in which at least one worker trained
    fixed: Mapping[str, Any]  # the settings that all trials have in common, by dotted key
    folder_id: str  # the id of the folder, which its runs carry

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the lowest loss; None if none is done."""
        return next((one for one in self.trials if one.status == "done"), None)

    @property
    def what_mattered(self) -> str:
        """The importances in words, or why there are none; empty if there is nothing to compare."""
        done = [one for one in self.trials if one.status == "done"]
        if not done or len(done[0].values) < 2:
            return ""
        if len(done) < ENOUGH:
            return (
                f"Which settings mattered most can be told from {ENOUGH} complete trials on; there "
                f"{'are' if len(done) > 1 else 'is'} {len(done)}."
            )
        shares = ", ".join(f"{key} {share:.0%}" for key, share in self.importances.items())
        hint = f" With fewer than {MANY} trials, this is a hint." * (len(done) < MANY)
        best = f"what sets the best tenth of the {len(done)} complete trials apart"
        return f"What mattered: {shares} of {best} (PED-ANOVA).{hint}" if shares else ""

    @property
    def noun(self) -> str:
        """What all trials predict: "character" or "byte"."""
        return Data(level=self.fixed.get("data.level", Data().level)).noun

    @property
    def settings(self) -> str:
        """The settings of the best trial, as YAML for ``--config``; empty if none is done."""
        best = self.best
        if best is None:
            return ""
        said = (
            f"# Trial {best.number} of the sweep {self.path.name}: validation loss "
            f"{best.loss:.4f} nats per {self.noun} at step {best.step}.\n"
        )
        if self._is_here(best):
            return f"{said}\n{to_yaml(Run(self.path / best.run).settings)}"
        asked = {key: one for key, one in {**self.fixed, **best.values}.items() if one is not None}
        said += "# Its run is not here, and with it what suited its text and its budget.\n"
        return f"{said}\n{to_yaml(resolve([(str(self.path), asked)]), asked)}"

    @property
    def runs(self) -> list[Path]:
        """The run directories that are here, the best trial first."""
        return [self.path / one.run for one in self.trials if self._is_here(one)]

    def _is_here(self, trial: TrialRecord) -> bool:
        """Whether the directory with the name of a trial holds its run."""
        values = {**self.fixed, **trial.values}
        with suppress(CheckpointError, SettingsError):
            return why_foreign(self.path / trial.run, self.folder_id, values) is None
        return False

    def write(self) -> list[Path]:
        """Write the best settings and the report of all runs; return the files.

        Raises:
            CheckpointError: a file of a run is damaged.
            OSError: a file cannot be written.
        """
        written = []
        if self.settings:
            written.append(self.path / BEST)
            replace_text(written[0], self.settings)
        runs = [path for path in self.runs if _has_losses(path)]
        if runs:
            written.append(self.path / REPORT)
            said = [self.what_mattered] if len(runs) > 1 and self.what_mattered else []
            replace_text(written[-1], report(*runs, said=said, passage=False).html)
        return written

    def to_dict(self) -> dict[str, Any]:
        """The summary for JSON."""
        return {
            "study": str(self.path),
            "trials": [one.to_dict() for one in self.trials],
            "best": None if self.best is None else self.best.number,
            "importances": dict(self.importances),
            "minutes": self.minutes,
        }


def why_foreign(path: Path, study: str, values: Values) -> str | None:
    """Why a directory is not the run of a trial with these values, of which None is any value."""
    if not is_run(path) or Run(path).info.study != study:
        return f"{path}: is not a run of this study"
    asked, trained = flatten(resolve([("", values)])), flatten(Run(path).settings)
    moved = held_out_files(asked).keys() & held_out_files(trained)
    for key in without_former(values):
        if key not in moved and asked[key] is not None and trained[key] != asked[key]:
            return f"{path}: its run has {key} {trained[key]}, and the trial {asked[key]}"
    return None


def by_result(trial: TrialRecord) -> tuple[bool, float, int]:
    """The key that sorts trials: those that are done first, and the lowest loss first."""
    loss = math.inf if trial.loss is None else trial.loss
    return trial.status != "done", loss, trial.number


def minutes_trained(trials: Sequence[TrialRecord]) -> float:
    """Minutes in which at least one worker trained a trial."""
    total, reached = 0.0, 0.0
    for begin, end in sorted(session for one in trials for session in one.sessions):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total / 60


def _has_losses(path: Path) -> bool:
    try:
        return bool(Run(path).validation_losses())
    except CheckpointError:
        return False


# ---- what happens in a sweep, as seen by one worker


@dataclass(frozen=True)
class TrialBegun:
    """A trial begins, or goes on after it has lost its worker."""

    number: int  # from 0
    values: Values  # of the settings that have a range, by dotted key
    step: int | None  # of the checkpoint from which it goes on; None if it begins


@dataclass(frozen=True)
class TrialEnded:
    """A trial has ended, and its result is in the study."""

    trial: TrialRecord


@dataclass(frozen=True)
class Waiting:
    """No trial is left to begin; the worker waits in case another worker dies."""


@dataclass(frozen=True)
class Complete:
    """The budget of the study is used, and no trial is left to train; the last event."""


SweepEvent = TrialBegun | TrialEnded | Waiting | Complete | Event
