"""Numeric checks of every gradient, in float64.

A derivative is taken by central differences of sixth order, d_k = f(a + k e) - f(a - k e),

    f'(a) = (45 d_1 - 9 d_2 + d_3) / 60 e + O(e^6),

entry by entry, or along a random direction v, where it must equal <gradient, v>. The loss is
computed by a forward pass alone, which shares nothing with the backward pass but the cell.

On extreme weights these differences are not exact: the loss is curved, and a large loss is rounded.
Where they disagree, differences with a narrow step are tried, and then a complex step decides
(Squire and Trapp 1998): f'(a) = Im f(a + i d) / d has neither a difference nor, for a tiny d, an
error of curvature. If a function of the cell takes no complex numbers, the narrow differences
decide. A difference that remains is wrong, unless rounding explains it (``nn/rounding``).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np

from grucli.nn.backend import Backend
from grucli.nn.cells import CELLS
from grucli.nn.dropout import dropout_masks, mask_, recurrent_masks
from grucli.nn.functional import log_softmax
from grucli.nn.input_projection import project, project_backward
from grucli.nn.matmul import Blocks
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids, Indices, Input, chunks
from grucli.nn.rounding import ROUNDING, Rounding, rounded

TOLERANCE = 1e-6  # the largest relative error that counts as right
FLOOR = 1e-5  # smaller gradients are compared absolutely: neither 0/0 nor rounding is an error
EPSILON = 4e-3  # step of the differences; their high order allows a wide one, so rounding is small
NARROW = 1e-5  # step of the second attempt, which misses a kink such as that of a ReLU
COMPLEX_STEP = 1e-100  # its square, and with it the error, is nothing beside any number
SAMPLES, SAFETY = 3, 10.0  # samples of rounding, and how many times the largest it can explain
# If rounding explains a larger relative error than this, nothing can be said: it may change the
# whole course of the states, and then no sample tells how far.
DECIDABLE = 0.1
# smaller gradients would be called right with relative errors above ``DECIDABLE``
VANISHING = FLOOR * TOLERANCE / DECIDABLE
FLOAT32, TINY = 2.0**-24, 1e-30  # relative error of a float32, and a size that is not compared
STREAMS_AT_ONCE = 16  # streams of a complex loss that are in memory at a time

COMPILED = 1e-10  # the largest relative difference of compiled loops in float64
LAYER = 3, 6, 5, 2  # D, H, T, B of the layer that is checked by itself
LAYER_SIZES = "D={} H={} T={} B={}".format(*LAYER)

Verdict = Literal["right", "undecided", "WRONG"]
Named = Iterable[tuple[str, Array]]
Sections = Iterator[tuple[str, "Row"]]  # checks, each with the title of its section


@dataclass(frozen=True)
class Row:
    """The check of one array."""

    name: str  # with the symbols of the equations
    shape: tuple[int, ...]
    compared: str  # how many entries or directions of the gradient
    error: float  # the largest relative error
    allowed: float = TOLERANCE  # the largest relative error that counts as right
    explained: float = 0.0  # the largest that rounding explains, if it is above ``allowed``
    vanishes: bool = False  # whether the gradient is too small to be compared

    @property
    def verdict(self) -> Verdict:
        """Whether the gradient is right; an error that is not a number is wrong."""
        if self.error <= self.allowed:
            return "undecided" if self.vanishes else "right"
        explained = self.error <= self.explained or self.error > self.explained > DECIDABLE
        return "undecided" if explained else "WRONG"

    @property
    def passed(self) -> bool:
        return self.verdict != "WRONG"

    @property
    def gravity(self) -> tuple[bool, bool, float]:
        """The order of rows: wrong ones are the greatest, then the undecided, then by error."""
        error = math.inf if math.isnan(self.error) else self.error
        return self.verdict == "WRONG", self.verdict == "undecided", error


@dataclass(frozen=True)
class Window:
    """What a gradient depends on: a window of text, the state before it, and masks or None."""

    x: Input  # (T, B) ids, or (T, B, V) real-valued
    targets: Ids  # (T, B)
    state: Array  # (L, B, S H)
    masks: Array | None  # (L, T, B, H)
    recurrent: Mapping[str, Array] = field(default_factory=dict)  # masks of recurrent weights

    def streams(self, some: slice) -> "Window":
        masks = None if self.masks is None else self.masks[:, :, some]
        x, targets, state = self.x[:, some], self.targets[:, some], self.state[:, some]
        return Window(x, targets, state, masks, self.recurrent)


def sizes(model: Model, window: Window) -> str:
    T, B = window.targets.shape
    return f"V={model.V} H={model.H} L={model.L} T={T} B={B}"


# ---- one derivative


def relative_error(analytic: float, numeric: float) -> float:
    """|a - n| / max(|a|, |n|, FLOOR)."""
    return abs(analytic - numeric) / max(abs(analytic), abs(numeric), FLOOR)


def derivative(f: Callable[[float], float], epsilon: float = EPSILON) -> float:
    """f'(0) by central differences of sixth order."""
    d1, d2, d3 = (f(k * epsilon) - f(-k * epsilon) for k in (1, 2, 3))
    return (45 * d1 - 9 * d2 + d3) / (60 * epsilon)


