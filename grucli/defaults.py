"""Defaults that depend on the length of the text.

A model that is too small for an encyclopedia is large enough to memorize a diary. Values that the
user has set, in a file or on the command line, are never changed.
"""

import math
from collections.abc import Collection

from grucli.config import BUDGET_KEYS, Model, Optim, Settings, Train, Values, flatten

SHORT: Values = {"train.patience": 10}  # a run that only memorizes such a text ends by itself
# a run of many thousand steps takes a lower learning rate than its network could, to be safe
LONG: Values = {"model.hidden": 512, "model.dropout": 0.0, "optim.lr": 0.012, "train.epochs": 1.0}

# Maximum characters of the text, and values that replace the defaults. A million characters of
# validation text are enough; with more, evaluations would take time from training.
SIZES: tuple[tuple[float, Values], ...] = (
    (100e3, {"model.dropout": 0.5, "model.weight_dropout": 0.4, "train.epochs": 30.0} | SHORT),
    (400e3, {"model.dropout": 0.4, "model.weight_dropout": 0.2, "train.epochs": 24.0} | SHORT),
    (3e6, {"model.weight_dropout": 0.1}),
    (30e6, {"model.hidden": 384, "model.dropout": 0.0, "train.epochs": 2.0}),
    (300e6, LONG | {"data.val": 0.01}),
    (float("inf"), LONG | {"data.val": 0.001}),
)

WIDTH = 256  # units up to which a single layer takes the default learning rate
TRAIN = Train()  # the default batch and budget
BATCH = TRAIN.batch  # streams up to which the learning rate does not depend on their number
LONG_MINUTES, LONG_STEPS = 60.0, 30_000  # budgets up to which it does not depend on them
WARM = 0.3  # factor of the learning rate for training that starts from trained weights


def suited(chars: int, user_keys: Collection[str]) -> Values:
    """Values for a text of ``chars`` characters, except for the keys that the user has given."""
    values = next(values for limit, values in SIZES if chars <= limit)
    fixed = set(user_keys)
    if "model.hidden" in fixed:
        fixed.add("optim.lr")
    if fixed.intersection(BUDGET_KEYS):
        fixed.add("train.epochs")
    return {key: value for key, value in values.items() if key not in fixed}


def suited_rate(settings: Settings, user_keys: Collection[str], share: float = 1.0) -> Values:
    """Learning rate, times ``share``, and warm-up, unless they are defaults or the user's."""
    values = {
        "optim.lr": learning_rate(settings.model, settings.train, share),
        "optim.warmup": warmup(settings.train.batch),
    }
    defaults = flatten(Settings())
    return {
        key: one for key, one in values.items() if key not in user_keys and one != defaults[key]
    }


def learning_rate(model: Model, train: Train = TRAIN, share: float = 1.0) -> float:
    """The learning rate for a network: 0.04 * 256 / (H L) and at most 0.04 / L, times ``share``.

    It is half of what diverges (``docs/benchmarks.md``). From 64 to 256 streams, it grows with the
    square root of their number (``docs/scaling.md``). From ``LONG_MINUTES`` or ``LONG_STEPS`` on,
    it falls with the square root of the budget, at most to a quarter.
    """
    streams = min(max(train.batch, BATCH), 4 * BATCH) / BATCH
    length = max((train.minutes or 0) / LONG_MINUTES, (train.steps or 0) / LONG_STEPS)
    lr = share * Optim().lr * min(1.0, WIDTH / model.hidden) / model.layers
    return float(f"{lr * math.sqrt(streams / min(max(length, 1.0), 16.0)):.2g}")


def lower_rate(lr: float) -> str:
    """The option for a new run after one whose learning rate was too high."""
    return f"--set optim.lr={min(lr / 2, 0.01):g}"


def warmup(batch: int) -> int:
    """The steps of the warm-up: as many characters as with the default batch, or five steps."""
    return max(5, round(Optim().warmup * min(1.0, BATCH / batch)))
