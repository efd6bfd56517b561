"""How much of a gradient each of its routes back through time carries."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from grucli.analysis.routes import (
    Gradient,
    History,
    count,
    doubling_distances,
    joined,
    label,
    look_back_in_text,
    summed,
)
from grucli.analysis.subject import Subject
from grucli.errors import UsageError
from grucli.nn.cells import CELLS, Cell, basic
from grucli.threads import blas_limited_to

MOST_COMPOSITIONS = 20_000
"""Largest number of compositions that are enumerated: some seconds with 128 units."""

COUNTED = range(1, 5)
"""Steps back for which routes are counted."""

LECTURE_NOTE = {"gru": {1: 4, 2: 16, 3: 64}, "lstm": {2: 24}, "rnn": {1: 1, 2: 1, 3: 1}}
"""The numbers of routes that the lecture note gives, by cell and steps back."""


@dataclass(frozen=True)
class Contribution:
    """What one composition of routes contributes to the gradient.

    Attributes:
        name: the routes, from the latest step back.
        norm: norm of the gradient that the composition carries, mean over positions of the text.
        share: component of that gradient along the whole, relative to the whole, mean over
            positions. All shares add up to 1. A share is negative if the composition points
            against the whole.
    """

    name: str
    norm: float
    share: float


@dataclass(frozen=True)
class Enumeration:
    """All compositions of k routes, and whether they add up.

    Attributes:
        k: steps back.
        contributions: the largest share first.
        difference: between their sum and the backward pass, relative to the norm of the latter.
    """

    k: int
    contributions: list[Contribution]
    difference: float


@dataclass(frozen=True)
class RouteShares:
    """What ``grucli routes`` shows of one model.

    Attributes:
        name: of the model.
        enumeration: all compositions of a few routes.
        distance: up to which distance shares were asked for.
        shares: share of each route, by the route's name, in the step that ends k steps back, by k.
            Distances that no gradient reaches are missing.
    """

    name: str
    enumeration: Enumeration
    distance: int
    shares: dict[int, dict[str, float]]

    def shown(self) -> dict[int, dict[str, float]]:
        """The shares at the distances that a table shows."""
        return {k: self.shares[k] for k in doubling_distances(self.distance) if k in self.shares}

    def to_dict(self) -> dict[str, Any]:
        """All of it, and the numbers of routes of each cell, as JSON takes it."""
        return {
            "model": self.name,
            "counts": counts(),
            "note": LECTURE_NOTE,
            "steps_back": self.enumeration.k,
            "compositions": [asdict(one) for one in self.enumeration.contributions],
            "relative_difference": self.enumeration.difference,
            "shares_by_distance": self.shown(),
        }


def counts(steps_back: Iterable[int] = COUNTED) -> dict[str, dict[int, int]]:
    """Number of routes of each cell, by steps back."""
    return {cell: {k: count(CELLS[cell], k) for k in steps_back} for cell in basic()}


@blas_limited_to(1)  # the products are small
def measure(
    subject: Subject, steps_back: int = 2, distance: int = 64, positions: int = 64
) -> RouteShares:
    """Measure what the routes of a model carry while it reads its text.

    Args:
        subject: the model and its text.
        steps_back: how many steps back to enumerate every composition.
        distance: how many steps back to follow the shares of single routes.
        positions: how many positions of the text to average over.

    Raises:
        UsageError: there are too many compositions.
        CorpusError: the text is too short.
    """
    check_enumerable(CELLS[subject.model.cell], steps_back)
    near = look_back_in_text(subject.model, subject.ids, steps_back, positions)
    far = look_back_in_text(subject.model, subject.ids, distance, positions)
    shares = shares_by_distance(far, range(1, distance + 1))
    return RouteShares(subject.name, enumerate_routes(near, steps_back), distance, shares)


def check_enumerable(cell: Cell, k: int) -> None:
    """Refuse an enumeration that would take too long.

    Raises:
        UsageError: there are more than ``MOST_COMPOSITIONS``.
    """
    for fewer in range(1, k + 1):
        if count(cell, fewer) > MOST_COMPOSITIONS:
            raise UsageError(
                f"{k} steps back there are more than {MOST_COMPOSITIONS:,} compositions of routes, "
                f"too many to follow one by one: go back {fewer - 1} at most; the shares of single "
                "routes are shown for any distance"
            )


def enumerate_routes(history: History, k: int) -> Enumeration:
    """Follow every composition of ``k`` routes; ``history`` holds exactly k steps.

    Only one gradient at a time is in memory, however many compositions there are.
    """
    parts = np.split(history.by_backward, len(history.gradient), axis=-1)
    whole = dict(zip(history.gradient, parts, strict=True))
    rest = history.by_backward.copy()  # what no composition has carried yet
    contributions = []
    for composition, gradient in history.follow(k):
        rest -= joined(summed([gradient], history.gradient))
        norm, share = _mean_norm(gradient), _share(gradient, whole)
        contributions.append(Contribution(label(composition), norm, share))
    length = max(float(np.linalg.norm(history.by_backward)), 1e-300)
    return Enumeration(
        k=k,
        contributions=sorted(contributions, key=lambda one: -abs(one.share)),
        difference=float(np.linalg.norm(rest)) / length,
    )


def shares_by_distance(history: History, distances: Sequence[int]) -> dict[int, dict[str, float]]:
    """Share of each route in the step that ends k steps back, by name; the time is linear in k.

    Every position of the text has the same weight: its gradient is scaled to norm 1 before each
    step. Otherwise a few positions with a large gradient would decide, and far back all gradients
    would vanish. Distances that no gradient reaches, because documents begin before them, are left
    out.
    """
    shares: dict[int, dict[str, float]] = {}
    after = history.gradient
    for distance in range(1, len(history.steps) + 1):
        parts = list(history.parts(distance - 1, _normalized(after)))
        after = summed((part for _, part in parts), history.gradient)
        if not joined(after).any():
            break
        if distance in distances:
            named: dict[str, float] = {}
            for route, part in parts:
                named[route.name] = named.get(route.name, 0.0) + _share(part, after)
            shares[distance] = named
    return shares


def _mean_norm(gradient: Gradient) -> float:
    return float(np.mean(np.linalg.norm(joined(gradient), axis=-1)))


def _normalized(gradient: Gradient) -> Gradient:
    """The same directions at all positions, with norm 1."""
    lengths = np.linalg.norm(joined(gradient), axis=-1, keepdims=True)  # (positions, 1)
    scale = 1.0 / np.where(lengths > 0, lengths, 1.0)
    return {name: array * scale for name, array in gradient.items()}


def _share(part: Gradient, whole: Gradient) -> float:
    """<part, whole> / <whole, whole>, mean over positions: the parts of a sum add up to 1."""
    along = sum(
        np.sum(array * whole[name], axis=-1) for name, array in part.items()
    )  # (positions,)
    lengths = sum(np.sum(array**2, axis=-1) for array in whole.values())
    some = lengths > 0
    return float(np.mean(along[some] / lengths[some])) if some.any() else 0.0