@dataclass(frozen=True)
class Argument:
    """An array that a loss depends on, and the gradient that is to be checked."""

    name: str
    array: Array  # the checks change and restore it
    gradient: Array
    loss: Callable[[], float]  # of the present values of the array
    doubt: "Doubt | None" = None  # decides where the gradient and differences disagree

    def check_entries(self, entries: Indices | None = None) -> Row:
        """Compare entries, by flat index, with differences of the loss; None for all."""
        entries = np.arange(self.array.size) if entries is None else entries
        largest = float(np.abs(self.gradient.flat[entries]).max())
        row = self._row(f"{len(entries)} of {self.array.size}", largest)
        rows = (self._compare(row, self._unit(entry)) for entry in entries)
        return max(rows, key=lambda row: row.gravity)

    def check_direction(self, rng: np.random.Generator) -> Row:
        """Compare <gradient, v> with the derivative along a random direction v of length 1.

        Half of v is the direction of the gradient. A direction orthogonal to the gradient would
        only compare rounding errors.
        """
        length = float(np.linalg.norm(self.gradient))
        direction = rng.standard_normal(self.array.shape)
        direction /= np.linalg.norm(direction)
        direction += self.gradient / max(length, FLOOR)
        direction /= np.linalg.norm(direction)
        return self._compare(self._row("1 direction", length), direction)

    def _row(self, compared: str, size: float) -> Row:
        return Row(self.name, self.array.shape, compared, 0.0, vanishes=size <= VANISHING)

    def _unit(self, entry: np.intp) -> Array:
        unit = np.zeros(self.array.shape)
        unit.flat[entry] = 1.0
        return unit

    def _compare(self, row: Row, direction: Array) -> Row:
        """The row with the error of <gradient, direction>."""
        where = direction.nonzero()
        centre, step = self.array[where], direction[where]

        def loss_at(distance: float) -> float:
            self.array[where] = centre + distance * step
            return self.loss()

        analytic = float(np.vdot(self.gradient, direction))
        error = relative_error(analytic, derivative(loss_at))
        if not error <= TOLERANCE:
            error = relative_error(analytic, derivative(loss_at, NARROW))
        self.array[where] = centre
        if error <= TOLERANCE or self.doubt is None:
            return replace(row, error=error)
        return self.doubt.judge(row, analytic, {row.name: direction})


