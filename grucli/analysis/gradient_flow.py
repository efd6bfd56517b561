"""What can be seen of a gradient on its way back through a text: routes, shares, decay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grucli.analysis.routes import Gradient, Past, count, joined, label, look_back, summed
from grucli.errors import CorpusError, UsageError
from grucli.nn.cells import Cell
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids

WARM_UP = 64
"""Characters read, where the text has them, before the part that is looked at."""

MOST_COMPOSITIONS = 20_000
"""Compositions that are enumerated at most: some seconds at 128 units."""


@dataclass(frozen=True)
class Carried:
    """What one composition of routes carries.

    Attributes:
        name: the routes, from the latest step back.
        norm: length of the gradient that it carries, mean over the places of the text.
        share: of the whole gradient, as its component along it, mean over the places; all shares
            add up to 1, and one that points the other way is negative.
    """

    name: str
    norm: float
    share: float


@dataclass(frozen=True)
class Enumeration:
    """All compositions of k routes, and whether they add up.

    Attributes:
        k: steps back.
        carried: the largest share first.
        difference: between their sum and the backward pass, relative to its length.
    """

    k: int
    carried: list[Carried]
    difference: float


def windows_before(ids: Ids, distance: int, places: int) -> npt.NDArray[np.intp]:
    """Windows of text, spread evenly, whose last character is to be predicted.

    Args:
        ids: the text, (N,).
        distance: how many steps will be looked back.
        places: how many windows, at most.

    Returns:
        Ids, (T+1, B), T being ``distance`` and a warm-up.

    Raises:
        CorpusError: the text is too short.
    """
    if len(ids) < distance + 1:
        raise CorpusError(
            f"the text has {len(ids):,} characters; to look {distance:,} steps back takes "
            f"{distance + 1:,}: give a longer text or look back fewer steps, with --distance or "
            "--steps-back"
        )
    T = min(distance + WARM_UP, len(ids) - 1)
    starts = np.unique(np.linspace(0, len(ids) - T - 1, places).round().astype(np.intp))
    windows: npt.NDArray[np.intp] = ids[starts + np.arange(T + 1)[:, None]].astype(np.intp)
    return windows


def look(model: Model, ids: Ids, distance: int, places: int) -> Past:
    """Look back from places spread over a text."""
    return look_back(model.astype(np.float64), windows_before(ids, distance, places), distance)


def check_enumerable(cell: Cell, k: int) -> None:
    """Refuse what would take too long.

    Raises:
        UsageError: more than ``MOST_COMPOSITIONS``.
    """
    for fewer in range(1, k + 1):
        if count(cell, fewer) > MOST_COMPOSITIONS:
            raise UsageError(
                f"{k} steps back there are more than {MOST_COMPOSITIONS:,} compositions of routes, "
                f"too many to follow one by one: go back {fewer - 1} at most; the shares of single "
                "routes are shown to any distance"
            )


def enumerate_routes(past: Past, k: int) -> Enumeration:
    """Follow every composition of ``k`` routes; ``past`` holds exactly k steps.

    One gradient at a time is held, however many compositions there are.
    """
    parts = np.split(past.by_backward, len(past.gradient), axis=-1)
    whole = dict(zip(past.gradient, parts, strict=True))
    rest = past.by_backward.copy()  # what no composition has carried yet
    carried = []
    for composition, gradient in past.follow(k):
        rest -= joined(summed([gradient], past.gradient))
        carried.append(Carried(label(composition), _norm(gradient), _along(gradient, whole)))
    length = max(float(np.linalg.norm(past.by_backward)), 1e-300)
    return Enumeration(
        k=k,
        carried=sorted(carried, key=lambda one: -abs(one.share)),
        difference=float(np.linalg.norm(rest)) / length,
    )


def shares_by_distance(past: Past, distances: Sequence[int]) -> dict[int, dict[str, float]]:
    """Share of each route in the step that ends so many steps back, by name; linear in distance.

    Every place of the text counts alike: its gradient is brought to length 1 before each step.
    Far back a few places with a large one would decide otherwise, and all would fade to nothing.
    Distances that no gradient reaches, since documents begin in between, are left out.
    """
    shares: dict[int, dict[str, float]] = {}
    after = past.gradient
    for distance in range(1, len(past.steps) + 1):
        parts = list(past.parts(distance - 1, _of_length_one(after)))
        after = summed((part for _, part in parts), past.gradient)
        if not joined(after).any():
            break
        if distance in distances:
            named: dict[str, float] = {}
            for route, part in parts:
                named[route.name] = named.get(route.name, 0.0) + _along(part, after)
            shares[distance] = named
    return shares


def norms_by_distance(past: Past) -> Array:
    """Length of the gradient of L_t with respect to the state at t-k, (distance+1, places)."""
    norms: Array = np.array(
        [np.linalg.norm(joined(gradient), axis=-1) for gradient in past.gradients()]
    )
    return norms


def falls_below(relative: Sequence[float], limit: float) -> int | None:
    """The first distance at which a norm, relative to that at distance 0, is below a limit."""
    return next((k for k, value in enumerate(relative) if value < limit), None)


def _norm(gradient: Gradient) -> float:
    return float(np.mean(np.linalg.norm(joined(gradient), axis=-1)))


def _of_length_one(gradient: Gradient) -> Gradient:
    """The same directions at all places, none of them faded."""
    lengths = np.linalg.norm(joined(gradient), axis=-1, keepdims=True)  # (places, 1)
    scale = 1.0 / np.where(lengths > 0, lengths, 1.0)
    return {name: array * scale for name, array in gradient.items()}


def _along(part: Gradient, whole: Gradient) -> float:
    """<part, whole> / <whole, whole>, mean over places: the shares of a sum's parts add up to 1."""
    along = sum(np.sum(array * whole[name], axis=-1) for name, array in part.items())  # (places,)
    lengths = sum(np.sum(array**2, axis=-1) for array in whole.values())
    some = lengths > 0
    return float(np.mean(along[some] / lengths[some])) if some.any() else 0.0
