"""Show the values of a layer's units on a text, and find units that follow its structure.

Karpathy, Johnson and Fei-Fei (2015) found such units for quotes, brackets and line lengths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.analysis.subject import Subject
from grucli.coloured_text import ColouredText
from grucli.errors import UsageError
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.threads import blas_limited_to

WINDOW = 128
"""Characters read at a time. It does not change the result."""

SHORTEST = 2
"""Minimum number of characters to read: a single one shows no structure."""

OPENING, CLOSING = "\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}"

STEADY = 1e-9
"""If a feature or a unit varies less than this, its correlations are not computed."""

SURPRISING = 8.0
"""Surprisal in bits from which on a character has the full colour."""


@dataclass(frozen=True)
class Trace:
    """The values of a layer while it reads a text, and the surprisal of the text.

    Attributes:
        h: values after each character, (N, H).
        bits: surprisal of each character, -log2 p of it given all before, (N,). For the
            first character, the model has read nothing.
    """

    h: Array
    bits: Array


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
        characters: the text; a byte is shown as the character with its number.
        trace: the layer's values and the surprisal of each character.
    """

    name: str
    layer: int
    characters: list[str]
    trace: Trace

    def unit(self, number: int) -> ColouredText:
        """Return the text coloured by the values of one unit.

        Raises:
            UsageError: there is no such unit.
        """
        _check_between("unit", number, 0, self.trace.h.shape[1] - 1)
        values = self.trace.h[:, number]
        what = f"unit {number} of layer {self.layer}"
        return self._coloured(what, values, float(abs(values).max()), signed=True)

    def surprisal(self) -> ColouredText:
        """Return the text coloured by the surprisal of each character."""
        return self._coloured("surprisal, bits", self.trace.bits, SURPRISING, signed=False)

    def correlations(self, top: int = 3) -> list[Correlation]:
        """Return the units that follow each feature of the text most closely."""
        return correlations(self.trace.h, "".join(self.characters), top)

    def _coloured(self, what: str, values: Array, full: float, *, signed: bool) -> ColouredText:
        return ColouredText(self.name, what, self.characters, values.tolist(), full, signed)


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
    model, ids = subject.model, subject.ids[:length]
    number = model.L if layer is None else layer
    _check_between("layer", number, 1, model.L)
    if length < SHORTEST:
        raise UsageError(f"a length of {length} is too short; read {SHORTEST} characters or more")
    characters = [chr(symbol) for symbol in subject.vocabulary.symbols[ids].tolist()]
    return Reading(subject.name, number, characters, trace(model, ids, number))


def _check_between(what: str, number: int, first: int, last: int) -> None:
    if not first <= number <= last:
        raise UsageError(
            f"there is no {what} {number}: this model's {what}s are numbered {first} to {last}"
        )


def trace(model: Model, ids: Ids, layer: int) -> Trace:
    """Read a text from the zero state, and record one layer.

    Args:
        model: the model.
        ids: the text, (N,).
        layer: the layer to record, from 1.
    """
    state, workspace = model.zero_state(1), model.workspace(WINDOW, 1)
    h, bits = [], []
    w = model.output(model.params)
    logits = model.zero_state(1)[-1, :, : model.H] @ w.W_hc + w.b_c  # (1, V), nothing read yet
    for start in range(0, len(ids), WINDOW):
        x = ids[start : start + WINDOW].astype(np.intp)[:, None]
        part = workspace.first(len(x))
        inputs, state = model.run(x, state, part)
        h.append(part.caches[layer - 1].h[1:, 0].copy())
        after = inputs[-1][:, 0] @ w.W_hc + w.b_c  # (T, V)
        before = np.concatenate([logits, after[:-1]]).astype(np.float64)
        bits.append(_surprisal(before, x[:, 0]))
        logits = after[-1:]
    return Trace(np.concatenate(h), np.concatenate(bits))


def _surprisal(logits: Array, ids: npt.NDArray[np.intp]) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    nats = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(ids)), ids]
    bits: Array = nats / np.log(2)
    return bits


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
