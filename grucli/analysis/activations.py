"""Show the values of a layer's units on a text, and find units that follow its structure.

Karpathy, Johnson and Fei-Fei (2015) found such units for quotes, brackets and line lengths.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from grucli.analysis.subject import Subject
from grucli.errors import UsageError
from grucli.html import ColouredText
from grucli.nn.params import Array
from grucli.text_score import TextScore
from grucli.threads import blas_limited_to

SHORTEST = 2  # characters to read: a single one shows no structure
OPENING, CLOSING = "\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}"
STEADY = 1e-9  # a feature or a unit that varies less has no correlations


class Correlation(NamedTuple):
    """How closely a unit follows a feature of the text."""

    feature: str
    unit: int
    correlation: float


@dataclass(frozen=True)
class Reading:
    """The values of one layer of a model while it reads a text."""

    name: str  # of the model
    layer: int  # from 1
    score: TextScore  # the text and the surprisal of each of its N characters
    h: Array  # the layer's values after each character, (N, H)

    def unit(self, number: int) -> ColouredText:
        """The text coloured by the values of one unit."""
        _check_between("unit", number, 0, self.h.shape[1] - 1)
        values, what = self.h[:, number], f"unit {number} of layer {self.layer}"
        full = float(abs(values).max())
        return ColouredText(
            self.name, what, self.score.characters, values.tolist(), full, signed=True
        )

    def surprisal(self) -> ColouredText:
        """The text coloured by the surprisal of each character."""
        return self.score.coloured(self.name)

    def correlations(self, top: int = 3) -> list[Correlation]:
        """The ``top`` units that follow each feature that the text has most closely."""
        text, units = "".join(self.score.characters), self.h.astype(np.float64)
        units -= units.mean(axis=0)
        lengths = np.linalg.norm(units, axis=0)  # (H,)
        closest: list[Correlation] = []
        for name, feature in FEATURES.items():
            values = np.array(list(follow(feature, text)), np.float64)
            values -= values.mean()
            length = float(np.linalg.norm(values))
            if length < STEADY:
                continue
            products = values @ units / np.maximum(lengths * length, STEADY)
            with_units = np.where(lengths > STEADY, products, 0.0)  # (H,)
            best = np.argsort(-np.abs(with_units), kind="stable")[:top]
            closest += [Correlation(name, int(unit), float(with_units[unit])) for unit in best]
        return closest


@blas_limited_to(1)  # the products are small
def read(subject: Subject, layer: int | None = None, length: int = 2000) -> Reading:
    """Read the beginning of a text; the layer to look at is counted from 1, None is the top one."""
    lm = subject.lm
    number = lm.model.L if layer is None else layer
    _check_between("layer", number, 1, lm.model.L)
    if length < SHORTEST:
        raise UsageError(f"a length of {length} is too short; read {SHORTEST} characters or more")
    text = lm.vocabulary.decode(subject.ids[:length])
    return Reading(subject.name, number, lm.score(text), lm.states(text, layer=number)["h"])


def _check_between(what: str, number: int, first: int, last: int) -> None:
    if not first <= number <= last:
        raise UsageError(
            f"there is no {what} {number}: this model's {what}s are numbered {first} to {last}"
        )


# ---- features of a text: the value at a character ``here``, from n, that at the one ``before``.
# ``column`` counts the characters of the line before it.


def inside_quotes(inside: float, column: int, before: str, here: str) -> float:
    """1 between double quotes, else 0. An empty line ends a quote, since many are never closed."""
    if here == OPENING or (here == '"' and not inside):
        return 1
    return 0 if here in ('"', CLOSING) or here == before == "\n" else inside


Feature = Callable[[float, int, str, str], float]
FEATURES: dict[str, Feature] = {
    "inside quotes": inside_quotes,
    # number of open round, square and curly brackets
    "inside brackets": lambda n, column, before, here: max(
        0, n + (here in "([{") - (here in ")]}")
    ),
    # number of characters since the line began, and of letters since the word began
    "position in line": lambda n, column, before, here: 0 if here == "\n" else n + 1,
    "position in word": lambda n, column, before, here: n + 1 if here.isalpha() else 0,
    # 1 from a capital letter to the end of its word, else 0
    "after a capital": lambda n, column, before, here: here.isupper() or (n and here.isalpha()),
    # number of spaces and tabs at the start of the line so far
    "indentation": lambda n, column, before, here: (
        0 if here == "\n" else n + (n == column and here in " \t")
    ),
    # number of lines since the last empty line
    "line in paragraph": lambda n, column, before, here: (
        n if here != "\n" else 0 if before == "\n" else n + 1
    ),
}


def follow(feature: Feature, text: str) -> Iterator[float]:
    """The value of a feature at each character."""
    value, column, before = 0.0, 0, ""
    for here in text:
        value = feature(value, column, before, here)
        yield value
        before, column = here, 0 if here == "\n" else column + 1
