"""Where a run stands: the part of a checkpoint that is no array."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field, FiniteFloat, TypeAdapter

Count = Annotated[int, Field(ge=0, le=10**15)]


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: updates done.
        seconds: time used, kept only where the budget is in minutes: it steers the learning
            rate then, and would make equal runs differ otherwise.
        loss_sum: sum of losses since the last row of the training loss ...
        chars: ... and the characters they were over.
        best_step: evaluation with the lowest loss so far, None before the first.
        best_loss: that loss, nats per character.
        evaluations_since_best: evaluations since then.
        evaluated_step: the last evaluation whose checkpoint was written, None before the first.
        evaluated_loss: its loss.
        lr: learning rate of the last update.
        grad_norm: norm of its gradient before clipping.
        train_loss: the last row of the training loss.
        due: whether the run was stopped before the row, the evaluation or the sample of this step.
        skipped: steps that changed nothing because their loss or gradient was not finite.
        consecutive_nonfinite: how many of them were the last ones in a row.
        lr_factor: what learning rates are multiplied by; below 1 once the run was rolled back.
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
    lr_factor: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def of_evaluation(self) -> bool:
        """Whether this is where an evaluation ended, and not where a stop or the clock cut in."""
        return self.step == self.evaluated_step

    def note_skipped(self) -> None:
        """Note a step that has changed nothing, since its loss or gradient was not finite."""
        self.step += 1
        self.skipped += 1
        self.consecutive_nonfinite += 1

    def note_evaluation(self, loss: float) -> bool:
        """Note the loss of an evaluation at this step; returns whether it is the best so far."""
        self.evaluated_step, self.evaluated_loss = self.step, loss
        if self.best_loss is not None and loss >= self.best_loss:
            self.evaluations_since_best += 1
            return False
        self.best_loss, self.best_step, self.evaluations_since_best = loss, self.step, 0
        return True

    def out_of_patience(self, patience: int) -> bool:
        """Whether the loss has not improved for as many evaluations; 0 stands for any number."""
        return 0 < patience <= self.evaluations_since_best


_PROGRESS = TypeAdapter(Progress)


def read_progress(values: dict[str, Any]) -> Progress:
    """Progress from JSON: no other keys, and each of its type."""
    return _PROGRESS.validate_json(json.dumps(asdict(Progress(**values))), strict=True)
