"""Defaults that depend on the length of the text and on the budget.

A network that is too small for an encyclopedia is large enough to memorize a diary, and one that
suits a minute is too small for an hour. Values that the user has set, in a file or on the command
line, are never changed; the others adapt to them. The tables are measured (``docs/benchmarks.md``).
"""

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

from grucli.config import BUDGET_KEYS, Model, Optim, Settings, Train, Values, flatten

READ, MILLION, MOST_EPOCHS = 8e6, 1e6, 100.0  # characters to read for a text of a million

# Maximum characters of the text, maximum units, and values that replace the defaults: a run that
# only memorizes a short text ends by itself, and a million characters to validate are enough.
# A very short text is read a hundred times at most, even if there is more time.
LENGTHS: tuple[tuple[float, int, Values], ...] = (
    (100e3, 256, {"train.patience": 10, "train.most_epochs": MOST_EPOCHS}),
    (400e3, 384, {"train.patience": 10}),
    (30e6, 1024, {}),
    (300e6, 1024, {"data.val": 0.01}),
    (math.inf, 1024, {"data.val": 0.001}),
)

WIDTH = 256  # units of a single layer that takes the default learning rate
NARROWEST = 64  # units below which the learning rate does not rise any more

# Units of one layer, and how many characters WIDTH units must be able to read in the same time for
# one layer, and for two layers of two thirds of the units.
WIDTHS = (
    (64, 0.0, math.inf),
    (128, 0.4e6, math.inf),
    (192, 2e6, math.inf),
    (WIDTH, 4.5e6, math.inf),
    (384, 18e6, 50e6),
    (512, 74e6, 74e6),
    (768, 300e6, 250e6),
    (1024, 1200e6, 1200e6),
)
WIDEST = 512  # units of a network whose time of training is not known

# L layers have 2 / (L + 1) of the units of one layer, and take about the same time. Two layers
# learn more if so many characters are there to train on, and if one layer could read them so often.
LONG, OFTEN = 2e6, 5.5

# Minimum strain, dropout, weight dropout. The strain is the number of weights times the number of
# characters to read, divided by the square of the length of the text: how many weights there are
# for a character of the text, times how often it is read.
RATES = (
    (0.0, 0.0, 0.0),
    (2.0, 0.1, 0.0),
    (3.0, 0.2, 0.1),
    (10.0, 0.3, 0.1),
    (20.0, 0.4, 0.2),
    (130.0, 0.5, 0.3),
    (200.0, 0.5, 0.4),
)
EXPONENT = 0.875  # the time of a character grows with this power of the number of weights

TRAIN = Train()  # the default batch and budget
FEW, BATCH = 32, TRAIN.batch  # streams between which the learning rate does not depend on them
LONG_MINUTES, LONG_STEPS = 60.0, 30_000  # budgets up to which it does not depend on them
WARM = 0.3  # factor of the learning rate for training that starts from trained weights


class Text(NamedTuple):
    """What the choice of a network needs to know of a text."""

    chars: int  # of the whole text, or of the text to train on, if there are others to validate
    symbols: int  # different ones, V


# settings that are chosen for a text and a budget
NETWORK = ("model.hidden", "model.dropout", "model.weight_dropout")
SUITED = (*NETWORK, "model.layers", "optim.lr")
TYPICAL = 2.0**17  # characters a second of ``WIDTH`` units, for runs on several machines

Resolve = Callable[[Values], Settings]  # the settings of the user, and values where there are none


def suited(
    resolve: Resolve, text: Text, given: Collection[str], speed: Callable[[], float]
) -> Values:
    """Values for a text and a budget, except for the keys that the user has given."""
    widest = next(row[1] for row in LENGTHS if text.chars <= row[0])
    values = suited_length(resolve({}).train, text.chars, given)
    settings = resolve(values)
    own = text._replace(chars=_to_train(settings, text.chars))
    values |= _network(settings, own, widest, given, speed)
    return values | suited_rate(resolve(values), text.chars, given)


def suited_length(train: Train, chars: int, given: Collection[str]) -> Values:
    """Budget, patience and validation text for the length of a text, unless they are given.

    ``train`` has the budget of the user, if there is one.
    """
    if set(BUDGET_KEYS).intersection(given):
        given = {*given, "train.epochs"}
    if train.minutes is None:
        given = {*given, "train.most_epochs"}
    values = next(row[2] for row in LENGTHS if chars <= row[0]) | {"train.epochs": _epochs(chars)}
    return {key: value for key, value in values.items() if key not in given}


def _to_train(settings: Settings, chars: int) -> int:
    """The characters of a text that are not held out."""
    shares = [one for one in (settings.data.val, settings.data.test) if isinstance(one, float)]
    return max(1, round(chars * (1 - sum(shares))))


def _epochs(chars: int) -> float:
    """The default budget: a longer text is read less often, but more of it."""
    read = READ * math.sqrt(max(1.0, chars / MILLION))
    return float(f"{min(max(1.0, read / max(1, chars)), MOST_EPOCHS):.2g}")


