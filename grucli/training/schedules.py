"""The budget, the learning rate and the evaluation interval, as pure functions."""

import math
from dataclasses import dataclass

from grucli.config import BUDGETS, Optim, Train

# Number of evaluations of a run, unless the settings give their interval. Early ones are added.
MOST_EVALUATIONS = 50

# Until the first evaluation: seconds, if the budget is a time; if it is a number of steps,
# parameters times characters, which take about 15 seconds on two cores.
EARLY_SECONDS = 20.0
EARLY_PRODUCTS = 5e11


@dataclass(frozen=True)
class Budget:
    """The amount of training, in one of three units."""

    unit: str  # steps, epochs or minutes
    amount: float
    steps_per_epoch: int
    most_epochs: float | None = None  # of a budget in minutes

    @classmethod
    def of(cls, train: Train, steps_per_epoch: int) -> "Budget":
        """The budget in the settings, which always hold exactly one."""
        (unit,) = (unit for unit in BUDGETS if getattr(train, unit) is not None)
        most = train.most_epochs if unit == "minutes" else None
        return cls(unit, getattr(train, unit), steps_per_epoch, most)

    def __str__(self) -> str:
        unit = self.unit.removesuffix("s") if self.amount == 1 else self.unit
        most = "" if self.most_epochs is None else f", at most {self.most_epochs:.6g} epochs"
        return f"{self.amount:.6g} {unit}{most}"

    @property
    def seconds(self) -> float | None:
        """Wall time; None if the budget is a number of steps."""
        return 60 * self.amount if self.unit == "minutes" else None

    @property
    def steps(self) -> int | None:
        """Maximum number of updates; None if only a time ends them."""
        if self.unit == "steps":
            return round(self.amount)
        epochs = self.amount if self.unit == "epochs" else self.most_epochs
        return None if epochs is None else max(1, round(epochs * self.steps_per_epoch))

    def ended_by(self, step: int) -> "Budget":
        """The same, or the budget in epochs that a run has used before its time was over."""
        if self.most_epochs is None or self.progress(step, 0.0) < 1:
            return self
        return Budget("epochs", self.most_epochs, self.steps_per_epoch)

    def used(self, step: int, seconds: float) -> float:
        """How much of it a run has used, in the same unit."""
        if self.unit == "minutes":
            return seconds / 60
        return step / self.steps_per_epoch if self.unit == "epochs" else step

    def doubled(self, step: int, seconds: float) -> str:
        """The option that gives a run about twice as much as it has used."""
        used = self.used(step, seconds)
        if self.unit != "minutes":
            return f"--{self.unit} {2 * max(1, math.ceil(used)):.12g}"
        double = 2 * max(1, round(used / self.amount)) * self.amount  # 2 x 0.3, not 2 x 0.317
        return f"--minutes {float(f'{double:.3g}'):.12g}"

    def progress(self, step: int, elapsed: float, reserve: float = 0.0) -> float:
        """Share of the budget that is used, 0 to 1; the end will take ``reserve`` seconds."""
        read = 0.0 if self.steps is None else step / self.steps
        if self.seconds is None:
            return min(1.0, read)
        available = self.seconds - reserve
        return min(1.0, max(read, elapsed / available)) if available > 0 else 1.0


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


def evaluation_interval(train: Train, budget: Budget, step_chars: int, val_chars: int) -> int:
    """Steps between evaluations: those of an epoch, or of a tenth of a run of few epochs, or more.

    There are at most ``MOST_EVALUATIONS``, which take less than a tenth of the time.
    """
    if train.eval_every is not None:
        return train.eval_every
    least = -(-4 * val_chars // step_chars)
    if budget.steps is None:
        return max(1, budget.steps_per_epoch, least)
    tenth, fewest = -(-budget.steps // 10), -(-budget.steps // MOST_EVALUATIONS)
    return max(1, min(budget.steps_per_epoch, tenth), fewest, least)
