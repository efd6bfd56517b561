"""A model that reads one character at a time, for sampling."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from grucli.nn.cells import CELLS
from grucli.nn.matmul import Matrix
from grucli.nn.model import Model
from grucli.nn.packed import PackedWeights
from grucli.nn.params import Array, Ids, Input


class _Layer(NamedTuple):
    """A layer with two states, the old one and the new one, which swap at every step."""

    states: list[list[Array]]  # two states, each with parts (B, H); the first part is h
    project: Callable[[Any], object]  # computes the projection of the layer's input
    advance: list[Callable[[], None]]  # computes the first state, or the second, from the other


class Stepper:
    """``Model.run`` for one step at a time; all memory is allocated once.

    Unlike a model, a stepper remembers its state, which is zero at the beginning. The parameters
    must not change while it is in use. ``packed`` is ``model.packed(B, backward=False)``, if it
    exists already.
    """

    def __init__(self, model: Model, B: int, packed: PackedWeights | None = None) -> None:
        packed = packed or model.packed(B, backward=False)
        output = model.output(packed)
        self.separator = model.separator
        self.turn = 0  # index of the current one of the two states
        self.c: Array = np.empty((B, model.V), model.params.flat.dtype)  # h_t W_hc
        self.b_c: Array = output.b_c[None]  # (1, V)
        self.multiply_output = output.W_hc.for_rows(B).bind(self.c)
        self.layers = [_layer(model, number, w, B) for number, w in enumerate(model.layers(packed))]

    @property
    def state(self) -> Array:
        """A copy of the state of all layers, (L, B, S H)."""
        return np.array([np.concatenate(layer.states[self.turn], axis=-1) for layer in self.layers])

    @state.setter
    def state(self, state: Array) -> None:
        for layer, of_layer in zip(self.layers, state, strict=True):
            parts = layer.states[self.turn]
            for part, new in zip(parts, np.split(of_layer, len(parts), axis=-1), strict=True):
                part[:] = new

    def step(self, x: Ids) -> Array:
        """Read one character of each stream, (B,); returns the logits of the next, (B, V)."""
        if self.separator is not None:
            begins = x == self.separator
            for layer in self.layers:
                for part in layer.states[self.turn]:
                    part[begins] = 0.0
        turn = 1 - self.turn
        read: Input = x
        for states, project, advance in self.layers:
            project(read)
            advance[turn]()
            read = states[turn][0]
        self.turn = turn
        self.multiply_output(read)
        return self.c + self.b_c


def _layer(model: Model, number: int, w: Any, B: int) -> _Layer:
    cell = CELLS[model.cell]
    cache = cell.allocate(1, B, model.H, model.params.flat)
    a = cache.a[:, 0]  # (G, B, H), read and overwritten by a step
    project: Callable[[Any], object] = (
        _select(model.params["layer1.W_x"] + w.b[:, None], a)
        if number == 0
        else _project(w.W_x.for_rows(B), w.b[:, None], a)
    )
    if hasattr(w, "W_h"):  # a cell of one's own may do without
        w = w._replace(W_h=w.W_h.for_rows(B))
    there, step = cache.steps[0], cell.step(w, cache)
    back = there._replace(
        **{part: getattr(there, f"{part}_prev") for part in cell.STATE},
        **{f"{part}_prev": getattr(there, part) for part in cell.STATE},
    )
    return _Layer(
        [[getattr(views, part) for part in cell.STATE] for views in (back, there)],
        project,
        [partial(step, *views) for views in (back, there)],
    )


def _select(table: Array, a: Array) -> Callable[[Ids], object]:
    """A function of ids (B,) that writes their rows of a table (G, V, H) to ``a`` (G, B, H)."""
    if a.shape[1] > 1:
        return lambda x: np.take(table, x, axis=1, out=a, mode="clip")
    row = a[:, 0]

    def select_one(x: Ids) -> None:
        row[:] = table[:, x[0]]

    return select_one


def _project(W_x: Matrix, b: Array, a: Array) -> Callable[[Array], object]:
    """A function of x that writes x W_x + b to ``a`` (G, B, H); b is (G, 1, H)."""
    multiply = W_x.bind(a)

    def project(x: Array) -> None:
        multiply(x)
        np.add(a, b, out=a)

    return project
