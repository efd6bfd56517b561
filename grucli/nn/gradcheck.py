"""Numeric checks of every gradient, in float64.

A derivative is taken by central differences of sixth order, d_k = f(a + k e) - f(a - k e),

    f'(a) = (45 d_1 - 9 d_2 + d_3) / 60 e + O(e^6),

entry by entry, or along a random direction v, where it must equal <gradient, v>. The loss is
computed by a forward pass alone, which shares nothing with the backward pass but the cell.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from grucli.nn.cells import CELLS, Cell
from grucli.nn.dropout import dropout_masks, mask_, recurrent_masks
from grucli.nn.functional import log_softmax
from grucli.nn.input_projection import project, project_backward
from grucli.nn.matmul import best_width, blocks
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids, Input
from grucli.nn.products import Products

TOLERANCE = 1e-6
"""Largest relative error that counts as right."""

FLOOR = 1e-5
"""Smaller gradients are compared absolutely, so that neither 0/0 nor rounding is an error."""

EPSILON = 4e-3
"""Step of the differences. Their high order allows a wide one, so rounding, O(1/e), is small."""


@dataclass(frozen=True)
class Row:
    """The check of one array.

    Attributes:
        name: the array, with the symbols of the equations.
        shape: its shape.
        compared: how many entries or directions of its gradient were compared.
        error: the largest relative error found.
        allowed: the largest relative error that counts as right.
    """

    name: str
    shape: tuple[int, ...]
    compared: str
    error: float
    allowed: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether the gradient is right; an error that is not a number is wrong."""
        return self.error <= self.allowed


@dataclass(frozen=True)
class Window:
    """What a gradient depends on: a window of text, the state before it, and masks or None."""

    x: Input  # (T, B) ids, or (T, B, V) real-valued
    targets: Ids  # (T, B)
    state: Array  # (L, B, S H)
    masks: Array | None  # (L, T or 1, B, H)
    recurrent: Mapping[str, Array] = field(default_factory=dict)  # masks of recurrent weights


def relative_error(analytic: float, numeric: float) -> float:
    """|a - n| / max(|a|, |n|, FLOOR)."""
    return abs(analytic - numeric) / max(abs(analytic), abs(numeric), FLOOR)


def derivative(f: Callable[[float], float], e: float = EPSILON) -> float:
    """f'(0) by central differences of sixth order with step ``e``."""
    d1, d2, d3 = (f(k * e) - f(-k * e) for k in (1, 2, 3))
    return (45 * d1 - 9 * d2 + d3) / (60 * e)


def numeric_error(analytic: float, f: Callable[[float], float]) -> float:
    """The relative error of f'(0).

    Large weights can curve the loss so strongly that a wide step is not exact. If it disagrees,
    half the step decides.
    """
    error = relative_error(analytic, derivative(f))
    if error <= TOLERANCE:
        return error
    return min(error, relative_error(analytic, derivative(f, EPSILON / 2)))  # NaN stays NaN


def check_entries(
    name: str,
    array: Array,
    gradient: Array,
    loss: Callable[[], float],
    entries: npt.NDArray[np.intp] | None = None,
) -> Row:
    """Compare entries of a gradient, all of them if none are named, with differences of ``loss``.

    Args:
        name: name of the array.
        array: an array that ``loss`` depends on; it is changed and restored.
        gradient: of the loss with respect to the array.
        loss: computes the loss from the present values of the array.
        entries: flat indices to compare.
    """
    entries = np.arange(array.size) if entries is None else entries
    worst = 0.0
    for entry in entries:
        place = np.unravel_index(entry, array.shape)
        centre = float(array[place])

        def moved(distance: float, place: tuple[np.intp, ...] = place, at: float = centre) -> float:
            array[place] = at + distance
            value = loss()
            array[place] = at
            return value

        error = numeric_error(float(gradient[place]), moved)
        worst = error if math.isnan(error) else max(worst, error)
        if math.isnan(worst):
            break
    return Row(name, array.shape, f"{len(entries)} of {array.size}", worst)


