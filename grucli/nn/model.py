"""The network: a stack of recurrent layers and a softmax layer over the vocabulary.

    h^0 = x,   h^l = dropout(cell_l(h^{l-1}))   for l = 1..L
    c_t = h_t^L W_hc + b_c                     logits
    y_t = softmax(c_t),   L_t = -log y_t[target_t]

The model remembers nothing between calls. Its functions take the state as an argument and return
the new state, (L, B, S H) for a cell whose state has S parts.
"""

from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.nn.backend import NUMPY, Backend
from grucli.nn.cells import CELLS, Cache
from grucli.nn.input_projection import project, project_backward, select_rows
from grucli.nn.packed import PackedWeights
from grucli.nn.params import Array, Ids, Input, Params, Shapes, chunks

LOGITS_AT_ONCE = 2**21  # in memory: 8 MB in float32 for a vocabulary of any size
ROWS_AT_ONCE = 512  # rows (steps times streams) of logits in memory, so that they stay in the cache
READ_AT_ONCE = 128  # steps whose states ``read_layer`` computes at a time; it changes no result


class Output(NamedTuple):
    """The parameters of the softmax layer, or the gradients with respect to them."""

    W_hc: Any  # (H, V)
    b_c: Array  # (V,)


@dataclass(frozen=True)
class Workspace:
    """Memory for one window. It is allocated once and overwritten by every window."""

    caches: list[Cache]  # one for each layer
    dropped: Array  # (L, T, B, H) outputs of the layers after dropout; (0,) without dropout
    dh: Array  # (T, B, H) gradient of one layer's output, from the top layer downwards

    def first(self, T: int) -> "Workspace":
        """The memory of the first ``T`` steps, for a shorter window."""
        dropped = self.dropped[:, :T] if self.dropped.size else self.dropped
        return Workspace([cache.span(0, T) for cache in self.caches], dropped, self.dh[:T])


def shapes(V: int, H: int, L: int, cell: str = "gru") -> Shapes:
    """Names and shapes of all parameters; the first layer has the number 1."""
    named: dict[str, tuple[int, ...]] = {}
    for number in range(1, L + 1):
        layer = CELLS[cell].shapes(V if number == 1 else H, H)
        named |= {f"layer{number}.{name}": shape for name, shape in layer.items()}
    return named | {"output.W_hc": (H, V), "output.b_c": (V,)}


