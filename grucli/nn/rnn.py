"""One vanilla recurrent layer over one window of text, forward and backward by hand.

One step, row vectors (Elman 1990, with tanh):

    (1)  h_t = tanh(h_{t-1} W_h + x_t W_x + b)

Arrays have a first axis of one gate, as every cell's have; the rest is as in ``gru``.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.nn.params import Array, Shapes, as_rows, orthogonal
from grucli.nn.products import multiplier
from grucli.nn.restarts import homeward, onward
from grucli.nn.routes import Route

STATE = ("h",)

ARRAYS = 2
"""Numbers that a cache keeps of a unit at each step."""


class Weights(NamedTuple):
    """The parameters of one layer, or the gradients with respect to them."""

    W_x: Array  # (1, D, H)
    W_h: Array  # (1, H, H)
    b: Array  # (1, H)


class Step(NamedTuple):
    """Views of one step, made once for all windows."""

    h_prev: Array  # (B, H)  h_{t-1}
    h: Array  # (B, H)
    a: Array  # (B, H)


class Cache(NamedTuple):
    """What the backward pass needs of a forward pass; used as ``gru.Cache`` is."""

    h: Array  # (T+1, B, H)   states; h[0] is the initial one, h[t+1] the one after step t
    a: Array  # (1, T, B, H)  input projection; after backward the gradient at tanh's argument
    before: Array  # (T, B, H)  h_{t-1} as step t reads it: h[:-1] itself, or zero where it restarts
    keep: Array  # (T, B, 1)  0 where it restarts, else 1; empty where nothing does (restarts)
    scratch: Array  # (B, H)
    steps: Sequence[Step]  # T of them

    def span(self, lo: int, hi: int) -> "Cache":
        """The same room, of the steps from ``lo`` to below ``hi`` alone."""
        h, a, before, keep = (
            self.h[lo : hi + 1],
            self.a[:, lo:hi],
            self.before[lo:hi],
            self.keep[lo:hi],
        )
        return Cache(h, a, before, keep, self.scratch, self.steps[lo:hi])


def shapes(D: int, H: int) -> Shapes:
    """Shapes of the parameters of a layer of ``H`` units that reads ``D`` inputs."""
    return {"W_x": (1, D, H), "W_h": (1, H, H), "b": (1, H)}


def initialize(w: Weights, rng: np.random.Generator, active: int) -> None:
    """Normal input weights of variance 1/active, orthogonal recurrent ones, no bias."""
    w.W_x[:] = rng.standard_normal(w.W_x.shape) / np.sqrt(active)
    orthogonal(w.W_h, rng)
    w.b[:] = 0.0


def by_gate(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """The only block of an array."""
    return iter([(name, array[0])])


def allocate(T: int, B: int, H: int, dtype: npt.DTypeLike, *, restarts: bool = False) -> Cache:
    """Room for a window of up to ``T`` steps of ``B`` streams."""
    h, a = np.zeros((T + 1, B, H), dtype), np.zeros((1, T, B, H), dtype)
    before = np.zeros((T, B, H), dtype) if restarts else h[:-1]
    keep = np.ones((T if restarts else 0, B, 1), dtype)
    steps = [Step(before[t], h[t + 1], a[0, t]) for t in range(T)]
    return Cache(h, a, before, keep, np.zeros((B, H), dtype), steps)


def equations(w: Weights, cache: Cache) -> Callable[..., None]:
    """The equation, bound to weights: a function of the views of one ``Step``, as in ``gru``."""
    (W_h,), scratch = w.W_h, cache.scratch
    multiply_h = multiplier(W_h, scratch)

    def step(h_prev: Array, h: Array, a: Array) -> None:
        multiply_h(h_prev)
        np.add(scratch, a, out=h)
        np.tanh(h, out=h)  # (1)

    return step


def forward(w: Weights, state: Array, cache: Cache) -> Array:
    """Run the layer from ``state`` (B, H) over the projection in ``cache.a``; the last state."""
    step = equations(w, cache)
    cache.h[0] = state
    for views in onward(cache.steps, cache.keep, (cache.h, cache.before)):
        step(*views)
    last: Array = cache.h[-1]
    return last


def backward(w_T: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
    """Go back through the window; write the gradient of ``W_h`` to ``dw``.

    As ``gru.backward``, with its arguments.
    """
    (W_h_T,) = w_T.W_h
    dh_next = np.array(dstate, dtype=cache.h.dtype)  # (B, H), what comes back from step t+1
    multiply_a = multiplier(W_h_T, dh_next)
    steps = homeward(cache.steps, cache.keep, dh_next)
    for dh_t, (_, h, a) in zip(dh[::-1], steps, strict=True):
        dh_next += dh_t
        np.multiply(h, h, out=a)
        np.subtract(1.0, a, out=a)
        a *= dh_next  # (1) da = dh * (1 - h^2)
        multiply_a(a)  # route 1, recurrent: da W_h^T
    np.matmul(as_rows(cache.before).T, as_rows(cache.a[0]), out=dw.W_h[0])
    return dh_next


# ---- the only route of the gradient from h_t to h_{t-1} ----------------------------------------


def recurrent(w: Weights, s: Step, dh: Array) -> Array:
    """Through the argument of tanh: (1)."""
    return (dh * (1 - s.h**2)) @ w.W_h[0].T


ROUTES = (Route("recurrent", "h", "h", recurrent),)
