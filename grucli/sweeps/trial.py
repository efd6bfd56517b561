"""A trial of a study: its result, and what its workers have noted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

from grucli.config import Values, flatten, resolve
from grucli.run.run import Run

TENTHS = 10
"""Losses are reported at each tenth of a trial's budget: trials with other batches or other speeds
have other steps, but all of them have tenths."""

ATTRIBUTE = "grucli"
"""The attribute of a trial that holds its ``Work``."""

Kind = Literal["impossible", "diverged", "failed"]
"""Why a trial has no result: its settings are impossible, its loss is not finite, or its worker
dies again and again or its run cannot be read."""


def trial_name(number: int) -> str:
    """The name of the run directory and of the claim of a trial."""
    return f"trial-{number:04d}"


def why_foreign(path: Path, study: str, values: Values) -> str | None:
    """Why a run directory is not that of a trial; None if it is.

    Args:
        path: a run directory, which may have the name of the trial for other reasons.
        study: the id of the study's folder.
        values: the settings of the trial, by dotted key; None stands for any value.

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


@dataclass(frozen=True)
class Trial:
    """A trial of a study.

    Attributes:
        number: its number, from 0.
        status: done, pruned, impossible, diverged, failed, running, stopped (the next worker goes
            on with it), or elsewhere (a worker with another folder has it).
        loss: its lowest validation loss, in nats per symbol.
        step: the step of this loss.
        values: the values of the parameters, by dotted key.
        problem: why it has no result.
        run: the name of its run directory.
    """

    number: int
    status: str
    loss: float | None
    step: int | None
    values: Values
    problem: str | None
    run: str

    def to_dict(self) -> dict[str, Any]:
        """The trial for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Work:
    """What workers have noted about a trial.

    Attributes:
        folder: the id of the folder of its run directory.
        host: the machine of its last worker.
        pid: the process of its last worker.
        sessions: when its workers began and were last heard of, in seconds of the clock.
        left: whether the last worker has left it on purpose.
        lost: the steps of the last checkpoint at each death of a worker.
        tenth: the last tenth of the budget whose loss was reported.
        loss: its lowest validation loss.
        step: the step of this loss.
        kind: why it has no result, in one word.
        problem: why it has no result.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    folder: str = ""
    host: str = ""
    pid: int = 0
    sessions: Sequence[tuple[float, float]] = ()
    left: bool = True
    lost: Sequence[int] = ()
    tenth: int = 0
    loss: float | None = None
    step: int | None = None
    kind: Kind | None = None
    problem: str | None = None

    @staticmethod
    def of(attributes: dict[str, Any]) -> "Work":
        """The work that the attributes of a trial tell; ValueError if they cannot be its own."""
        return _WORK.validate_python(attributes.get(ATTRIBUTE, {}))

    def to_attributes(self) -> dict[str, Any]:
        """The attributes of a trial that tell this work."""
        return {ATTRIBUTE: asdict(self)}


_WORK = TypeAdapter(Work)
