"""Follow the routes of a gradient back through time, one by one.

A gradient flows from the state at step t to the state at step t-1 along a few routes. Each cell
declares them as ``ROUTES``, below its backward pass. The backward pass computes their sum.

Only the top layer is followed. The state of a lower layer also acts through the layers above it,
and that is not a route through its own cell.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from grucli.errors import CorpusError
from grucli.nn.cells import CELLS, Cell, Route
from grucli.nn.functional import log_softmax
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids

WARM_UP = 64  # characters to read before the steps to follow, if the text is long enough

Gradient = dict[str, Array]  # of a state: an array (B, H) for each part of the state
Composition = tuple[Route, ...]  # a sequence of routes; the first one starts at step t


def label(composition: Composition) -> str:
    """The name of a composition, such as ``update > direct > reset``."""
    return " > ".join(route.name for route in composition)


def compositions(cell: Cell, k: int, start: str = "h") -> Iterator[Composition]:
    """All compositions of ``k`` routes. They start at h, because the loss depends on h."""
    if k == 0:
        yield ()
        return
    for route in cell.ROUTES:
        if route.start == start:
            for rest in compositions(cell, k - 1, route.end):
                yield (route, *rest)


def count(cell: Cell, k: int) -> int:
    """The number of compositions of ``k`` routes, by enumerating all of them.

    From the state where a composition ends, exactly one path leads to the weights of a gate (the
    update gate of a GRU, the forget gate of an LSTM). So this is also the number of routes from
    L_t to those weights k steps back.
    """
    return sum(1 for _ in compositions(cell, k))


def doubling_distances(last: int) -> list[int]:
    """The distances that a table shows: 1, 2, 4, ... and the last one."""
    return [*(2**i for i in range(last.bit_length()) if 2**i < last), last]


@dataclass(frozen=True)
class History:
    """The last steps of the top layer before some positions of a text, and their gradients."""

    cell: Cell
    w: Any  # the top layer's weights
    steps: Sequence[Any]  # the cell's ``Step`` for each step, the latest first; arrays (B, H)
    reset_mask: Sequence[Array | float]  # by step, 0 where a document begins, else 1; (B, 1)
    gradient: Gradient  # of L_t with respect to the state at step t
    by_backward: Array  # of L_t w.r.t. the earliest state, by the cell's backward pass, (B, S H)

    def within(self) -> npt.NDArray[np.bool_]:
        """Whether the document of each position goes back k steps or more, (S+1, B), for S steps.

        A document that begins at step t does not go back: the state before it is zero.
        """
        here = np.ones((len(self.by_backward), 1))
        kept = [here, *(here * mask for mask in self.reset_mask)]
        return np.cumprod(kept, axis=0)[..., 0] > 0

    def gradients(self) -> Iterator[Gradient]:
        """The gradients of L_t with respect to the states at t, t-1, ..., over all routes."""
        gradient = self.gradient
        yield gradient
        for number in range(len(self.steps)):
            parts = (part for _, part in self.parts(number, gradient))
            gradient = summed(parts, gradient)
            yield gradient

    def parts(self, number: int, gradient: Gradient) -> Iterator[tuple[Route, Gradient]]:
        """Each route with the gradient that it carries over one step."""
        for route in self.cell.ROUTES:
            yield route, {route.end: self._carry(route, number, gradient[route.start])}

    def _carry(self, route: Route, number: int, gradient: Array) -> Array:
        return self.reset_mask[number] * route.carry(self.w, self.steps[number], gradient)

    def follow(self, k: int) -> Iterator[tuple[Composition, Gradient]]:
        """Each composition of ``k`` routes with the gradient that it carries to step t-k."""
        return self._follow(k, 0, "h", self.gradient["h"])

    def _follow(
        self, k: int, depth: int, part: str, gradient: Array
    ) -> Iterator[tuple[Composition, Gradient]]:
        if depth == k:
            yield (), {part: gradient}
            return
        for route in self.cell.ROUTES:
            if route.start == part:
                carried = self._carry(route, depth, gradient)
                for rest, result in self._follow(k, depth + 1, route.end, carried):
                    yield (route, *rest), result


def summed(parts: Iterable[Gradient], like: Gradient) -> Gradient:
    """The sum of gradients. Each has some of the parts of the state that ``like`` has."""
    total = {name: np.zeros_like(array) for name, array in like.items()}
    for part in parts:
        for name, array in part.items():
            total[name] += array
    return total


def joined(gradient: Gradient) -> Array:
    """The parts of the state beside each other, (B, S H)."""
    return np.concatenate(list(gradient.values()), axis=-1)


def look_back(model: Model, ids: Ids, distance: int) -> History:
    """Read windows (T+1, B) of a text, in float64, and keep the last ``distance`` steps of each.

    The last id of each window is the character to predict.
    """
    cell, (x, targets) = CELLS[model.cell], (ids[:-1], ids[-1])
    T, B = x.shape
    workspace = model.workspace(T, B)
    inputs, _ = model.run(x, model.zero_state(B), workspace)
    params, output = model.params, model.output(model.params)
    w, dw = (model.layers(p)[-1] for p in (params, params.like()))
    packed = model.layers(model.packed(B))[-1]
    y = np.exp(log_softmax(inputs[-1][-1] @ output.W_hc + output.b_c))  # (B, V)
    y[np.arange(B), targets] -= 1.0
    dh_t = y @ output.W_hc.T  # (B, H)
    nothing = np.zeros_like(dh_t)
    last = workspace.caches[-1].span(T - distance, T)
    steps = [type(step)(*(array.copy() for array in step)) for step in last.steps]
    dh = np.zeros((distance, *dh_t.shape))
    dh[-1] = dh_t
    after = np.zeros((B, model.state_size))
    return History(
        cell=cell,
        w=w,
        steps=steps[::-1],
        reset_mask=list(last.reset_mask[::-1].copy()) or [1.0] * distance,
        gradient={name: dh_t if name == "h" else nothing for name in cell.STATE},
        by_backward=cell.backward(packed, dh, after, last, dw),
    )


def windows_before(ids: Ids, distance: int, positions: int) -> npt.NDArray[np.intp]:
    """Evenly spread windows of a text, (T+1, positions), with T = distance plus a warm-up.

    The last character of each is to be predicted.
    """
    if len(ids) < distance + 1:
        raise CorpusError(
            f"the text has {len(ids):,} characters; to look {distance:,} steps back takes "
            f"{distance + 1:,}: give a longer text or look back fewer steps, with --distance or "
            "--steps-back"
        )
    T = min(distance + WARM_UP, len(ids) - 1)
    starts = np.unique(np.linspace(0, len(ids) - T - 1, positions).round().astype(np.intp))
    windows: npt.NDArray[np.intp] = ids[starts + np.arange(T + 1)[:, None]].astype(np.intp)
    return windows


def look_back_in_text(model: Model, ids: Ids, distance: int, positions: int) -> History:
    """Look back from positions that are spread evenly over a text, in float64."""
    windows = windows_before(ids, distance, positions)
    return look_back(model.astype(np.float64), windows, distance)
