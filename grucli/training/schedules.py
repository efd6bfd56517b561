"""The budget of a run and the learning rate: pure functions of where the run stands."""

import math
from dataclasses import dataclass

from grucli.config import Optim, Train


@dataclass(frozen=True)
class Budget:
    """How much training was asked for: a number of steps, or of seconds.

    Attributes:
        steps: updates, or None when the clock decides.
        seconds: wall time, or None when the steps decide.
    """

    steps: int | None
    seconds: float | None

    @classmethod
    def of(cls, train: Train, steps_per_epoch: int) -> "Budget":
        """The budget that the settings ask for."""
        if train.minutes is not None:
            return cls(None, 60 * train.minutes)
        if train.steps is not None:
            return cls(train.steps, None)
        assert train.epochs is not None  # the settings always hold exactly one budget
        return cls(max(1, round(train.epochs * steps_per_epoch)), None)

    def progress(self, step: int, elapsed: float, reserve: float = 0.0) -> float:
        """Share of the budget that is used, 0 to 1.

        Args:
            step: updates done.
            elapsed: seconds since the start.
            reserve: seconds kept for what follows training: evaluation and checkpoint.
        """
        if self.steps is not None:
            return min(1.0, step / self.steps)
        assert self.seconds is not None
        available = self.seconds - reserve
        return min(1.0, elapsed / available) if available > 0 else 1.0


def learning_rate(optim: Optim, step: int, progress: float) -> float:
    """Learning rate of update ``step`` (from 0) at ``progress`` (0 to 1) of the budget."""
    warm = min(1.0, (step + 1) / optim.warmup) if optim.warmup else 1.0
    if optim.schedule == "constant":
        return optim.lr * warm
    falling = 0.5 * (1 + math.cos(math.pi * progress))
    return optim.lr * warm * (optim.final_lr + (1 - optim.final_lr) * falling)


def evaluation_interval(
    train: Train, budget: Budget, *, steps_per_epoch: int, step_chars: int, val_chars: int
) -> int:
    """Steps between evaluations.

    Each epoch, or ten times in a run shorter than ten epochs; but at least four times the
    validation text is trained on in between, which keeps evaluation below a tenth of the time.
    """
    if train.eval_every is not None:
        return train.eval_every
    tenth = steps_per_epoch if budget.steps is None else -(-budget.steps // 10)
    return max(1, min(steps_per_epoch, tenth), -(-4 * val_chars // step_chars))