@dataclass
class Doubt:
    """What decides where central differences disagree with the gradients of a model."""

    model: Model
    window: Window

    def judge(self, row: Row, analytic: float, directions: Mapping[str, Array]) -> Row:
        """The row of the comparison with a complex step along directions of some arrays."""
        exact, step = self._derivative(directions)
        error = relative_error(analytic, exact)
        if error <= TOLERANCE:
            return replace(row, error=error)
        slopes = [
            sum(float(np.vdot(gradients[name], v)) for name, v in directions.items())
            for gradients in self.samples
        ]
        moved = max(abs(slope - slopes[0]) for slope in slopes)
        if step:  # of differences, which the rounding of the loss moves, too
            losses = [float(sample["loss"]) for sample in self.samples]
            moved += max(abs(loss - losses[0]) for loss in losses) / step
        size = max(abs(analytic), abs(exact), FLOOR)
        return replace(row, error=error, explained=SAFETY * moved / size)

    def _derivative(self, directions: Mapping[str, Array]) -> tuple[float, float | None]:
        """The derivative, and the step of differences, if it is by differences."""
        some = list(chunks(self.window.targets.shape[1], STREAMS_AT_ONCE))

        def loss_at(distance: complex) -> Any:
            return sum(_moved_loss(self.model, self.window, directions, distance, s) for s in some)

        try:
            return float(loss_at(COMPLEX_STEP * 1j).imag / COMPLEX_STEP), None
        except TypeError:  # a function of a cell, such as np.logaddexp, takes no complex numbers
            return derivative(loss_at, NARROW), NARROW

    @cached_property
    def samples(self) -> list[dict[str, Array]]:
        """The gradients, then the same with other rounding errors."""
        roundings = [None, *((ROUNDING["float64"], seed) for seed in range(SAMPLES))]
        return [both_passes(self.model, self.window, rounding) for rounding in roundings]


def _moved_loss(
    model: Model, window: Window, directions: Mapping[str, Array], distance: complex, some: slice
) -> Any:
    """The loss L of some streams, at a distance along directions of arrays of the whole window."""
    dtype: Any = np.result_type(distance)
    x = window.x.astype(dtype) if window.x.ndim == 3 else window.x
    shadow, moved = model.astype(dtype), replace(window, x=x, state=window.state.astype(dtype))
    for name, array in _arrays(shadow, moved).items():
        if name in directions:
            array[...] = array + distance * directions[name]
    return loss_of(shadow, moved.streams(some))


# ---- the loss of a model and its gradients


def loss_of(model: Model, window: Window) -> Any:
    """The loss L of a window, by a forward pass alone; complex if the weights are."""
    T, B = window.targets.shape
    model = _masked(model, window)
    workspace = model.workspace(T, B, dropout=window.masks is not None)
    inputs, _ = model.run(window.x, window.state, workspace, window.masks)
    w = model.output(model.params)
    log_y = log_softmax(inputs[-1] @ w.W_hc + w.b_c)  # (T, B, V)
    return -np.take_along_axis(log_y, window.targets[..., None], axis=-1).sum().item()


def gradients_of(model: Model, window: Window) -> dict[str, Array]:
    """Gradients of L from the backward pass, by name: parameters by gate, states, a real input."""
    results = both_passes(model, window)
    return {name: results[name] for name in _arrays(model, window)}


def both_passes(
    model: Model, window: Window, rounding: tuple[Rounding, int] | None = None
) -> dict[str, Array]:
    """The loss L, the last states and the gradients, by name; with the errors of a rounding."""
    T, B = window.targets.shape
    grads = model.params.like()
    grads.flat[:] = 1.0  # it is overwritten
    dx = np.zeros_like(window.x) if window.x.ndim == 3 else None
    used = _masked(model, window)
    if rounding is not None:
        used = rounded(used, *rounding)
    workspace = used.workspace(T, B, dropout=window.masks is not None)
    arrays = window.x, window.targets, window.state, workspace, grads
    loss, last, dstate = used.loss_and_gradients(*arrays, scale=1.0, masks=window.masks, dx=dx)
    mask_(grads, window.recurrent)
    results = {"loss": np.array(loss)} | dict(named(model.cell, states(last), "T"))
    results |= named(model.cell, [*grads.items(), *states(dstate)])
    return results if dx is None else results | {"x": dx}


def _masked(model: Model, window: Window) -> Model:
    """The model with its recurrent weights masked, or itself."""
    if not window.recurrent:
        return model
    masked = model.astype(model.params.flat.dtype).on(model.backend)
    mask_(masked.params, window.recurrent)
    return masked