class Model:
    """The parameters, and the equations of the network.

    Its functions take a window of ids ``x`` (T, B), the ``targets`` (T, B), which are the next
    characters, the ``state`` before it, (L, B, S H), and a ``workspace`` for exactly T steps. They
    multiply by ``packed``, which is ``model.packed(B)`` if it is omitted.

    Args:
        V: size of the vocabulary.
        H: units of each layer.
        L: number of layers.
        dtype: type of all numbers: float32 for training, float64 for gradient checks.
        cell: name of the recurrent cell, one of ``cells.CELLS``.
        separator: id of the character that ends a document, if the text is a list of documents. The
            state is set to zero before this character is read.
        backend: which library computes the products; in float64 only NumPy does.
    """

    def __init__(
        self,
        V: int,
        H: int,
        L: int,
        dtype: npt.DTypeLike = np.float32,
        cell: str = "gru",
        separator: int | None = None,
        backend: Backend = NUMPY,
    ) -> None:
        self.V, self.H, self.L, self.cell, self.separator = V, H, L, cell, separator
        self.backend = backend
        self.params = Params(shapes(V, H, L, cell), dtype)

    @property
    def state_size(self) -> int:
        """Numbers in the state of one layer and one stream, S H."""
        return len(CELLS[self.cell].STATE) * self.H

    def astype(self, dtype: npt.DTypeLike) -> "Model":
        """A copy in another precision."""
        other = Model(self.V, self.H, self.L, dtype, self.cell, self.separator)
        other.params.flat[:] = self.params.flat
        return other

    def scaled(self, factor: float) -> "Model":
        """The same with logits ``factor`` times as large, which is a copy unless that is 1."""
        if factor == 1:
            return self
        other = self.astype(self.params.flat.dtype).on(self.backend)
        for array in other.output(other.params):
            array *= factor
        return other

    def on(self, backend: Backend) -> "Model":
        """A model with the same parameters, not copied, on another backend."""
        other = copy(self)
        other.backend = backend
        return other

    def plain(self) -> "Model":
        """The same without compiled loops, for a few steps: they take some time to load."""
        return self.on(self.backend._replace(compiled=False))

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw the parameters; small output weights make the first loss about ln V."""
        for number, layer in enumerate(self.layers(self.params)):
            CELLS[self.cell].initialize(layer, rng, active=1 if number == 0 else self.H)
        output = self.output(self.params)
        output.W_hc[:] = 0.02 * rng.standard_normal(output.W_hc.shape)
        output.b_c[:] = 0.0

    def copy_from(self, other: "Model", indices: npt.NDArray[np.intp]) -> None:
        """Copy the parameters of a model with fewer characters, whose ids here are ``indices``.

        Other characters are not changed. All other dimensions are equal.
        """
        for name, theirs in other.params.items():
            if name in ("layer1.W_x", "output.W_hc"):
                self.params[name][:, indices] = theirs
            elif name == "output.b_c":
                self.params[name][indices] = theirs
            else:
                self.params[name][:] = theirs

    def layers(self, params: Params | PackedWeights) -> list[Any]:
        """Parameters, gradients of the same layout or packed weights as the cell's ``Weights``."""
        weights = CELLS[self.cell].WEIGHTS
        return [
            weights(*(params[f"layer{number}.{name}"] for name in weights._fields))
            for number in range(1, self.L + 1)
        ]

    def output(self, params: Params | PackedWeights) -> Output:
        """The same of the softmax layer."""
        return Output(params["output.W_hc"], params["output.b_c"])

    def zero_state(self, B: int) -> Array:
        """The state before any text, (L, B, S H)."""
        return np.zeros((self.L, B, self.state_size), self.params.flat.dtype)

    def workspace(self, T: int, B: int, *, dropout: bool = False) -> Workspace:
        """Memory for windows of up to ``T`` steps of ``B`` streams."""
        like = self.params.flat
        return Workspace(
            [
                CELLS[self.cell].allocate(T, B, self.H, like, resets=self.separator is not None)
                for _ in range(self.L)
            ],
            np.zeros_like(like, shape=(self.L, T, B, self.H) if dropout else 0),
            np.zeros_like(like, shape=(T, B, self.H)),
        )

    def packed(self, rows: int, *, backward: bool = True) -> PackedWeights:
        """The parameters, packed for products of ``rows`` rows."""
        return PackedWeights(self.params, rows, self.backend, backward=backward)

    def run(
        self,
        x: Input,
        state: Array,
        workspace: Workspace,
        masks: Array | None = None,
        packed: PackedWeights | None = None,
    ) -> tuple[list[Input], Array]:
        """The forward pass through all layers.

        x may also be real numbers (T, B, V), which have no separators. ``masks`` are the dropout
        masks of each layer's output, (L, T, B, H).

        Returns:
            The input of each layer, followed by that of the softmax layer; and the last state.
        """
        packed = packed or self.packed(state.shape[1], backward=False)
        inputs: list[Input] = [x]
        last_state = []
        if self.separator is not None:
            for cache in workspace.caches:
                cache.reset_mask[:] = (x != self.separator)[..., None] if x.ndim == 2 else 1.0
        layers, cell = self.layers(packed), self.backend.kernels.cells[self.cell]
        for number, (w, cache) in enumerate(zip(layers, workspace.caches, strict=True)):
            if inputs[-1].ndim == 2:
                select_rows(self.params["layer1.W_x"], w.b, x, cache.a)
            else:
                project(w.W_x, w.b, inputs[-1], cache.a)
            last_state.append(cell.forward(w, state[number], cache))
            h = cache.h[1:]
            inputs.append(
                h if masks is None else np.multiply(h, masks[number], out=workspace.dropped[number])
            )
        return inputs, np.array(last_state)

    def loss_and_gradients(
        self,
        x: Input,
        targets: Ids,
        state: Array,
        workspace: Workspace,
        grads: Params,
        *,
        scale: float,
        masks: Array | None = None,
        dx: Array | None = None,
        packed: PackedWeights | None = None,
    ) -> tuple[float, Array, Array]:
        """The forward pass, then the backward pass by hand.

        ``grads`` is overwritten with the gradient of ``scale * L``; a scale of 1 / (T * B) gives
        the gradient of the mean loss per character. ``masks`` are those of ``run``. If x are real
        numbers (T, B, V), ``dx`` of that shape is overwritten with their gradient.

        Returns:
            L, the sum of the losses in nats; the last state; the gradient of the initial state.
        """
        packed = packed or self.packed(state.shape[1])
        inputs, last_state = self.run(x, state, workspace, masks, packed)
        loss = self._output_loss_and_gradients(
            inputs[-1], targets, packed, grads, workspace.dh, scale
        )
        dstate = np.zeros_like(last_state)
        nothing_later = np.zeros_like(last_state[0])  # the gradient is truncated at the window
        weights, dweights = self.layers(packed), self.layers(grads)
        kernels = self.backend.kernels
        cell = kernels.cells[self.cell]
        for number in reversed(range(self.L)):
            w, dw, cache = weights[number], dweights[number], workspace.caches[number]
            if masks is not None:
                workspace.dh[:] *= masks[number]
            dstate[number] = cell.backward(w, workspace.dh, nothing_later, cache, dw)
            below = workspace.dh if number > 0 or dx is None else dx
            project_backward(w.W_x, inputs[number], cache.a, dw, below, kernels.sum_rows)
        return loss, last_state, dstate

    def score(
        self,
        x: Ids,
        targets: Ids,
        state: Array,
        workspace: Workspace,
        packed: PackedWeights | None = None,
    ) -> tuple[Array, npt.NDArray[np.bool_], Array]:
        """Score a text.

        Returns:
            The log probability of each target in nats, (T, B); whether each target was the most
            probable character, (T, B); the last state.
        """
        packed = packed or self.packed(state.shape[1], backward=False)
        inputs, last_state = self.run(x, state, workspace, packed=packed)
        return *self.score_states(inputs[-1], targets, packed), last_state

    def score_states(
        self, states: Array, targets: Ids, packed: PackedWeights
    ) -> tuple[Array, npt.NDArray[np.bool_]]:
        """The first two results of ``score``, from the states (T, B, H) of the top layer."""
        w, h, flat = self.output(packed), states.reshape(-1, self.H), targets.ravel()
        log_probs: Array = np.empty(targets.shape, h.dtype)
        correct: npt.NDArray[np.bool_] = np.empty(targets.shape, np.bool_)
        for rows in chunks(len(flat), rows_at_once(self.V)):
            of_rows = flat[rows], log_probs.reshape(-1)[rows], correct.reshape(-1)[rows]
            self.backend.kernels.score_rows(h[rows] @ w.W_hc, w.b_c, *of_rows)
        return log_probs, correct

    def _output_loss_and_gradients(
        self, h: Array, targets: Ids, packed: PackedWeights, grads: Params, dh: Array, scale: float
    ) -> float:
        w, dw = self.output(packed), self.output(grads)
        h_rows, dh_rows, flat = h.reshape(-1, self.H), dh.reshape(-1, self.H), targets.ravel()
        dw.W_hc[:], dw.b_c[:], loss = 0.0, 0.0, 0.0
        for rows in chunks(len(flat), rows_at_once(self.V)):
            c = h_rows[rows] @ w.W_hc  # (N, V)
            loss += self.backend.kernels.softmax_cross_entropy_(c, w.b_c, flat[rows], scale, dw.b_c)
            w.W_hc.gradient(h_rows[rows], c, dw.W_hc, add=True)
            w.W_hc.T.multiply(c, dh_rows[rows])
        return loss


