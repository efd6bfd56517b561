"""What all recurrent cells share: parameters, memory of a window, the forward pass over it.

A cell adds its gates, its initialization, one step forward, the backward pass, and the routes of
its gradient. Its arguments are a_t = x_t W_x + b, the input projection (``nn/projection``), and the
state before the step. A state has S parts of H numbers side by side, (B, S H): h, which the layer
above reads, and for an LSTM c.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.nn.params import Array, Shapes, as_rows
from grucli.nn.resets import forward_steps


class Weights(NamedTuple):
    """The parameters of one layer of G gates, or the gradients with respect to them.

    The passes take the matrices in blocks of n columns (``nn/matmul``): W_x (G, H/n, D, n) and
    W_h (G, H/n, H, n).
    """

    W_x: Array  # (G, D, H)  input weights
    W_h: Array  # (G, H, H)  recurrent weights
    b: Array  # (G, H)     biases


class Route(NamedTuple):
    """One way of the gradient from a part of the state at step t to a part of it at step t-1."""

    name: str
    start: str  # the part of the state at step t
    end: str  # the part of the state at step t-1
    carry: Callable[[Any, Any, Array], Array]  # (weights, step, gradient (B, H)) -> (B, H)


@dataclass(frozen=True)
class Cache:
    """What the backward pass needs of a forward pass over a window of T steps.

    A cache serves one window at a time: the backward pass turns it into gradients, the next
    forward pass overwrites it.
    """

    states: Array  # (S, T+1, B, H)  parts of the state; [:, 0] initial, [:, t+1] after step t
    a: Array  # (G, T, B, H)  projection; after forward the gates; after backward gradient at a
    kept: Array  # (K, T, B, H)  other arrays that a cell keeps of each step
    before: Array  # (S, T, B, H)  states as the steps read them: states[:, :-1] itself, or resets
    reset_mask: Array  # (T, B, 1)  0 where a document begins, else 1; empty where none can
    scratch: Array  # (G, B, H)
    steps: Sequence[Any]  # T of the cell's ``Step``

    @property
    def h(self) -> Array:
        """The part of the state that the layer above reads, (T+1, B, H)."""
        h: Array = self.states[0]
        return h

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        arrays = [self.states, self.a, self.kept, self.reset_mask, self.scratch]
        own = self.before.nbytes if len(self.reset_mask) else 0
        return own + sum(array.nbytes for array in arrays)

    def span(self, lo: int, hi: int) -> "Cache":
        """The same memory, of the steps from ``lo`` to below ``hi`` alone."""
        return Cache(
            self.states[:, lo : hi + 1],
            self.a[:, lo:hi],
            self.kept[:, lo:hi],
            self.before[:, lo:hi],
            self.reset_mask[lo:hi],
            self.scratch,
            self.steps[lo:hi],
        )


class Cell(ABC):
    """A recurrent cell: functions of weights and caches, without state of its own."""

    GATES: ClassVar[tuple[str, ...]]
    """Names of the gates, in the order of the first axis of ``Weights``."""
    STATE: ClassVar[tuple[str, ...]] = ("h",)
    """Parts of the state."""
    KEPT: ClassVar[tuple[str, ...]] = ()
    """Other arrays (B, H) that the backward pass needs of each step."""
    ROUTES: ClassVar[tuple[Route, ...]]
    """Every way of the gradient from one step to the step before."""
    WEIGHTS: ClassVar[Any] = Weights
    """The type of its parameters."""

    # ---- what each cell says for itself

    @abstractmethod
    def initialize(self, w: Any, rng: np.random.Generator, active: int) -> None:
        """Draw the parameters of a layer.

        Args:
            w: the layer's ``Weights``, overwritten.
            rng: where they come from.
            active: inputs that are not zero at a time: 1 if x is one-hot, D if it is dense.
        """

    @abstractmethod
    def views(
        self, before: Iterable[Array], after: Iterable[Array], a: Array, kept: Iterable[Array]
    ) -> Any:
        """The arrays of one step by name, in the cell's ``Step``.

        Args:
            before: parts of the state that the step reads, S of (B, H).
            after: parts of the state that it makes, S of (B, H).
            a: its part of the projection, (G, B, H).
            kept: what else it keeps, K of (B, H).
        """

    @abstractmethod
    def step(self, w: Any, cache: Cache) -> Callable[..., None]:
        """The equations, bound to weights: a function of the fields of one ``Step``.

        It finds the input projection where it leaves the gates.
        """

    @abstractmethod
    def backward(self, w_T: Any, dh: Array, dstate: Array, cache: Cache, dw: Any) -> Array:
        """Go back through the window; write the gradients of all but ``W_x`` and ``b`` to ``dw``.

        Args:
            w_T: the layer's parameters, each matrix transposed, then in blocks.
            dh: gradient that each state receives from above, (T, B, H); may be overwritten.
            dstate: gradient that the last state receives from the next window, (B, S H).
            cache: what the forward pass left; ``cache.a`` becomes its gradient.
            dw: where gradients go.

        Returns:
            The gradient of the initial state, (B, S H).
        """

    # ---- what is the same for all

    def shapes(self, D: int, H: int) -> Shapes:
        """Shapes of the parameters of a layer of ``H`` units that reads ``D`` inputs."""
        G = len(self.GATES)
        return {"W_x": (G, D, H), "W_h": (G, H, H), "b": (G, H)}

    def by_gate(self, name: str, array: Array) -> Iterator[tuple[str, Array]]:
        """The parts of a parameter that belong to one gate each, named as in the equations."""
        if name not in Weights._fields:
            yield name, array
            return
        separator = "_" if name == "b" else ""
        for gate, part in zip(self.GATES, array, strict=True):
            yield f"{name}{separator}{gate}" if gate else name, part

    @property
    def arrays(self) -> int:
        """Numbers that a cache keeps of a unit at each step."""
        return len(self.GATES) + len(self.STATE) + len(self.KEPT)

    def allocate(
        self, T: int, B: int, H: int, dtype: npt.DTypeLike, *, resets: bool = False
    ) -> Cache:
        """Memory for a window of up to ``T`` steps of ``B`` streams.

        Args:
            T: steps.
            B: streams.
            H: units.
            dtype: of all arrays.
            resets: whether documents may begin within the window.
        """
        G, S, K = len(self.GATES), len(self.STATE), len(self.KEPT)
        states, a = np.zeros((S, T + 1, B, H), dtype), np.zeros((G, T, B, H), dtype)
        kept = np.zeros((K, T, B, H), dtype)
        before = np.zeros((S, T, B, H), dtype) if resets else states[:, :-1]
        reset_mask = np.ones((T if resets else 0, B, 1), dtype)
        steps = [self.views(before[:, t], states[:, t + 1], a[:, t], kept[:, t]) for t in range(T)]
        scratch = np.zeros((G, B, H), dtype)
        return Cache(states, a, kept, before, reset_mask, scratch, steps)

    def forward(self, w: Any, state: Array, cache: Cache) -> Array:
        """Run the layer from ``state`` (B, S H) over the projection; returns the last state."""
        step = self.step(w, cache)
        cache.states[:, 0] = np.split(state, len(self.STATE), axis=-1)
        for views in forward_steps(cache.steps, cache.reset_mask, cache.states, cache.before):
            step(*views)
        return np.concatenate(cache.states[:, -1], axis=-1)


def recurrent_gradients(dW_h: Array, before: Iterable[Array], da: Iterable[Array]) -> None:
    """Write the gradient of each recurrent matrix, from what it multiplied and what came of it.

    Args:
        dW_h: overwritten, (G, H, H).
        before: what each matrix multiplied, G of (T, B, H).
        da: the gradients of the products, G of (T, B, H).
    """
    for dW, rows, gradient in zip(dW_h, before, da, strict=True):
        np.matmul(as_rows(rows).T, as_rows(gradient), out=dW)