def check_direction(
    name: str, array: Array, gradient: Array, loss: Callable[[], float], rng: np.random.Generator
) -> Row:
    """Compare <gradient, v> with the derivative along a random direction v of length 1.

    Half of v is the direction of the gradient. A direction orthogonal to the gradient would only
    compare rounding errors.
    """
    direction = rng.standard_normal(array.shape)
    direction /= np.linalg.norm(direction)
    direction += gradient / max(float(np.linalg.norm(gradient)), FLOOR)
    direction /= np.linalg.norm(direction)
    centre = array.copy()

    def moved(distance: float) -> float:
        array[...] = centre + distance * direction
        return loss()

    error = numeric_error(float(np.vdot(gradient, direction)), moved)
    array[...] = centre
    return Row(name, array.shape, "1 direction", error)


def loss_of(model: Model, window: Window) -> float:
    """The loss L of a window, by a forward pass alone."""
    T, B = window.targets.shape
    model = _masked(model, window)
    workspace = model.workspace(T, B, dropout=window.masks is not None)
    inputs, _ = model.run(window.x, window.state, workspace, window.masks)
    w = model.output(model.params)
    log_y = log_softmax(inputs[-1] @ w.W_hc + w.b_c)  # (T, B, V)
    return -float(np.take_along_axis(log_y, window.targets[..., None], axis=-1).sum())


def gradients_of(model: Model, window: Window, dx: Array | None = None) -> dict[str, Array]:
    """Gradients of L from the backward pass, by name: parameters by gate, and initial states."""
    T, B = window.targets.shape
    grads = model.params.like()
    workspace = model.workspace(T, B, dropout=window.masks is not None)
    _, _, dstate = _masked(model, window).loss_and_gradients(
        window.x,
        window.targets,
        window.state,
        workspace,
        grads,
        scale=1.0,
        masks=window.masks,
        dx=dx,
    )
    mask_(grads, window.recurrent)
    return dict(_named(model, grads.items(), dstate))


def _masked(model: Model, window: Window) -> Model:
    """The model with its recurrent weights masked, or itself."""
    if window.recurrent:
        masked = model.astype(model.params.flat.dtype).with_products(model.products)
        mask_(masked.params, window.recurrent)
        return masked
    return model


def _named(
    model: Model, arrays: Iterator[tuple[str, Array]], state: Array
) -> Iterator[tuple[str, Array]]:
    """Parameters or their gradients, gate by gate, then states, in the same order for both."""
    for full_name, array in arrays:
        owner, name = full_name.split(".")
        blocks = CELLS[model.cell].by_gate(name, array) if owner != "output" else [(name, array)]
        yield from ((f"{owner}.{block_name}", block) for block_name, block in blocks)
    for layer in range(model.L):
        yield from _named_state(CELLS[model.cell], f"layer{layer + 1}", state[layer])


def _named_state(cell: Cell, owner: str, state: Array) -> Iterator[tuple[str, Array]]:
    """The parts of one layer's initial state, as views."""
    parts = np.split(state, len(cell.STATE), axis=-1)
    for name, part in zip(cell.STATE, parts, strict=True):
        yield f"{owner}.{name}_0", part


def check_model(
    model: Model, window: Window, rng: np.random.Generator, entries: int | None = None
) -> Iterator[Row]:
    """Check every parameter array and every layer's initial state.

    Args:
        model: in float64.
        window: the window to compute the loss on.
        rng: chooses the entries.
        entries: how many entries to compare in each array, a quarter of them those with the
            largest gradients; None for all.
    """
    gradients = gradients_of(model, window)
    for name, array in _named(model, model.params.items(), window.state):
        chosen = _choose(gradients[name], rng, entries)
        yield check_entries(name, array, gradients[name], lambda: loss_of(model, window), chosen)


