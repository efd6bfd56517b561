"""A trial of a study: its values, its result, and what its workers have noted about it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

from grucli.config import Values, flatten, resolve
from grucli.run.run import Run

TENTHS = 10  # of a budget: trials with other batches or speeds have other steps, but also tenths

NOTES = "grucli"  # the attribute of a trial in Optuna's storage that holds what workers have noted
SHOWN = ("number", "status", "loss", "step", "values", "problem", "run")

Kind = Literal["impossible", "diverged", "failed"]
"""Why a trial has no result: its settings are impossible, its loss is not finite, or its worker
dies again and again or its run cannot be read."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial of a study."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    number: int  # from 0
    status: str
    """done, pruned, impossible, diverged, failed, running, stopped (the next worker goes on with
    it), or elsewhere (a worker with another folder has it)."""
    values: Values  # of the settings that have a range, by dotted key
    loss: float | None = None  # the lowest validation loss, in nats per symbol
    step: int | None = None  # of this loss
    kind: Kind | None = None  # why it has no result
    problem: str | None = None  # the same in words
    folder: str = ""  # the id of the folder of its run directory
    host: str = ""  # the machine of its last worker
    pid: int = 0  # the process of its last worker
    sessions: Sequence[tuple[float, float]] = ()
    """When its workers began and were last heard of, in seconds of the clock."""
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


def why_foreign(path: Path, study: str, values: Values) -> str | None:
    """Why a run directory is not that of a trial; None if it is.

    The directory may have the name of the trial for other reasons. ``study`` is the id of the
    study's folder; in ``values``, by dotted key, None stands for any value.

    Raises:
        CheckpointError: run.json is damaged.
        SettingsError: config.yaml is damaged.
    """
    run = Run(path)
    if run.info.study != study:
        return f"{path}: is not a run of this study"
    asked, trained = flatten(resolve([("", values)])), flatten(resolve([run.config()]))
    for key in values:
        if asked[key] is not None and trained[key] != asked[key]:
            return f"{path}: its run has {key} {trained[key]}, and the trial {asked[key]}"
    return None
