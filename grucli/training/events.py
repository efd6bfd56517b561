"""The events of a training run, which ``train_events`` yields. The first is Started."""

from dataclasses import dataclass
from pathlib import Path

from grucli.run.records import Metrics
from grucli.run.run import Run


class Event:
    """Any event of a training run."""


@dataclass(frozen=True)
class Started(Event):
    """Training has begun; the first event."""

    path: Path  # the run directory
    step: int  # number of updates that were made before
    best_loss: float | None  # the lowest evaluation loss so far, in nats per symbol
    expected_s: float  # estimated time that training will take, in seconds
    notes: tuple[str, ...]  # notes for the user


@dataclass(frozen=True)
class Stepped(Event):
    """One update was made."""

    step: int
    loss: float  # of this window, in nats per symbol
    chars_per_s: float
    progress: float  # share of the budget that is used, 0 to 1
    remaining_s: float


@dataclass(frozen=True)
class Skipped(Event):
    """An update was skipped because the loss or its gradient was not finite."""

    step: int
    loss: float
    grad_norm: float


@dataclass(frozen=True)
class RolledBack(Event):
    """The run diverged. It went back to its best evaluation, or started again (step 0)."""

    problem: str  # how it diverged
    step: int  # the step from which it continues
    lr_factor: float  # factor for the learning rates from now on


@dataclass(frozen=True)
class NotWritten(Event):
    """A file could not be written; the run continues and tries again later."""

    path: Path
    reason: str
    safe_step: int  # the step of the last checkpoint


@dataclass(frozen=True)
class NotReported(Event):
    """The report could not be written, or is not complete; this has no effect on the run."""

    problem: str


@dataclass(frozen=True)
class Logged(Event):
    """A row with the training loss was added to the metrics."""

    row: Metrics


@dataclass(frozen=True)
class Evaluating(Event):
    """An evaluation on the validation text begins. It may take a while."""

    step: int


@dataclass(frozen=True)
class Evaluated(Event):
    """An evaluation has ended. Without validation text, the training loss decides what is best."""

    step: int
    epoch: float
    train_loss: float
    val_loss: float | None
    best: bool


@dataclass(frozen=True)
class Sampled(Event):
    """A sample was made and written."""

    step: int
    text: bytes  # with its prompt
    documents: bool  # whether each line of it is a document


@dataclass(frozen=True)
class Saved(Event):
    """A checkpoint was written."""

    path: Path


@dataclass(frozen=True)
class Finished(Event):
    """Training has ended; the last event."""

    run: Run
    complete: bool  # whether the run reached its end and was not stopped before
