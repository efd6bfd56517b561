"""The budget, the learning rate and the evaluation interval, as pure functions."""

import math
from dataclasses import dataclass

from grucli.config import Optim, Train

MOST_EVALUATIONS = 50
"""Number of evaluations of a run, unless the settings give their interval. Early ones are added."""

EARLY_SECONDS = 20.0
"""Seconds until the first evaluation of a run whose budget is a time."""

EARLY_PRODUCTS = 5e11
"""Parameters times characters until the first evaluation of a run whose budget is a number of
steps: they take about 15 seconds on two cores."""


@dataclass(frozen=True)
class Budget:
    """The amount of training: a number of steps, or a time.

    Attributes:
        steps: number of updates; None if the budget is a time.
        seconds: wall time; None if the budget is a number of steps.
    """

    steps: int | None
    seconds: float | None

    @classmethod
    def of(cls, train: Train, steps_per_epoch: int) -> "Budget":
        """The budget in the settings."""
        if train.minutes is not None:
            return cls(None, 60 * train.minutes)
        if train.steps is not None:
            return cls(train.steps, None)
        assert train.epochs is not None  # the settings always hold exactly one budget
        return cls(max(1, round(train.epochs * steps_per_epoch)), None)

    @property
    def seconds_per_evaluation(self) -> float:
        """Minimum seconds between evaluations if the budget is a time; 0 for a number of steps."""
        return 0.0 if self.seconds is None else self.seconds / MOST_EVALUATIONS

    def progress(self, step: int, elapsed: float, reserve: float = 0.0) -> float:
        """Share of the budget that is used, 0 to 1.

        Args:
            step: number of steps done.
            elapsed: seconds since the start.
            reserve: seconds reserved for the last evaluation and checkpoint.
        """
        if self.steps is not None:
            return min(1.0, step / self.steps)
        assert self.seconds is not None
        available = self.seconds - reserve
        return min(1.0, elapsed / available) if available > 0 else 1.0


def learning_rate(optim: Optim, step: int, progress: float) -> float:
    """Learning rate of step ``step`` (from 0) at ``progress`` (0 to 1) of the budget.

    The cosine begins at the end of the warm-up, so that a run that gets there reaches ``optim.lr``.
    """
    warm = min(1.0, (step + 1) / optim.warmup) if optim.warmup else 1.0
    if optim.schedule == "constant":
        return optim.lr * warm
    begin = progress * optim.warmup / max(step, optim.warmup, 1)  # of a time, an estimate
    after = (progress - begin) / (1 - begin) if begin < 1 else 1.0
    falling = 0.5 * (1 + math.cos(math.pi * after))
    return optim.lr * warm * (optim.final_lr + (1 - optim.final_lr) * falling)


def early_evaluation(parameters: int, step_chars: int, val_chars: int) -> int:
    """The step of the first early evaluation, before which at least its characters are read."""
    return max(1, -(-val_chars // step_chars), math.ceil(EARLY_PRODUCTS / parameters / step_chars))


def is_early_evaluation(step: int, first: int, interval: int) -> bool:
    """Whether ``step`` is ``first`` times a power of two, well before ``interval``."""
    times, rest = divmod(step, first)
    return not rest and not times & (times - 1) and 2 * step <= interval


def evaluation_interval(
    train: Train, budget: Budget, *, steps_per_epoch: int, step_chars: int, val_chars: int
) -> int:
    """Number of steps between evaluations.

    A run evaluates once per epoch, or ten times if it is shorter than ten epochs, but at most
    ``MOST_EVALUATIONS`` times. Between two evaluations it trains on at least four times as many
    characters as the validation text has, so that evaluation takes less than a tenth of the time.
    """
    if train.eval_every is not None:
        return train.eval_every
    least = -(-4 * val_chars // step_chars)
    if budget.steps is None:
        return max(1, steps_per_epoch, least)
    tenth, fewest = -(-budget.steps // 10), -(-budget.steps // MOST_EVALUATIONS)
    return max(1, min(steps_per_epoch, tenth), fewest, least)
