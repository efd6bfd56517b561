"""Sampling in compiled code: the choice of a character, and the step that follows it.

This is ``nn/stepper`` and ``Sampler.draw`` of ``sampling``, for many steps at once.
"""

import math
from collections.abc import Sequence
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from grucli.nn import calls
from grucli.nn.calls import Calls, execute
from grucli.nn.cells import Cache
from grucli.nn.compiled.compiler import compiled
from grucli.nn.compiled.functions import exp, largest, total
from grucli.nn.compiled.kernels import CELLS as COMPILED_CELLS
from grucli.nn.compiled.loop import CompiledCell, flat, run
from grucli.nn.compiled.row_products import Row, Team
from grucli.nn.matmul import Matrix
from grucli.nn.model import Model
from grucli.nn.packed import PackedWeights
from grucli.nn.params import Array, Floats, Ids

ONE = 0x3F800000  # the bits of 1 in float32
# Numba compiles a function anew for each literal, but not for each value of these
FIRST, YES, NO = np.int64(0), np.bool_(True), np.bool_(False)


@compiled
def _measure(p, bits, least, counts):
    """The sum of the weights whose bits are at least ``least``, or their number."""
    result = p.dtype.type(0)
    for j in range(len(p)):
        if bits[j] >= least:
            result += p.dtype.type(1) if counts else p[j]
    return result


@compiled
def _keep_most_probable_(p, enough, counts):
    """Set all weights (V,) in [0, 1] to zero but the largest, whose sum or number is ``enough``."""
    bits = p.view(np.int32)  # positive numbers are ordered as their bits are
    least, above = 0, ONE + 1
    while above - least > 1:
        middle = (least + above) // 2
        if _measure(p, bits, middle, counts) >= enough:
            least = middle
        else:
            above = middle
    kept = _measure(p, bits, above, counts)
    for j in range(len(p)):
        if bits[j] < least or (bits[j] == least and kept >= enough and kept > 0):
            p[j] = 0
        elif bits[j] == least:  # of equal ones, the first
            kept += p.dtype.type(1) if counts else p[j]


@compiled
def choose(c, p, uniform, choice):
    """The id, or -1, that a number in [0, 1) chooses by logits c (V,), and its log probability."""
    sharpness, top_k, top_p, never = choice
    V, high = len(c), largest(c)
    for j in range(V):
        p[j] = exp(c[j] - high)
    log_sum = math.log(total(p)) + high
    for j in range(V):
        p[j] = c[j]
    if never >= 0:
        p[never] = -np.inf
        high = largest(p)
    id_ = 0
    if log_sum - log_sum != 0:  # it is infinite, or not a number
        return -1, log_sum
    if sharpness == 0:
        while p[id_] < high:
            id_ += 1
        return id_, c[id_] - log_sum
    for j in range(V):
        p[j] = exp((p[j] - high) * sharpness)
    if top_k < V:
        _keep_most_probable_(p, np.float32(top_k), YES)
    if top_p < 1:
        _keep_most_probable_(p, top_p * total(p), NO)
    whole = 0.0
    for j in range(V):
        whole += p[j]
    share, sum_, last = uniform * whole, 0.0, 0
    for j in range(V):
        sum_ += p[j]
        if p[j] > 0:
            last = j
            if sum_ > share:
                break
    return last, c[last] - log_sum


@compiled
def project(ids, separator, table, rows, a, b, states):
    """Write a layer's input projection to ``a``; reset its states where a document begins."""
    B = len(ids)
    H = states.shape[2] // B
    for i in range(B):
        if ids[i] == separator:
            for part in range(len(states)):
                states[part, 0, i * H : i * H + H] = 0
    if len(rows) == 0:  # the first layer
        for g in range(len(a)):
            for i in range(B):
                for j in range(H):
                    a[g, 0, i * H + j] = table[g, ids[i], j]
        return
    run(rows, FIRST)
    for g in range(len(a)):
        for i in range(B * H):
            a[g, 0, i] += b[g, i]


def _generate(output, separator, table, c, b_c, p, choice, uniform, ids, log_probs, layers):
    """Choose characters and read them, (n, B). ``c`` (B, V) holds the logits of the first ones."""
    for k in range(len(ids)):
        for i in range(len(c)):
            ids[k, i], log_probs[k, i] = choose(c[i], p, uniform[k, i], choice)
            if ids[k, i] < 0:
                return
        for rows, a, b, states, forward_arguments in layers:
            project(ids[k], separator, table, rows, a, b, states)
            forward(*forward_arguments)  # noqa: F821 - that of the cell
            for part in range(len(states)):
                for i in range(states.shape[2]):
                    states[part, 0, i] = states[part, 1, i]
        run(output, FIRST)
        for i in range(len(c)):
            for j in range(len(b_c)):
                c[i, j] += b_c[j]


def _of_cell(name: str, cell: Any) -> Any:
    """``_generate`` for a cell: Numba keeps no function that has functions as arguments."""
    own = FunctionType(_generate.__code__, {**globals(), "forward": cell.FORWARD})
    own.__qualname__ = own.__name__ = f"generate_{name.replace('-', '_')}"
    return compiled(own)


