"""What all recurrent cells share: parameters, memory for a window, and the forward pass.

A cell adds its gates, their biases, one step forward, the backward pass, and the routes of
its gradient. One step reads the input projection a_t = x_t W_x + b (``nn/input_projection``) and
the previous state. A state consists of S parts of H numbers, (B, S H): h, which the layer above
reads, and for an LSTM also c.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from grucli.nn.matmul import Matrix
from grucli.nn.params import Array, Shapes, as_rows, orthogonal
from grucli.nn.state_resets import forward_steps


class Weights(NamedTuple):
    """The parameters of one layer of G gates, or the gradients with respect to them.

    Both passes get each matrix as a ``Matrix`` (``nn/matmul``) for its products.
    """

    W_x: Any  # (G, D, H)  input weights
    W_h: Any  # (G, H, H)  recurrent weights
    b: Array  # (G, H)     biases


class Route(NamedTuple):
    """One route of the gradient, from a part of the state at step t to a part at step t-1."""

    name: str
    start: str  # the part of the state at step t
    end: str  # the part of the state at step t-1
    carry: Callable[[Any, Any, Array], Array]  # (weights, step, gradient (B, H)) -> (B, H)


@dataclass(frozen=True)
class Cache:
    """Arrays of a forward pass over T steps, saved for the backward pass.

    A cache holds one window at a time. The backward pass overwrites it with gradients, and the next
    forward pass with the next window.
    """

    states: Array  # (S, T+1, B, H)  parts of the state; [:, 0] initial, [:, t+1] after step t
    a: Array  # (G, T, B, H)  projection; after forward the gates; after backward gradient at a
    saved: Array  # (K, T, B, H)  other arrays of each step
    before: Array  # (S, T, B, H)  states that the steps read: states[:, :-1], or a masked copy
    reset_mask: Array  # (T, B, 1)  0 where a document begins, else 1; empty if none can begin
    scratch: Array  # (G, B, H)
    steps: Sequence[Any]  # T of the cell's ``Step``

    @property
    def h(self) -> Array:
        """The part of the state that the layer above reads, (T+1, B, H)."""
        h: Array = self.states[0]
        return h

    def span(self, lo: int, hi: int) -> "Cache":
        """A view of the steps from ``lo`` to ``hi`` - 1."""
        return Cache(
            self.states[:, lo : hi + 1],
            self.a[:, lo:hi],
            self.saved[:, lo:hi],
            self.before[:, lo:hi],
            self.reset_mask[lo:hi],
            self.scratch,
            self.steps[lo:hi],
        )


class Cell(ABC):
    """A recurrent cell: functions of weights and caches; it holds no data."""

    GATES: ClassVar[tuple[str, ...]]
    """Names of the gates, in the order of the first axis of ``Weights``."""
    STATE: ClassVar[tuple[str, ...]] = ("h",)
    """Names of the parts of the state."""
    BIAS: ClassVar[tuple[float, ...]]
    """The bias of each gate before training."""
    SAVED: ClassVar[tuple[str, ...]] = ()
    """Names of other arrays (B, H) of each step that the backward pass needs."""
    ROUTES: ClassVar[tuple[Route, ...]]
    """All routes of the gradient from one step to the previous step."""
    WEIGHTS: ClassVar[Any] = Weights
    """The type of its parameters."""

    # ---- what each cell defines

    @abstractmethod
    def views(
        self, before: Iterable[Array], after: Iterable[Array], a: Array, saved: Iterable[Array]
    ) -> Any:
        """The arrays of one step by name, as the cell's ``Step``.

        Args:
            before: parts of the previous state, S arrays (B, H).
            after: parts of the new state, S arrays (B, H).
            a: the projection of this step, (G, B, H).
            saved: the arrays named in ``SAVED``, K arrays (B, H).
        """

    @abstractmethod
    def step(self, w: Any, cache: Cache) -> Callable[..., None]:
        """The equations for given weights, as a function of the fields of one ``Step``.

        The function overwrites the input projection with the gates.
        """

    @abstractmethod
    def backward(self, w: Any, dh: Array, dstate: Array, cache: Cache, dw: Any) -> Array:
        """The backward pass; writes all gradients to ``dw``, except those of ``W_x`` and ``b``.

        Args:
            w: the layer's parameters, as in the forward pass.
            dh: gradient of each h from the layer above, (T, B, H); may be overwritten.
            dstate: gradient of the last state from the next window, (B, S H).
            cache: the cache of the forward pass; ``cache.a`` is overwritten with its gradient.
            dw: gradients of the parameters, overwritten.

        Returns:
            The gradient of the initial state, (B, S H).
        """

    # ---- what all cells share

    def shapes(self, D: int, H: int) -> Shapes:
        """Shapes of the parameters of a layer with ``D`` inputs and ``H`` units."""
        G = len(self.GATES)
        return {"W_x": (G, D, H), "W_h": (G, H, H), "b": (G, H)}

    def initialize(self, w: Any, rng: np.random.Generator, active: int) -> None:
        """Draw normal input weights and orthogonal recurrent weights, and set the biases.

        ``active`` is the number of inputs that are not zero: 1 if x is one-hot, D if it is dense.
        The input weights have variance 1/active, so that x W_x has about the variance of x.
        """
        w.W_x[:] = rng.standard_normal(w.W_x.shape) / np.sqrt(active)
        orthogonal(w.W_h, rng)
        w.b[:] = np.array(self.BIAS)[:, None]

    def by_gate(self, name: str, array: Array) -> Iterator[tuple[str, Array]]:
        """The part of a parameter for each gate, named as in the equations."""
        if name not in Weights._fields:
            yield name, array
            return
        separator = "_" if name == "b" else ""
        for gate, part in zip(self.GATES, array, strict=True):
            yield f"{name}{separator}{gate}" if gate else name, part

    def allocate(self, T: int, B: int, H: int, like: Array, *, resets: bool = False) -> Cache:
        """Memory for a window of up to ``T`` steps of ``B`` streams and ``H`` units.

        All arrays are of the type of ``like``. With ``resets``, documents may begin within the
        window.
        """
        G, S, K = len(self.GATES), len(self.STATE), len(self.SAVED)
        shapes = (S, T + 1, B, H), (G, T, B, H), (K, T, B, H), (G, B, H)
        states, a, saved, scratch = (np.zeros_like(like, shape=shape) for shape in shapes)
        before = np.zeros_like(like, shape=(S, T, B, H)) if resets else states[:, :-1]
        reset_mask = np.ones((T if resets else 0, B, 1), like.dtype)
        steps = [self.views(before[:, t], states[:, t + 1], a[:, t], saved[:, t]) for t in range(T)]
        return Cache(states, a, saved, before, reset_mask, scratch, steps)

    def forward(self, w: Any, state: Array, cache: Cache) -> Array:
        """The forward pass from ``state`` (B, S H) over the projection; returns the last state."""
        cache.states[:, 0] = np.split(state, len(self.STATE), axis=-1)
        self.forward_loop(w, cache)
        return np.concatenate(cache.states[:, -1], axis=-1)

    def forward_loop(self, w: Any, cache: Cache) -> None:
        """All steps, from the initial state in the cache."""
        step = self.step(w, cache)
        for views in forward_steps(cache.steps, cache.reset_mask, cache.states, cache.before):
            step(*views)


def recurrent_gradients(
    W_h: Matrix, dW_h: Array, before: Iterable[Array], da: Iterable[Array]
) -> None:
    """Write the gradient of each recurrent matrix to ``dW_h`` (G, H, H).

    ``before`` has the left factor of each product, and ``da`` its gradient: G arrays (T, B, H).
    """
    for W, dW, rows, gradient in zip(W_h, dW_h, before, da, strict=True):
        W.gradient(as_rows(rows), as_rows(gradient), dW)