def _arrays(model: Model, window: Window) -> dict[str, Array]:
    """The arrays that the loss depends on, by name, as views."""
    arrays = dict(named(model.cell, [*model.params.items(), *states(window.state)]))
    return arrays | {"x": window.x} if window.x.ndim == 3 else arrays


def states(state: Array) -> Named:
    """The state of each layer, for ``named``."""
    return [(f"layer{number}.state", array) for number, array in enumerate(state, start=1)]


def named(cell: str, arrays: Named, time: str = "0") -> Iterator[tuple[str, Array]]:
    """Parameters by gate and states by part, or their gradients, named as in the equations."""
    parts = CELLS[cell].STATE
    for full_name, array in arrays:
        owner, name = full_name.split(".")
        if name == "state":
            for part, block in zip(parts, np.split(array, len(parts), axis=-1), strict=True):
                yield f"{owner}.{part}_{time}", block
        else:
            for gate, block in CELLS[cell].by_gate(name, array):
                yield f"{owner}.{gate}", block


# ---- checks of a model


def check_model(
    model: Model, window: Window, rng: np.random.Generator, entries: int | None = None
) -> Iterator[Row]:
    """Check every parameter array, every initial state, and a real-valued input, in float64.

    ``entries`` are compared in each array, a quarter of them those with the largest gradients, or
    all; ``rng`` chooses the others.
    """
    for argument in arguments(model, window):
        yield argument.check_entries(_choose(argument.gradient, rng, entries))


def check_input(
    model: Model, window: Window, rng: np.random.Generator, entries: int | None = None
) -> Row:
    """Check the gradient of the input x, as a real-valued array of one-hot rows."""
    one_hot = np.zeros((*window.x.shape, model.V))
    np.put_along_axis(one_hot, window.x[..., None], 1.0, axis=-1)
    *_, x = arguments(model, replace(window, x=one_hot))
    return x.check_entries(_choose(x.gradient, rng, entries))


def check_directions(model: Model, window: Window, rng: np.random.Generator) -> Iterator[Row]:
    for argument in arguments(model, window):
        yield argument.check_direction(rng)


def arguments(model: Model, window: Window) -> Iterator[Argument]:
    """The arrays that the loss of a window depends on."""
    gradients, doubt = gradients_of(model, window), Doubt(model, window)
    for name, array in _arrays(model, window).items():
        yield Argument(name, array, gradients[name], partial(loss_of, model, window), doubt)


