"""The progress of a run: the part of a checkpoint that is not an array."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field, FiniteFloat, TypeAdapter

Count = Annotated[int, Field(ge=0, le=10**15)]


@dataclass
class Progress:
    """The progress of a run.

    Attributes:
        step: number of steps done, which are updates and skipped steps.
        seconds: time used, if the budget is in minutes, because it then determines the learning
            rate; otherwise None, so that equal runs have equal checkpoints.
        loss_sum: sum of the losses since the last row with the training loss, in nats.
        chars: number of characters in ``loss_sum``.
        best_step: step of the evaluation with the lowest loss so far; None before the first.
        best_loss: loss of that evaluation, in nats per symbol.
        evaluations_since_best: number of evaluations since then.
        evaluated_step: step of the last evaluation whose checkpoint was written, or None.
        evaluated_loss: loss of that evaluation.
        lr: learning rate of the last update.
        grad_norm: norm of the last gradient before clipping.
        train_loss: mean training loss in the last row with it.
        due: whether a row, evaluation or sample of this step has still to be made after a stop.
        skipped: number of steps skipped because their loss or gradient was not finite.
        consecutive_nonfinite: number of skipped steps since the last update.
        consecutive_absurd: number of steps in a row, up to now, whose loss was absurdly high.
        lr_factor: factor for the learning rates; it is halved each time the run goes back.
    """

    step: Count = 0
    seconds: Annotated[FiniteFloat, Field(ge=0)] | None = None
    loss_sum: FiniteFloat = 0.0
    chars: Count = 0
    best_step: Count | None = None
    best_loss: FiniteFloat | None = None
    evaluations_since_best: Count = 0
    evaluated_step: Count | None = None
    evaluated_loss: FiniteFloat | None = None
    lr: FiniteFloat = 0.0
    grad_norm: FiniteFloat = 0.0
    train_loss: FiniteFloat = 0.0
    due: bool = False
    skipped: Count = 0
    consecutive_nonfinite: Count = 0
    consecutive_absurd: Count = 0
    lr_factor: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def updates(self) -> int:
        """Number of updates done."""
        return self.step - self.skipped

    @property
    def of_evaluation(self) -> bool:
        """Whether the run was evaluated and saved at this step."""
        return self.step == self.evaluated_step

    @property
    def loss(self) -> float | None:
        """Validation loss at this step, in nats per symbol; None if there was no evaluation."""
        return self.evaluated_loss if self.of_evaluation else None

    def end_row(self) -> bool:
        """Let a row of the metrics end here; return whether there was a step since the last one."""
        if not self.chars:
            return False
        self.train_loss = self.loss_sum / self.chars
        self.loss_sum, self.chars = 0.0, 0
        return True

    def note_skipped(self) -> None:
        """Record a step that was skipped because its loss or gradient was not finite."""
        self.step += 1
        self.skipped += 1
        self.consecutive_nonfinite += 1

    def note_evaluation(self, loss: float) -> bool:
        """Record the loss of an evaluation at this step; return whether it is the best so far."""
        self.evaluated_step, self.evaluated_loss = self.step, loss
        if self.best_loss is not None and loss >= self.best_loss:
            self.evaluations_since_best += 1
            return False
        self.best_loss, self.best_step, self.evaluations_since_best = loss, self.step, 0
        return True

    def out_of_patience(self, patience: int) -> bool:
        """Whether the loss has not improved for ``patience`` evaluations; never if that is 0."""
        return 0 < patience <= self.evaluations_since_best


_PROGRESS = TypeAdapter(Progress)


def read_progress(values: dict[str, Any]) -> Progress:
    """Read progress from values in JSON, with strict keys and types."""
    return _PROGRESS.validate_json(json.dumps(asdict(Progress(**values))), strict=True)
