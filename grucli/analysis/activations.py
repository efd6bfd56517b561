"""Show the values of a layer's units on a text, and find units that follow its structure.

Karpathy, Johnson and Fei-Fei (2015) found such units for quotes, brackets and line lengths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from grucli.analysis.subject import Subject
from grucli.errors import UsageError
from grucli.html import ColouredText
from grucli.nn.params import Array
from grucli.text_score import TextScore
from grucli.threads import blas_limited_to

SHORTEST = 2
"""Minimum number of characters to read: a single one shows no structure."""

OPENING, CLOSING = "\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}"

STEADY = 1e-9
"""If a feature or a unit varies less than this, its correlations are not computed."""


class Correlation(NamedTuple):
    """How closely a unit follows a feature of the text."""

    feature: str
    unit: int
    correlation: float


@dataclass(frozen=True)
class Reading:
    """The values of one layer of a model while it reads a text.

    Attributes:
        name: the name of the model.
        layer: the number of the layer, from 1.
        score: the text and the surprisal of each of its N characters.
        h: the layer's values after each character, (N, H).
    """

    name: str
    layer: int
    score: TextScore
    h: Array

    @property
    def characters(self) -> list[str]:
        """The text; a byte is shown as the character with its number."""
        return self.score.characters

    def unit(self, number: int) -> ColouredText:
        """Return the text coloured by the values of one unit.

        Raises:
            UsageError: there is no such unit.
        """
        _check_between("unit", number, 0, self.h.shape[1] - 1)
        values, what = self.h[:, number], f"unit {number} of layer {self.layer}"
        full = float(abs(values).max())
        return ColouredText(self.name, what, self.characters, values.tolist(), full, signed=True)

    def surprisal(self) -> ColouredText:
        """Return the text coloured by the surprisal of each character."""
        return self.score.coloured(self.name)

    def correlations(self, top: int = 3) -> list[Correlation]:
        """Return the units that follow each feature of the text most closely."""
        return correlations(self.h, "".join(self.characters), top)


@blas_limited_to(1)  # the products are small
def read(subject: Subject, layer: int | None = None, length: int = 2000) -> Reading:
    """Read the beginning of a text with a model.

    Args:
        subject: the model and its text.
        layer: the layer to look at, from 1; None for the top one.
        length: the number of characters to read, at least 2.

    Raises:
        UsageError: there is no such layer, or the length is too small.
    """
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


# ---- features of a text: one value for each character -------------------------------------------


def inside_quotes(text: str) -> list[float]:
    """1 between double quotes, else 0. An empty line ends a quote, since many are never closed."""
    values, inside, previous = [], False, ""
    for character in text:
        if character == OPENING or (character == '"' and not inside):
            inside = True
        elif character in ('"', CLOSING) or character == previous == "\n":
            inside = False
        previous = character
        values.append(float(inside))
    return values


def inside_brackets(text: str) -> list[float]:
    """Number of open round, square and curly brackets."""
    values, depth = [], 0
    for character in text:
        depth = max(0, depth + (character in "([{") - (character in ")]}"))
        values.append(float(depth))
    return values


def position_in_line(text: str) -> list[float]:
    """Number of characters since the line began."""
    return _since(text, lambda character: character == "\n")


def position_in_word(text: str) -> list[float]:
    """Number of letters since the word began."""
    return _since(text, lambda character: not character.isalpha())


def after_a_capital(text: str) -> list[float]:
    """1 from a capital letter to the end of its word, else 0."""
    values, inside = [], False
    for character in text:
        inside = character.isupper() or (inside and character.isalpha())
        values.append(float(inside))
    return values


def indentation(text: str) -> list[float]:
    """Number of spaces and tabs at the start of the line so far."""
    values, spaces, counting = [], 0, True
    for character in text:
        if character == "\n":
            spaces, counting = 0, True
        elif counting and character in " \t":
            spaces += 1
        else:
            counting = False
        values.append(float(spaces))
    return values


def line_in_paragraph(text: str) -> list[float]:
    """Number of lines since the last empty line."""
    values, lines, previous = [], 0, ""
    for character in text:
        if character == "\n":
            lines = 0 if previous == "\n" else lines + 1
        previous = character
        values.append(float(lines))
    return values


def _since(text: str, starts: Callable[[str], bool]) -> list[float]:
    values, count = [], 0
    for character in text:
        count = 0 if starts(character) else count + 1
        values.append(float(count))
    return values


FEATURES: dict[str, Callable[[str], Sequence[float]]] = {
    "inside quotes": inside_quotes,
    "inside brackets": inside_brackets,
    "position in line": position_in_line,
    "position in word": position_in_word,
    "after a capital": after_a_capital,
    "indentation": indentation,
    "line in paragraph": line_in_paragraph,
}


def correlations(h: Array, text: str, top: int) -> list[Correlation]:
    """Return the units that follow each feature of the text most closely.

    Features that do not occur in the text are left out.

    Args:
        h: values of the units after each character, (N, H).
        text: the text, N characters.
        top: the number of units for each feature.
    """
    units = h.astype(np.float64)
    units -= units.mean(axis=0)
    lengths = np.linalg.norm(units, axis=0)  # (H,)
    found: list[Correlation] = []
    for name, feature in FEATURES.items():
        values = np.array(feature(text))
        values -= values.mean()
        length = float(np.linalg.norm(values))
        if length < STEADY:
            continue
        with_units = np.where(
            lengths > STEADY, values @ units / np.maximum(lengths * length, STEADY), 0.0
        )  # (H,)
        best = np.argsort(-np.abs(with_units), kind="stable")[:top]
        found += [Correlation(name, int(unit), float(with_units[unit])) for unit in best]
    return found
