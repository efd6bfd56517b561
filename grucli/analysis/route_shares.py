"""Measure how much of a gradient each of its routes back through time carries."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from grucli.analysis.gradient_routes import History, count, doubling_distances, look_back_in_text
from grucli.analysis.subject import Subject
from grucli.charts import ROUTES, Curve, colours_of, svg
from grucli.errors import UsageError
from grucli.nn.cells import CELLS, Cell, basic
from grucli.nn.params import Array
from grucli.threads import blas_limited_to

MOST_COMPOSITIONS = 20_000  # to enumerate; it takes some seconds with 128 units
ROUNDING = 1e-9  # largest relative error of a sum in float64; a wrong gradient differs by more
COUNTED = range(1, 5)  # steps back for which routes are counted


@dataclass(frozen=True)
class Contribution:
    """The contribution of one composition of routes to the gradient."""

    name: str  # the names of the routes, the latest step first: ``update > direct > reset``
    norm: float  # of the gradient that the composition carries, mean over positions of the text
    share: float  # its component along the whole gradient, divided by the norm of the whole, mean


@dataclass(frozen=True)
class Enumeration:
    """All compositions of k routes, and a check of their sum."""

    k: int  # steps back
    contributions: list[Contribution]  # the largest share first; all shares add up to 1
    difference: float  # of their sum from the gradient of the backward pass, relative to its norm
    allowed: float  # the largest that rounding can cause; it grows if large contributions cancel

    @property
    def agrees(self) -> bool:
        """Whether their sum is the gradient; a difference that is not a number says no."""
        return self.difference <= self.allowed


@dataclass(frozen=True)
class RouteShares:
    """The result of ``grucli routes`` for one model."""

    subject: Subject
    enumeration: Enumeration  # all compositions over a few steps
    distance: int  # the largest of the shares
    shares: dict[int, dict[str, float]]  # of each route, by name, in the step that ends k back

    def shown(self) -> dict[int, dict[str, float]]:
        """The shares at the distances that a table shows, if a gradient reaches them."""
        return {k: self.shares[k] for k in doubling_distances(self.distance) if k in self.shares}

    def chart(self) -> str:
        """The shares of the routes by distance as areas, in SVG; below zero, they hang down."""
        colours = colours_of(list(self.shares.get(1, {})), ROUTES)
        names = sorted(colours, key=lambda name: colours[name])
        rows = [[100 * shares[name] for shares in self.shares.values()] for name in names]
        x = [edge for k in self.shares for edge in (k - 0.5, k + 0.5)]
        values, curves = np.repeat(rows, 2, axis=1) if x else np.zeros((0, 0)), []
        for side in (np.maximum(values, 0), np.minimum(values, 0)):
            for name, high, size in zip(names, side.cumsum(axis=0), side, strict=True):
                middle, low, shown = high - size / 2, high - size, name if size[-1] else ""
                curves.append(Curve(shown, x, middle, colours[name], low, high, area=True))
        y = f"{self.subject.words}: share of the gradient, %"
        return svg(curves, x="steps back", y=y, levels=[100], slide=True)

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.subject.name,
            "counts": counts(),
            "steps_back": self.enumeration.k,
            "compositions": [asdict(one) for one in self.enumeration.contributions],
            "relative_difference": self.enumeration.difference,
            "agrees": self.enumeration.agrees,
            "shares_by_distance": self.shown(),
        }


def counts(steps_back: Iterable[int] = COUNTED) -> dict[str, dict[int, int]]:
    return {cell: {k: count(CELLS[cell], k) for k in steps_back} for cell in basic()}


@blas_limited_to(1)  # the products are small
def measure(
    subject: Subject, steps_back: int = 2, distance: int = 64, positions: int = 64
) -> RouteShares:
    """Measure what compositions over ``steps_back`` steps and routes up to a distance carry."""
    check_enumerable(CELLS[subject.lm.model.cell], steps_back)
    near = look_back_in_text(subject.lm.model, subject.ids, steps_back, positions)
    far = look_back_in_text(subject.lm.model, subject.ids, distance, positions)
    enumeration = enumerate_routes(near, steps_back)
    return RouteShares(subject, enumeration, distance, shares_by_distance(far))


def check_enumerable(cell: Cell, k: int) -> None:
    """Refuse an enumeration that would take too long."""
    for fewer in range(1, k + 1):
        if count(cell, fewer) > MOST_COMPOSITIONS:
            raise UsageError(
                f"{k} steps back there are more than {MOST_COMPOSITIONS:,} compositions of routes, "
                f"too many to follow one by one: go back {fewer - 1} at most; the shares of single "
                "routes are shown for any distance"
            )


def enumerate_routes(history: History, k: int) -> Enumeration:
    """Follow every composition of ``k`` routes, one after the other, through the k steps."""
    rest = history.by_backward.copy()  # the part of the gradient that is not explained yet
    contributions, lengths = [], 0.0
    for composition, gradient in history.follow(k):
        rest -= gradient
        lengths += float(np.linalg.norm(gradient))
        norm = float(np.mean(np.linalg.norm(gradient, axis=-1)))
        share = _share(gradient, history.by_backward)
        name = " > ".join(route.name for route in composition)
        contributions.append(Contribution(name, norm, share))
    length = max(float(np.linalg.norm(history.by_backward)), 1e-300)
    return Enumeration(
        k=k,
        contributions=sorted(contributions, key=lambda one: -abs(one.share)),
        difference=float(np.linalg.norm(rest)) / length,
        allowed=ROUNDING * max(1.0, lengths / length),
    )


def shares_by_distance(history: History) -> dict[int, dict[str, float]]:
    """For each k, the share of each route in the step that ends k steps back, by name.

    The gradient of each position is scaled to norm 1 before each step. Otherwise a few large ones
    would dominate, and far back all would vanish. The last k is the last that a gradient reaches,
    since documents begin.
    """
    shares: dict[int, dict[str, float]] = {}
    after = history.gradient
    for number in range(len(history.steps)):
        lengths = np.linalg.norm(after, axis=-1, keepdims=True)  # (positions, 1)
        parts = list(history.parts(number, after / np.where(lengths > 0, lengths, 1.0)))
        after = np.sum([part for _, part in parts], axis=0)
        if not after.any():
            break
        named = dict.fromkeys((route.name for route, _ in parts), 0.0)
        for route, part in parts:
            named[route.name] += _share(part, after)
        shares[number + 1] = named
    return shares


def _share(part: Array, whole: Array) -> float:
    """<part, whole> / <whole, whole>, mean over positions; the shares of all parts sum to 1."""
    along, lengths = (np.sum(gradient * whole, axis=-1) for gradient in (part, whole))
    some = lengths > 0
    return float(np.mean(along[some] / lengths[some])) if some.any() else 0.0