def rows_at_once(V: int) -> int:
    return max(1, min(ROWS_AT_ONCE, LOGITS_AT_ONCE // V))


def read_layer(model: Model, ids: Ids, layer: int) -> dict[str, Array]:
    """The states and gates of a layer, from 1, while it reads ids (N,) from the zero state.

    Arrays (N, H) by their names in the equations.
    """
    cell, state = CELLS[model.cell], model.zero_state(1)
    names = (*cell.STATE, *cell.GATES, *cell.SAVED)
    workspace = model.workspace(READ_AT_ONCE, 1)
    arrays = np.empty((len(names), len(ids), model.H), state.dtype)
    for steps in chunks(len(ids), READ_AT_ONCE):
        x = ids[steps, None]
        used = workspace.first(len(x))
        _, state = model.run(x, state, used)
        cache = used.caches[layer - 1]
        arrays[:, steps] = np.concatenate([cache.states[:, 1:], cache.a, cache.saved])[:, :, 0]
    return {name: array for name, array in zip(names, arrays, strict=True) if name}


def workspace_size(
    T: int, B: int, H: int, L: int, cell: str, *, dropout: bool = False, resets: bool = False
) -> int:
    """Numbers in a workspace and its dropout masks, with a relative error of at most 1 / T.

    Each layer has a cache of its own; all layers share dh.
    """
    G, S, K = len(CELLS[cell].GATES), len(CELLS[cell].STATE), len(CELLS[cell].SAVED)
    layer = G + S + K + resets * S + 2 * dropout
    return T * B * (H * (layer * L + 1) + resets * L)
