"""Follow the routes of a gradient back through time, one by one.

A gradient flows from the state at step t to the state at step t-1 along a few routes. Each cell
declares them as ``ROUTES``, below its backward pass. The backward pass computes their sum.

Only the top layer is followed. The state of a lower layer also acts through the layers above it,
and that is not a route through its own cell.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
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

Composition = tuple[Route, ...]  # a sequence of routes; the first one starts at step t


def count(cell: Cell, k: int) -> int:
    """The number of compositions of ``k`` routes. They start at h, because the loss depends on h.

    So many routes also lead from L_t to the weights of a gate k steps back (the update gate of a
    GRU, the forget gate of an LSTM): there is one path to them from where a composition ends.
    """
    ends = Counter({"h": 1})
    for _ in range(k):
        before, ends = ends, Counter()
        for route in cell.ROUTES:
            ends[route.end] += before[route.start]
    return ends.total()


def doubling_distances(last: int) -> list[int]:
    """The distances that a table shows: 1, 2, 4, ... and the last one."""
    return [*(2**i for i in range(last.bit_length()) if 2**i < last), last]


@dataclass(frozen=True)
class History:
    """The last steps of the top layer before some positions of a text, and their gradients."""

    cell: Cell
    w: Any  # the top layer's weights
    steps: Sequence[Any]  # the cell's ``Step`` for each step, the latest first; arrays (B, H)
    reset_mask: Array  # by step, 0 where a document begins, else 1; (S, B, 1) for S steps
    gradient: Array  # of L_t with respect to the state at step t, (B, S H)
    by_backward: Array  # of L_t w.r.t. the earliest state, by the cell's backward pass, (B, S H)

    def within(self) -> npt.NDArray[np.bool_]:
        """Whether the document of each position goes back k steps or more, (S+1, B)."""
        here = np.ones((1, len(self.by_backward), 1))
        return np.cumprod(np.concatenate([here, self.reset_mask]), axis=0)[..., 0] > 0

    def gradients(self) -> Iterator[Array]:
        """The gradients of L_t with respect to the states at t, t-1, ..., over all routes."""
        gradient = self.gradient
        yield gradient
        for number in range(len(self.steps)):
            gradient = np.sum([part for _, part in self.parts(number, gradient)], axis=0)
            yield gradient

    def parts(self, number: int, gradient: Array) -> Iterator[tuple[Route, Array]]:
        """Each route with the gradient that it carries over one step."""
        for route in self.cell.ROUTES:
            yield route, self._carry(route, number, gradient)

    def _carry(self, route: Route, number: int, gradient: Array) -> Array:
        """What one route carries; it is zero except where the route ends."""
        states, carried = self.cell.STATE, np.zeros_like(gradient)
        starts, ends = (np.split(array, len(states), axis=-1) for array in (gradient, carried))
        start, end = starts[states.index(route.start)], ends[states.index(route.end)]
        end[:] = route.carry(self.w, self.steps[number], start)
        carried *= self.reset_mask[number]
        return carried

    def follow(self, k: int) -> Iterator[tuple[Composition, Array]]:
        """Each composition of ``k`` routes with the gradient that it carries to step t-k."""
        if k == 0:
            yield (), self.gradient
            return
        for composition, gradient in self.follow(k - 1):
            end = composition[-1].end if composition else "h"
            for route in self.cell.ROUTES:
                if route.start == end:
                    yield (*composition, route), self._carry(route, k - 1, gradient)


def look_back(model: Model, ids: Ids, distance: int) -> History:
    """Read windows as those of ``windows_before``, and keep the last ``distance`` steps of each."""
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
    after, gradient = np.zeros((2, B, model.state_size))
    gradient[:, : model.H] = dh_t
    last = workspace.caches[-1].span(T - distance, T)
    steps = [type(step)(*(array.copy() for array in step)) for step in last.steps]
    dh = np.zeros((distance, *dh_t.shape))
    dh[-1] = dh_t
    return History(
        cell=cell,
        w=w,
        steps=steps[::-1],
        reset_mask=last.reset_mask[::-1] if last.reset_mask.size else np.ones((distance, B, 1)),
        gradient=gradient,
        by_backward=cell.backward(packed, dh, after, last, dw),
    )


def windows_before(ids: Ids, distance: int, positions: int) -> npt.NDArray[np.intp]:
    """Evenly spread windows of a text, (T+1, positions); their last characters are predicted."""
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
    return look_back(model.astype(np.float64), windows_before(ids, distance, positions), distance)