def _choose(gradient: Array, rng: np.random.Generator, entries: int | None) -> Indices | None:
    if entries is None or entries >= gradient.size:
        return None
    largest = np.argsort(-np.abs(gradient), axis=None)[: entries // 4]
    others = rng.choice(gradient.size, entries - len(largest), replace=False)
    return np.concatenate([largest, others])


def check_layer(
    name: str,
    D: int,
    H: int,
    T: int,
    B: int,
    rng: np.random.Generator,
    *,
    resets: bool = False,
    compiled: bool = False,
) -> Iterator[Row]:
    """Check one layer by itself: <R, h> + <R', s_T> for random R and R' and the last state s_T.

    R' stands for the gradient from a later window, which training cuts off.
    """
    cell = Backend(compiled=compiled).kernels.cells[name]
    w = cell.WEIGHTS(*(rng.standard_normal(shape) * 0.5 for shape in cell.shapes(D, H).values()))
    size = len(cell.STATE) * H
    x, state = rng.standard_normal((T, B, D)), rng.standard_normal((B, size))
    R, R_last = rng.standard_normal((T, B, H)), rng.standard_normal((B, size))
    cache = cell.allocate(T, B, H, x, resets=resets)
    every_other = np.add.outer(np.arange(T), np.arange(B)) % 2
    cache.reset_mask[:] = every_other[: len(cache.reset_mask), :, None]
    offset = np.zeros_like(cache.a)
    matrices = {name: array for name, array in w._asdict().items() if array.ndim == 3}
    packed = w._replace(**{name: Blocks.view(array, B) for name, array in matrices.items()})

    def loss() -> float:
        project(packed.W_x, w.b, x, cache.a)
        cache.a[:] += offset
        last = cell.forward(packed, state, cache)
        return float(np.vdot(R, cache.h[1:]) + np.vdot(R_last, last))

    loss()
    dw, dx = cell.WEIGHTS(*(np.zeros_like(array) for array in w)), np.zeros_like(x)
    dstate = cell.backward(packed, R.copy(), R_last, cache, dw)
    project_backward(packed.W_x, x, cache.a, dw, dx)
    gradients = dict(named(name, _of_layer(dx, cache.a.copy(), dstate, dw)))
    for full_name, array in named(name, _of_layer(x, offset, state, w)):
        yield Argument(full_name, array, gradients[full_name], loss).check_entries()


def _of_layer(x: Array, a: Array, state: Array, w: Any) -> Named:
    """The arguments of a layer, or their gradients."""
    arrays = {"x": x, "a": a, "state": state, **w._asdict()}
    return [(f"layer.{name}", array) for name, array in arrays.items()]


def toy(
    V: int,
    H: int,
    L: int,
    T: int,
    B: int,
    dropout: float,
    seed: int,
    cell: str = "gru",
    *,
    recurrent: float = 0.0,
    documents: bool = False,
) -> tuple[Model, Window]:
    """A model with weights of the order of 1, and a random window with a non-zero state."""
    rng = np.random.default_rng(seed)
    model = Model(V, H, L, np.float64, cell)
    model.initialize(rng)
    model.params.flat += rng.normal(0, 0.5 / math.sqrt(H), model.params.flat.shape)
    model.output(model.params).W_hc[:] = rng.normal(0, 1 / math.sqrt(H), (H, V))
    masks = dropout_masks(rng, dropout, (L, T, B, H), np.float64) if dropout else None
    x, targets = rng.integers(0, V, (2, T, B))
    state = rng.uniform(-0.9, 0.9, (L, B, model.state_size))
    dropped = recurrent_masks(rng, recurrent, model.params) if recurrent else {}
    model.separator = int(x[T // 2, 0]) if documents else None
    return model, Window(x, targets, state, masks, dropped)


def check_all(
    *,
    hidden: int,
    layers: int,
    dropout: float,
    cell: str = "gru",
    recurrent: float = 0.0,
    documents: bool = False,
    entries: int | None = None,
) -> Sections:
    """All checks of a random model: small entry by entry, one layer alone, large by directions."""
    rng = np.random.default_rng(0)
    kind: dict[str, Any] = {"cell": cell, "recurrent": recurrent, "documents": documents}
    # all sizes differ, so that no transposed axis can hide
    small = toy(hidden + 2, hidden, layers, 4, 3, dropout, seed=0, **kind)
    # more characters than steps: rows of W_x are looked up otherwise
    large = toy(257, 64, layers, 32, 8, dropout, seed=0, **kind)
    one_layer = check_layer(cell, *LAYER, rng, resets=documents)
    yield from _section(f"entry by entry: {sizes(*small)}", _entry_by_entry(*small, rng, entries))
    yield from _section(f"one layer by itself: {LAYER_SIZES}", one_layer)
    yield from _section(f"along random directions: {sizes(*large)}", check_directions(*large, rng))


def check_trained(model: Model, window: Window, entries: int) -> Sections:
    """Check weights, in float64, on a text."""
    rng, title = np.random.default_rng(0), f"entry by entry: {sizes(model, window)}"
    yield from _section(title, _entry_by_entry(model, window, rng, entries))
    yield from _section("along random directions", check_directions(model, window, rng))


def check_compiled(model: Model, window: Window) -> Sections:
    """Compare the results of compiled loops with those of plain ones, which other checks prove."""
    resets, rng = model.separator is not None, np.random.default_rng(0)
    one_layer = check_layer(model.cell, *LAYER, rng, resets=resets, compiled=True)
    yield from _section(f"one compiled layer by itself: {LAYER_SIZES}", one_layer)
    title = f"compiled loops against plain ones, entry by entry: {sizes(model, window)}"
    compiled = both_passes(model.on(model.backend._replace(compiled=True)), window)
    doubt = Doubt(model, window)
    for name, plain in both_passes(model, window).items():
        size = max(float(np.abs(plain).max()), TINY)
        error = float(np.abs(compiled[name] - plain).max()) / size
        row = Row(name, plain.shape, "all entries", error, COMPILED, vanishes=not plain.any())
        if not row.passed:  # on weights that saturate the gates, rounding may explain it
            moved = max(float(np.abs(sample[name] - plain).max()) for sample in doubt.samples)
            row = replace(row, explained=SAFETY * moved / size)
        yield title, row


def _section(title: str, rows: Iterable[Row]) -> Sections:
    return ((title, row) for row in rows)


def _entry_by_entry(
    model: Model, window: Window, rng: np.random.Generator, entries: int | None
) -> Iterator[Row]:
    yield from check_model(model, window, rng, entries)
    yield check_input(model, window, rng, entries)


# ---- one step of training, against the same step in float64


def check_reference(
    model: Model, window: Window, gradients: Mapping[str, Array], rng: np.random.Generator
) -> Row:
    """Check the gradients of all parameters of a large window along one direction, in float64."""
    names = [name for name, _ in named(model.cell, model.params.items())]
    directions = {name: _weighted(gradients[name], rng) for name in names}
    analytic = sum(float(np.vdot(gradients[name], v)) for name, v in directions.items())
    row = Row("all parameters", model.params.flat.shape, "1 direction", 0.0)
    return Doubt(model, window).judge(row, analytic, directions)


def _weighted(gradient: Array, rng: np.random.Generator) -> Array:
    """A direction along each row or entry, half of it random, in which all weigh about the same."""
    rows = gradient if gradient.ndim > 1 else gradient[:, None]
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    norms = np.maximum(norms, max(1e-3 * float(np.sqrt(np.mean(norms**2))), FLOOR))
    random = rng.standard_normal(rows.shape) / math.sqrt(rows.shape[-1])
    direction: Array = ((rows / norms + random) / norms).reshape(gradient.shape)
    return direction


def check_step(
    trained: Mapping[str, Array],
    reference: Mapping[str, Array],
    samples: Sequence[Mapping[str, Array]],
) -> Iterator[Row]:
    """Compare the results of a step of training with those in float64, array by array.

    ``samples`` are those with the rounding of training. A ``Row`` compares a whole array, or that
    row or column of it whose error rounding explains least.
    """
    for name, array in trained.items():
        rows, right, least = [], reference[name], FLOAT32
        moved = [_norms(sample[name] - right) for sample in samples]
        norms = _norms(right)
        for block, errors in _norms(array - right).items():
            size = np.maximum(norms[block], TINY)
            explained = np.max([sample[block] for sample in moved], axis=0) / size
            explained = np.maximum(explained, least)
            errors = errors / size
            if block == "whole":  # rows and columns may have as large errors by chance
                least = float(explained[0])
            worst = int(np.argmax(errors / explained))
            error, limit = float(errors[worst]), SAFETY * float(explained[worst])
            compared = block if block == "whole" else f"{block} {worst + 1}"
            row = Row(name, right.shape, compared, error, min(limit, DECIDABLE), limit)
            rows.append(replace(row, vanishes=not right.any()))
        whole, *blocks = rows
        worse = [row for row in blocks if row.verdict == "WRONG" and whole.verdict != "undecided"]
        yield max([whole, *worse], key=lambda row: row.gravity)


def _norms(array: Array) -> dict[str, Array]:
    """The norms of an array as a whole, and of its rows and columns if it is a matrix."""
    norms = {"whole": np.linalg.norm(array.reshape(1, -1), axis=1)}
    if array.ndim == 2:
        norms |= {"row": np.linalg.norm(array, axis=1), "column": np.linalg.norm(array, axis=0)}
    return norms