def fitted(N: float, B: int, T: int) -> tuple[int, int]:
    """Streams and steps of a window; both are halved as often as N characters are too few."""
    # ten windows should fit, with B of 8 and T of 32 or more; one fits in any case
    while max(1, N) < B * T or (10 * B * T > N and (B > 8 or T > 32)):
        B, T = (-(-B // 2), T) if T == 1 or (B / 8 >= T / 32 and B > 1) else (B, -(-T // 2))
    return B, T


def _network(
    settings: Settings, own: Text, widest: int, given: Collection[str], speed: Callable[[], float]
) -> Values:
    if all(key in given for key in NETWORK):
        return {}
    train, model = settings.train, settings.model
    known = _known(train, own.chars)
    # in coarse steps, so that a slower second does not choose otherwise
    time = known or 2.0 ** round(math.log2(60 * (train.minutes or 0) * speed()))

    def slowness(units: int, layers: int = 1) -> float:
        """How many times as long as with one layer of ``WIDTH`` units a character takes."""
        usual = _weights(1, WIDTH, own.symbols)
        return math.pow(_weights(layers, units, own.symbols) / usual, EXPONENT)

    most = (train.most_epochs or math.inf) * own.chars
    units, layers = model.hidden, model.layers  # units of the user are in one layer, or in theirs
    if "model.hidden" not in given:
        widths = [row for row in WIDTHS if row[0] <= (min(widest, WIDEST) if known else widest)]
        times = {H: time * (slowness(H) if known else 1) for H, *_ in widths}
        units, deep = (
            max((row[0] for row in widths if times[row[0]] >= row[least]), default=0)
            for least in (1, 2)
        )
        epochs = (known or min(time / slowness(units), most)) / own.chars
        if deep and own.chars >= LONG and epochs >= OFTEN and "model.layers" not in given:
            layers, units = 2, deep
        units = 16 * max(1, round(units / 8 / (layers + 1)))
    read = known or min(time / slowness(units, layers), most)  # characters, with these layers
    strain = _weights(layers, units, own.symbols) * read / own.chars**2
    _, dropout, weight_dropout = max(row for row in RATES if strain >= row[0])
    chosen: Values = {} if layers == model.layers else {"model.layers": layers}
    chosen |= dict(zip(NETWORK, (units, dropout, weight_dropout), strict=True))
    return {key: one for key, one in chosen.items() if key not in given}


def _known(train: Train, chars: float) -> float | None:
    """The characters to read, of a text of ``chars``; None if the budget is a time."""
    if train.steps is not None:
        return float(train.steps * math.prod(fitted(chars - 1, train.batch, train.window)))
    return None if train.epochs is None else train.epochs * chars


def _weights(layers: int, units: int, symbols: int) -> float:
    """Weights that are multiplied for each character: all but those that its id selects."""
    return 3.0 * units**2 * (2 * layers - 1) + units * symbols


def suited_rate(
    settings: Settings, chars: int, user_keys: Collection[str], share: float = 1.0
) -> Values:
    """Learning rate, times ``share``, and warm-up, unless they are defaults or the user's."""
    train, N = settings.train, _to_train(settings, chars)
    batch, window = fitted(N - 1, train.batch, train.window)
    epochs = train.epochs or train.most_epochs or 0.0
    steps = train.steps or round(epochs * N / (batch * window))
    train = train.model_copy(update={"batch": batch, "steps": steps or None})
    values = {
        "optim.lr": learning_rate(settings.model, train, share),
        "optim.warmup": warmup(batch),
    }
    defaults = flatten(Settings())
    return {
        key: one for key, one in values.items() if key not in user_keys and one != defaults[key]
    }


def learning_rate(model: Model, train: Train = TRAIN, share: float = 1.0) -> float:
    """The learning rate for a network: 0.08 * 256 / (H L) from 64 units on, times ``share``.

    It is measured (``docs/benchmarks.md``). Up to 32 streams, and from 64 to 256, it grows with
    the square root of their number (``docs/scaling.md``). From ``LONG_MINUTES`` or ``LONG_STEPS``
    on, it falls with the square root of the budget, at most to a quarter.
    """
    streams = max(min(1.0, train.batch / FEW), min(4.0, train.batch / BATCH))
    lengths = ((train.minutes or 0) / LONG_MINUTES, (train.steps or 0) / LONG_STEPS)
    length = max(1.0, min(filter(None, lengths), default=0.0))  # what is reached first ends a run
    lr = share * Optim().lr * WIDTH / max(model.hidden, NARROWEST) / model.layers
    return float(f"{lr * math.sqrt(streams / min(length, 16.0)):.2g}")


def lower_rate(lr: float) -> str:
    """The option for a new run after one whose learning rate was too high."""
    return f"--set optim.lr={min(lr / 2, 0.01):g}"


def warmup(batch: int) -> int:
    """The steps of the warm-up: as many characters as with the default batch, or five steps."""
    return max(5, round(Optim().warmup * min(1.0, BATCH / batch)))