def _choose(
    gradient: Array, rng: np.random.Generator, entries: int | None
) -> npt.NDArray[np.intp] | None:
    """Flat indices of some entries, a quarter of them the largest, or None for all."""
    if entries is None or entries >= gradient.size:
        return None
    largest = np.argsort(-np.abs(gradient), axis=None)[: entries // 4]
    others = rng.choice(gradient.size, entries - len(largest), replace=False)
    return np.concatenate([largest, others])


def check_directions(model: Model, window: Window, rng: np.random.Generator) -> Iterator[Row]:
    """Check each array along one random direction."""
    gradients = gradients_of(model, window)
    for name, array in _named(model, model.params.items(), window.state):
        yield check_direction(name, array, gradients[name], lambda: loss_of(model, window), rng)


def check_input(
    model: Model, window: Window, rng: np.random.Generator, entries: int | None = None
) -> Row:
    """Check the gradient of the input x, given as a real-valued array of one-hot rows."""
    x: Array = np.eye(model.V)[window.x]  # (T, B, V)
    dense = replace(window, x=x)
    dx = np.zeros_like(x)
    gradients_of(model, dense, dx)
    return check_entries("x", x, dx, lambda: loss_of(model, dense), _choose(dx, rng, entries))


def check_layer(
    name: str, D: int, H: int, T: int, B: int, rng: np.random.Generator, *, resets: bool = False
) -> Iterator[Row]:
    """Check one layer by itself: <R, h> + <R', s_T> for random R and R' and the last state s_T.

    Its arguments are the input x, the input projection a, the initial state and the parameters;
    R' stands for the gradient from a later window, which training cuts off. With ``resets`` the
    state becomes zero at every other step of each stream.
    """
    cell = CELLS[name]
    w = cell.WEIGHTS(*(rng.standard_normal(shape) * 0.5 for shape in cell.shapes(D, H).values()))
    size = len(cell.STATE) * H
    x, state = rng.standard_normal((T, B, D)), rng.standard_normal((B, size))
    R, R_last = rng.standard_normal((T, B, H)), rng.standard_normal((B, size))
    cache = cell.allocate(T, B, H, np.float64, resets=resets)
    cache.reset_mask[:] = (np.add.outer(np.arange(T), np.arange(B)) % 2)[
        : len(cache.reset_mask), :, None
    ]
    offset = np.zeros_like(cache.a)

    def loss() -> float:
        cut = _in_blocks(w, B)
        project(cut.W_x, w.b, x, cache.a)
        cache.a[:] += offset
        last = cell.forward(cut, state, cache)
        return float(np.vdot(R, cache.h[1:]) + np.vdot(R_last, last))

    loss()
    w_T = _in_blocks(w._replace(W_x=w.W_x.swapaxes(1, 2), W_h=w.W_h.swapaxes(1, 2)), B)
    dw, dx = cell.WEIGHTS(*(np.zeros_like(array) for array in w)), np.zeros_like(x)
    dstate = cell.backward(w_T, R.copy(), R_last, cache, dw)
    project_backward(w_T.W_x, x, cache.a, dw, dx)
    da = cache.a.copy()
    arguments: list[tuple[str, Array, Array]] = [("layer.x", x, dx), ("layer.a", offset, da)]
    parts = _named_state(cell, "layer", state), _named_state(cell, "layer", dstate)
    arguments += [(name, part, dpart) for (name, part), (_, dpart) in zip(*parts, strict=True)]
    for group, array, gradient in zip(w._fields, w, dw, strict=True):
        blocks = zip(cell.by_gate(group, array), cell.by_gate(group, gradient), strict=True)
        arguments += [(f"layer.{name}", block, dblock) for (name, block), (_, dblock) in blocks]
    for argument, array, gradient in arguments:
        yield check_entries(argument, array, gradient, loss)


def _in_blocks(w: Any, rows: int) -> Any:
    """Views of the weights in blocks, as matrix products with that many rows need them."""
    W_x, W_h = (blocks(W, best_width(rows, *W.shape[1:])) for W in (w.W_x, w.W_h))
    return w._replace(W_x=W_x, W_h=W_h)


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
    locked: bool = False,
    recurrent: float = 0.0,
    documents: bool = False,
) -> tuple[Model, Window]:
    """A model with weights of the order of 1, and a random window with a non-zero state.

    With ``documents``, a new document begins within the window.
    """
    rng = np.random.default_rng(seed)
    model = Model(V, H, L, np.float64, cell)
    model.initialize(rng)
    model.params.flat += rng.normal(0, 0.5 / math.sqrt(H), model.params.flat.shape)
    model.output(model.params).W_hc[:] = rng.normal(0, 1 / math.sqrt(H), (H, V))
    shape = (L, 1 if locked else T, B, H)
    masks = dropout_masks(rng, dropout, shape, np.float64) if dropout else None
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
    locked: bool = False,
    recurrent: float = 0.0,
    documents: bool = False,
    seed: int = 0,
    entries: int | None = None,
) -> Iterator[tuple[str, Row]]:
    """Run all checks; yield each with the title of its section.

    Args:
        hidden: units per layer of the model that is checked entry by entry.
        layers: its number of layers.
        dropout: share of its outputs that fixed masks set to zero.
        cell: name of the cell.
        locked: whether the masks are the same at all steps.
        recurrent: share of its recurrent weights that fixed masks set to zero.
        documents: whether the state becomes zero within windows.
        seed: seed of weights, text and directions.
        entries: how many entries to compare in each array; None for all.
    """
    rng = np.random.default_rng(seed)
    V, T, B = hidden + 2, 4, 3  # all sizes differ, so that no transposed axis can hide
    kind: dict[str, Any] = {"cell": cell, "locked": locked, "recurrent": recurrent}
    kind["documents"] = documents
    model, window = toy(V, hidden, layers, T, B, dropout, seed, **kind)
    title = f"entry by entry: V={V} H={hidden} L={layers} T={T} B={B}"
    yield from ((title, row) for row in check_model(model, window, rng, entries))
    yield title, check_input(model, window, rng, entries)
    D, H, T, B = 3, 6, 5, 2
    title = f"one layer by itself: D={D} H={H} T={T} B={B}"
    layer = check_layer(cell, D, H, T, B, rng, resets=documents)
    yield from ((title, row) for row in layer)
    V, H, T, B = 257, 64, 32, 8  # more characters than steps: rows of W_x are looked up otherwise
    model, window = toy(V, H, layers, T, B, dropout, seed, **kind)
    title = f"along random directions: V={V} H={H} L={layers} T={T} B={B}"
    yield from ((title, row) for row in check_directions(model, window, rng))


