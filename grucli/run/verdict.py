"""Judge a finished run in plain words: what its losses mean, and what to change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from grucli.charts import Curve
from grucli.config import Model, Settings
from grucli.defaults import lower_rate

# in nats per symbol
WORTH_MENTIONING = 0.01  # losses that differ by less count as equal
WIDE_GAP = 0.3  # of validation minus training loss; with a wider one the model overfits,
NARROW_GAP = 0.03  # and with a narrower one it underfits
WORSE = 0.1  # above the loss of guessing uniformly; training that ends higher did harm

# as shares
LITTLE = 0.9  # of the loss of guessing; a model with a higher loss has learned little,
PREDICTABLE = 0.1  # and one with a lower loss has little more to learn
MEMORIZED = 0.5  # of a sample; a model that copies a longer passage recites its text

MANY = 14.0  # nats from which the number of choices is told as a power of ten
FEW = 6  # with fewer evaluations, a loss has not been flat for long


@dataclass(frozen=True)
class Verdict:
    """What the losses of a run mean."""

    text: str  # the verdict and the advice
    longer: bool = False  # whether longer training can help


@dataclass(frozen=True)
class Losses:
    """The losses of a run, in nats per symbol."""

    train: float  # of the best weights on training text, without dropout
    val: Sequence[float]  # in the order of the evaluations, at least one
    uniform: float  # of guessing all symbols with equal probability
    unigram: float  # of guessing the validation text by the frequencies in the training text
    unlike: bool = False  # whether the validation text is of another kind than the training text

    @property
    def best(self) -> float:
        return min(self.val)

    @property
    def gap(self) -> float:
        return self.best - self.train

    @property
    def risen(self) -> float:
        return self.val[-1] - self.best

    @property
    def falling(self) -> bool:
        """Whether the validation loss fell at the last evaluation."""
        return len(self.val) > 1 and self.val[-2] - self.val[-1] > WORTH_MENTIONING

    @property
    def flat_for(self) -> int:
        """For how many evaluations the loss has not fallen; 0 if there were too few of them."""
        if len(self.val) < FEW:
            return 0
        best = self.best  # computed once: a long run has many evaluations
        near = [loss - best <= WORTH_MENTIONING for loss in self.val]
        flat = len(self.val) - near.index(True) - 1
        return flat if flat >= len(self.val) // 3 else 0


def uncertain(loss: float, symbol: str) -> str:
    return (
        f"The model is as uncertain about each {symbol} as about a choice among "
        f"{choices(loss)} equally likely ones."
    )


def choices(loss: float) -> str:
    """The number of equally likely symbols that gives a loss, in nats."""
    return f"{math.exp(loss):.1f}" if loss < MANY else f"10^{loss / math.log(10):.0f}"


def about_dropout(model: Model, curves: Sequence[Curve]) -> list[str]:
    """A sentence on the curves of a run whose training loss is the higher one, due to dropout."""
    last = {curve.name: curve.points[-1][1] for curve in curves if curve.points}
    higher = last.get("training", 0.0) > last.get("validation", math.inf)
    if not higher or not (model.dropout or model.weight_dropout):
        return []
    return [
        "The training loss is above the validation loss: it is measured with dropout, which makes "
        "each prediction harder, and the validation loss without."
    ]


def judge(losses: Losses, settings: Settings, copied: float = 0.0) -> Verdict:
    """Say what losses mean, and what to change; a sample ``copied`` this share of itself."""
    noun, dropout = settings.data.noun, settings.model.dropout
    if min(losses.train, losses.best) > losses.uniform + WORSE:
        return Verdict(
            f"Worse than guessing: the loss is {losses.best - losses.unigram:,.3f} nats per {noun} "
            "above that of guessing by frequency. The run has diverged, or its learning rate is "
            f"too high: train a new run with {lower_rate(settings.optim.lr)}."
        )
    if losses.unlike:
        return Verdict(
            "The validation text is of another kind than the training text: its "
            f"{noun}s have other frequencies. So its loss does not show how well the model fits. "
            "Train a new run on a text whose parts are mixed, or of one kind.",
            longer=losses.falling,
        )
    if losses.best > LITTLE * losses.unigram:
        return _little_learned(losses, noun)
    more_dropout = f"--set model.dropout={max(dropout, min(0.7, round(dropout + 0.2, 2))):g}"
    if losses.risen > WORTH_MENTIONING and losses.gap > NARROW_GAP:
        return Verdict(_risen(losses, more_dropout))
    if losses.best < PREDICTABLE * losses.unigram:
        return Verdict(
            "The text is almost completely predictable, and the model predicts it: there is "
            "little more to learn from this text."
        )
    if copied > MEMORIZED:
        return Verdict(_memorized(losses, copied, more_dropout))
    if losses.falling:
        return Verdict(
            "Still learning: the validation loss was falling to the end. Train longer.", longer=True
        )
    if losses.gap > WIDE_GAP:
        return Verdict(
            f"Overfitting begins: the loss is {losses.gap:.3f} nats per {noun} lower on "
            f"training text than on new text. More text helps most; a new run with {more_dropout} "
            "and more --epochs may help."
        )
    if losses.gap < NARROW_GAP:
        return Verdict(_underfitting(losses, settings), longer=not losses.flat_for)
    text = "A good fit: there are no clear signs of overfitting or underfitting."
    return Verdict(text, longer=not losses.flat_for)


def _little_learned(losses: Losses, noun: str) -> Verdict:
    worse, guess = losses.best - losses.unigram, f"guessing {noun}s by their frequency"
    lower = f"{-worse / losses.unigram:.1%} lower than that of {guess}"
    text = f"Little learned: the loss is only {lower}."
    if worse > -WORTH_MENTIONING:
        lower = "a lower" if worse > WORTH_MENTIONING else "the same"
        text = f"Nothing learned yet: {guess} gives {lower} loss."
    if losses.risen > WORTH_MENTIONING:
        return Verdict(f"{text} The loss has risen: lower optim.lr, or use more text.")
    if losses.flat_for:
        return Verdict(
            f"{text} The loss has not fallen in the last {losses.flat_for} evaluations. If the "
            "text is random, compressed or encrypted, nothing can be learned; otherwise try "
            "another optim.lr, or more text."
        )
    return Verdict(f"{text} Train longer.", longer=True)


def _risen(losses: Losses, more_dropout: str) -> str:
    count, at = len(losses.val), losses.val.index(losses.best) + 1
    return (
        f"Overfitting: the validation loss was lowest at evaluation {at} of {count} and has risen "
        f"by {losses.risen:.3f} since. The best checkpoint is from that evaluation. Train a new "
        f"run on more text, or with {more_dropout}."
    )


def _memorized(losses: Losses, copied: float, more_dropout: str) -> str:
    repeats = " The validation text seems to repeat it, so its loss does not show this."
    return (
        f"Memorized: {copied:.0%} of a sample is one passage of the training text."
        f"{repeats * (losses.gap < NARROW_GAP)} "
        f"Train a new run on more text, or with {more_dropout}."
    )


def _underfitting(losses: Losses, settings: Settings) -> str:
    # units alone are those of one layer
    layers = f" --set model.layers={settings.model.layers}" * (settings.model.layers > 1)
    flat = f", and has not fallen in the last {losses.flat_for} evaluations" * bool(losses.flat_for)
    return (
        f"Underfitting: the loss is as low on new text as on training text{flat}. "
        f"A larger model may learn more: --set model.hidden={2 * settings.model.hidden}{layers}."
    )
