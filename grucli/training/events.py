"""The events of a training run, which ``Session.events`` yields."""

import atexit
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import wraps
from inspect import GEN_RUNNING, getgeneratorstate
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

from grucli.run.records import Metrics
from grucli.run.run import Run

P = ParamSpec("P")
G = TypeVar("G", bound=Generator[Any, None, Any])

_OPEN: WeakSet[Generator[Any, None, Any]] = WeakSet()


def closed_at_exit(function: Callable[P, G]) -> Callable[P, G]:
    """Close the generators of a function when the program ends, while it can still save a run."""

    @wraps(function)
    def begin(*args: P.args, **named: P.kwargs) -> G:
        generator = function(*args, **named)
        _OPEN.add(generator)
        return generator

    return begin


@atexit.register
def _close_all() -> None:
    for generator in list(_OPEN):
        if getgeneratorstate(generator) != GEN_RUNNING:  # in a thread that is left behind
            generator.close()


@dataclass(frozen=True)
class Started:
    """Training has begun; the first event.

    Attributes:
        path: the run directory.
        step: number of updates that were made before.
        best_loss: the lowest evaluation loss so far, in nats per symbol.
        expected_s: estimated time that training will take, in seconds.
        notes: notes for the user.
    """

    path: Path
    step: int
    best_loss: float | None
    expected_s: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Stepped:
    """One update was made."""

    step: int
    loss: float
    chars_per_s: float
    progress: float
    remaining_s: float


@dataclass(frozen=True)
class Skipped:
    """An update was skipped because the loss or its gradient was not finite."""

    step: int
    loss: float
    grad_norm: float


@dataclass(frozen=True)
class RolledBack:
    """The run diverged. It went back to its last evaluation, or started again (step 0).

    Attributes:
        problem: how it diverged.
        step: the step from which it continues.
        lr_factor: factor for the learning rates from now on.
    """

    problem: str
    step: int
    lr_factor: float


@dataclass(frozen=True)
class NotWritten:
    """A file could not be written; the run continues and tries again later."""

    path: Path
    reason: str
    safe_step: int


@dataclass(frozen=True)
class NotReported:
    """The report could not be written, or is not complete; this has no effect on the run."""

    problem: str


@dataclass(frozen=True)
class Logged:
    """A row with the training loss was added to the metrics."""

    row: Metrics


@dataclass(frozen=True)
class Evaluating:
    """An evaluation on the validation text begins. It may take a while."""

    step: int


@dataclass(frozen=True)
class Evaluated:
    """An evaluation has ended. Without validation text, the training loss decides what is best."""

    step: int
    epoch: float
    train_loss: float
    val_loss: float | None
    best: bool
    averaged: bool


@dataclass(frozen=True)
class Sampled:
    """A sample was made and written.

    Attributes:
        step: number of updates before it.
        text: the sample, with its prompt.
        documents: whether each line of it is a document.
    """

    step: int
    text: bytes
    documents: bool


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    path: Path


@dataclass(frozen=True)
class Finished:
    """Training has ended; the last event.

    Attributes:
        run: the run that was trained.
        complete: whether the run reached its end and was not stopped before.
    """

    run: Run
    complete: bool


Event = (
    Started
    | Stepped
    | Skipped
    | RolledBack
    | NotWritten
    | NotReported
    | Logged
    | Evaluating
    | Evaluated
    | Sampled
    | Saved
    | Finished
)
"""Any event of a training run."""
