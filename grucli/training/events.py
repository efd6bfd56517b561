"""What happens while a run is trained: the events of ``Session.events``, in their order."""

from dataclasses import dataclass
from pathlib import Path

from grucli.storage.info import Metrics
from grucli.storage.run import Run


@dataclass(frozen=True)
class Started:
    """Training begins.

    Attributes:
        path: the run directory.
        step: updates that were made before.
        best_loss: the lowest loss of an evaluation so far, nats per character.
        expected_s: seconds that training will take.
        notes: what the user should know.
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
    """An update was left out because the loss or its gradient was not finite."""

    step: int
    loss: float
    grad_norm: float


@dataclass(frozen=True)
class RolledBack:
    """The run went back to its last evaluation, to go on with lower learning rates."""

    problem: str
    step: int
    lr_factor: float


@dataclass(frozen=True)
class NotWritten:
    """A file could not be written; the run goes on and tries again."""

    path: Path
    reason: str
    safe_step: int


@dataclass(frozen=True)
class Logged:
    """A row of the training loss was written."""

    row: Metrics


@dataclass(frozen=True)
class Evaluating:
    """The validation text is about to be predicted, which may take a while."""

    step: int


@dataclass(frozen=True)
class Evaluated:
    """The validation text was predicted; without one the training loss says what is best."""

    step: int
    epoch: float
    train_loss: float
    val_loss: float | None
    best: bool
    averaged: bool


@dataclass(frozen=True)
class Sampled:
    """A sample was made and written."""

    step: int
    text: bytes


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    path: Path


@dataclass(frozen=True)
class Finished:
    """Training has ended; the last event.

    Attributes:
        run: the run.
        complete: whether it came to its end, and was not stopped before.
    """

    run: Run
    complete: bool


Event = (
    Started
    | Stepped
    | Skipped
    | RolledBack
    | NotWritten
    | Logged
    | Evaluating
    | Evaluated
    | Sampled
    | Saved
    | Finished
)
"""Any of them."""