def check_trained(
    model: Model, window: Window, entries: int, seed: int = 0
) -> Iterator[tuple[str, Row]]:
    """Check given weights on a given text; yield each check with the title of its section.

    Args:
        model: in float64.
        window: the text, and the state to start from.
        entries: how many entries to compare in each array.
        seed: seed of the choice of entries and directions.
    """
    rng = np.random.default_rng(seed)
    T, B = window.targets.shape
    title = f"entry by entry: V={model.V} H={model.H} L={model.L} T={T} B={B}"
    yield from ((title, row) for row in check_model(model, window, rng, entries))
    yield title, check_input(model, window, rng, entries)
    title = "along random directions"
    yield from ((title, row) for row in check_directions(model, window, rng))


# ---- the products that train, against NumPy in float64

ROUNDING = {"float32": 0.0, "bfloat16": 2.0**-8}
"""Relative error of a factor that is rounded, at most: half of the last of its 8 bits."""

FLOAT32 = 2.0**-24
"""Relative error of an operation in float32, at most."""

OPERATIONS = 8
"""Elementwise operations between two products, about; each rounds its result."""


def limit(products: Products, T: int, longest: int) -> float:
    """Largest relative error of a gradient, in the norm of its array, that rounding explains.

    A gradient is the end of a chain of up to 2 T + 1 products: T forward, one at the output, T
    backward. Each product has the error of its rounded factors, that of a sum of ``longest`` terms
    in float32, and those of the operations around it. The errors are independent, so they grow
    with the root of their number.

    Args:
        products: how the products are computed.
        T: steps of the window.
        longest: terms of the longest sum: units, or characters of the window.
    """
    sums = FLOAT32 * OPERATIONS * math.sqrt(longest)
    return math.sqrt(2 * T + 1) * (ROUNDING[products.precision] + sums)


def check_products(
    model: Model,
    window: Window,
    products: Products,
    reference: Mapping[str, Array] | None = None,
) -> Iterator[Row]:
    """Compare every gradient of the path that trains with the reference, array by array.

    The reference is the backward pass with NumPy in float64, which the other checks prove.

    Args:
        model: in float64.
        window: the text, and the state to start from.
        products: the products to check.
        reference: the gradients to compare with, if they are already known.

    Yields:
        The result of each array, whose error is that of its norm.
    """
    reference = gradients_of(model, window) if reference is None else reference
    trains = model.astype(np.float32).with_products(products)
    single = replace(
        window,
        state=window.state.astype(np.float32),
        masks=None if window.masks is None else window.masks.astype(np.float32),
        recurrent={name: mask.astype(np.float32) for name, mask in window.recurrent.items()},
    )
    T, B = window.targets.shape
    allowed = limit(products, T, max(model.H, T * B))
    for name, gradient in gradients_of(trains, single).items():
        error = float(np.linalg.norm(gradient - reference[name]))
        size = max(float(np.linalg.norm(reference[name])), FLOOR)
        yield Row(name, gradient.shape, "whole", error / size, allowed)
