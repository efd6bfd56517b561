"""Defaults that depend on how long the text is.

A diary is learned by heart by a model that an encyclopedia would hardly fill. Whatever the user
has set, by a file or on the command line, is left alone.
"""

from collections.abc import Collection

from grucli.config import BUDGETS, Values

LONG: Values = {
    "model.hidden": 512,
    "model.dropout": 0.0,
    "optim.lr": 0.008,
    "optim.weight_decay": 0.0,
    "train.epochs": 1.0,
}

SIZES: tuple[tuple[float, Values], ...] = (
    (100e3, {"model.dropout": 0.5, "model.weight_dropout": 0.4, "train.epochs": 30.0}),
    (400e3, {"model.dropout": 0.4, "model.weight_dropout": 0.2, "train.epochs": 24.0}),
    (3e6, {}),
    (
        30e6,
        {
            "model.hidden": 384,
            "model.dropout": 0.0,
            "optim.lr": 0.01,
            "optim.weight_decay": 0.0,
            "train.epochs": 2.0,
        },
    ),
    (300e6, LONG | {"data.val": 0.01}),
    (float("inf"), LONG | {"data.val": 0.001}),
)
"""Up to how many characters which values take the place of the defaults. A million characters of
validation text are enough: predicting more would take time from training."""


def suited(chars: int, given: Collection[str]) -> Values:
    """Values for a text of so many characters, without those that the user has given.

    A learning rate goes with a number of units, and a budget takes the place of any other.
    """
    values = next(values for limit, values in SIZES if chars <= limit)
    taken = set(given)
    if "model.hidden" in taken:
        taken.add("optim.lr")
    if any(f"train.{budget}" in taken for budget in BUDGETS):
        taken.add("train.epochs")
    return {key: value for key, value in values.items() if key not in taken}