GENERATE = {name: _of_cell(name, cell) for name, cell in COMPILED_CELLS.items()}


class _Layer(NamedTuple):
    cache: Cache
    calls: Sequence[Calls]  # those of the projection first
    arguments: tuple[Any, ...]  # of ``_generate``


class CompiledStepper:
    """A ``Stepper`` of B streams that chooses the characters, too."""

    def __init__(self, model: Model, B: int, packed: PackedWeights, threads: int = 1) -> None:
        like, self.model, self.streams = model.params.flat, model, B
        self.team = Team(threads)  # for the products of a single stream
        self.generate = GENERATE[model.cell]
        self.logits: Array = np.empty_like(like, shape=(B, model.V))
        output = model.output(packed)
        self.layers: list[_Layer] = []
        for number, w in enumerate(model.layers(packed), 1):
            self.layers.append(self._layer(number, w, B))
        self.output = self._matrix("output.W_hc", output.W_hc).calls(self._top(), self.logits[None])
        table = model.params["layer1.W_x"] + model.params["layer1.b"][:, None]  # (G, V, H)
        scratch = np.empty_like(like, shape=model.V)
        self.arrays = table, self.logits, output.b_c, scratch

    def _layer(self, number: int, w: Any, B: int) -> _Layer:
        model = self.model
        cell = COMPILED_CELLS[model.cell]
        assert isinstance(cell, CompiledCell)
        cache = cell.allocate(1, B, model.H, model.params.flat)
        b = np.repeat(w.b[:, None], B, axis=1)  # (G, B, H)
        projects: list[Calls] = []
        if number > 1:
            W_x = self._matrix(f"layer{number}.W_x", w.W_x)
            projects.append(W_x.calls(self._top(), cache.a[:, 0]))
        w = w._replace(W_h=self._matrix(f"layer{number}.W_h", w.W_h))
        steps, arrays = cell.forward_arguments(w, cache)
        rows = projects[0].rows if projects else np.empty((0, calls.COLUMNS), np.int64)
        forward = (*(some.rows for some in steps), *map(flat, arrays))
        arguments = rows, flat(cache.a), flat(b), flat(cache.states), forward
        return _Layer(cache, [*projects, *steps], arguments)

    def _matrix(self, name: str, packed: Matrix) -> Matrix | Row:
        W = self.model.params[name]
        return packed if self.streams > 1 else Row(W.reshape(-1, *W.shape[-2:]), self.team)

    def _top(self) -> Array:
        """The output of the last layer so far, (1, B, H)."""
        return self.layers[-1].cache.states[0, :1]

    @property
    def state(self) -> Array:
        """The state of all layers, (L, B, S H); a copy."""
        return np.array(
            [np.concatenate(layer.cache.states[:, 0], axis=-1) for layer in self.layers]
        )

    @state.setter
    def state(self, state: Array) -> None:
        for layer, new in zip(self.layers, state, strict=True):
            states = layer.cache.states[:, 0]
            states[:] = np.split(new, len(states), axis=-1)

    def begin(self, logits: Array, state: Array) -> None:
        """Go on from logits (B, V) of the next characters, and the state before them."""
        self.logits[:], self.state = logits, state

    def sample(self, sampler: Any, uniform: Array) -> tuple[Ids, Floats]:
        """The ids and log probabilities of the characters chosen by numbers in [0, 1), (n, B)."""
        never = -1 if sampler.never is None else sampler.never
        sharpness = np.float32(sampler.sharpness if sampler.temperature else 0.0)
        V, top_p = self.model.V, 1.0 if sampler.top_p is None else sampler.top_p
        choice = sharpness, min(sampler.top_k or V, V), np.float32(top_p), never
        ids, log_probs = np.zeros(uniform.shape, np.int64), np.zeros(uniform.shape, np.float64)
        separator = -1 if self.model.separator is None else self.model.separator
        every = [self.output, *(some for layer in self.layers for some in layer.calls)]
        layers = tuple(layer.arguments for layer in self.layers)
        arrays = (separator, *self.arrays, choice, uniform, ids, log_probs, layers)
        with self.team.at_work():
            execute(lambda *_: self.generate(self.output.rows, *arrays), every)
        if (ids < 0).any():
            raise FloatingPointError("the logits of the model are not finite")
        return ids, log_probs


def warm_up(cell: str, layers: int) -> None:
    """Sample once, so that the functions are compiled for this number of layers."""
    model = Model(2, 2, layers, cell=cell)
    stepper = CompiledStepper(model, 1, model.packed(1, backward=False), threads=2)
    stepper.team.shares = True
    stepper.begin(np.zeros((1, 2), np.float32), model.zero_state(1))
    plain = SimpleNamespace(sharpness=1.0, temperature=1.0, top_k=None, top_p=None, never=None)
    stepper.sample(plain, np.zeros((1, 1)))
