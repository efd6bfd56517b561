"""One vanilla recurrent layer over one window of text, forward and backward by hand.

States are row vectors. The cell is that of Elman 1990, with tanh:

    (1)  h_t = tanh(h_{t-1} W_h + x_t W_x + b)

The first axis of every array has one gate. Everything else is as in ``gru``.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from grucli.nn.cells.base import Cache, Cell, Route, Weights, recurrent_gradients
from grucli.nn.params import Array
from grucli.nn.state_resets import backward_steps


class Step(NamedTuple):
    """The arrays of one step."""

    h_prev: Array  # (B, H)  h_{t-1}
    h: Array  # (B, H)
    a: Array  # (B, H)


class RNN(Cell):
    """The vanilla recurrent network."""

    GATES = ("",)  # one gate, without a name
    BIAS = (0.0,)

    def views(
        self, before: Iterable[Array], after: Iterable[Array], a: Array, saved: Iterable[Array]
    ) -> Step:
        return Step._make([*before, *after, *a])

    def step(self, w: Weights, cache: Cache) -> Callable[..., None]:
        (W_h,), (scratch,) = w.W_h, cache.scratch
        multiply_h = W_h.bind(scratch)

        def step(h_prev: Array, h: Array, a: Array) -> None:
            multiply_h(h_prev)
            np.add(scratch, a, out=h)
            np.tanh(h, out=h)  # (1)

        return step

    def backward(self, w: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
        (W_h_T,) = w.W_h.T
        dh_next = np.array(dstate, dtype=cache.h.dtype)  # (B, H), gradient from step t+1
        multiply_a = W_h_T.bind(dh_next)
        steps = backward_steps(cache.steps, cache.reset_mask, dh_next)
        for dh_t, (_, h, a) in zip(dh[::-1], steps, strict=True):
            dh_next += dh_t
            np.multiply(h, h, out=a)
            np.subtract(1.0, a, out=a)
            a *= dh_next  # (1) da = dh * (1 - h^2)
            multiply_a(a)  # route 1, recurrent: da W_h^T
        recurrent_gradients(w.W_h, dw.W_h, cache.before, cache.a)
        return dh_next

    # ---- the only route of the gradient from h_t to h_{t-1}

    @staticmethod
    def recurrent(w: Weights, s: Step, dh: Array) -> Array:
        """Through the argument of tanh: (1)."""
        return (dh * (1 - s.h**2)) @ w.W_h[0].T

    ROUTES = (Route("recurrent", "h", "h", recurrent),)
