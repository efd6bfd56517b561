"""One LSTM layer over one window of text, forward and backward by hand.

States are row vectors, and * is elementwise. The cell is that of Hochreiter and Schmidhuber 1997
with the forget gate of Gers et al. 2000. The state is the pair (h, c):

    (1)  i_t = sigmoid(h_{t-1} W_hi + x_t W_xi + b_i)            input gate
    (2)  f_t = sigmoid(h_{t-1} W_hf + x_t W_xf + b_f)            forget gate
    (3)  o_t = sigmoid(h_{t-1} W_ho + x_t W_xo + b_o)            output gate
    (4)  g_t = tanh(h_{t-1} W_hg + x_t W_xg + b_g)               candidate
    (5)  c_t = f_t * c_{t-1} + i_t * g_t
    (6)  h_t = o_t * u_t,   u_t = tanh(c_t)

Every array has the gates i, f, o, g on its first axis. A state has its parts h and c side by side
on its last axis. Everything else is as in ``gru``.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from grucli.nn.cells.base import Cache, Cell, Route, Weights, recurrent_gradients
from grucli.nn.functional import sigmoid_
from grucli.nn.params import Array
from grucli.nn.state_resets import backward_steps


class Step(NamedTuple):
    """The arrays of one step."""

    h_prev: Array  # (B, H)  h_{t-1}
    c_prev: Array  # (B, H)  c_{t-1}
    h: Array  # (B, H)
    c: Array  # (B, H)
    u: Array  # (B, H)  tanh(c_t)
    a: Array  # (4, B, H)  i_t, f_t, o_t, g_t
    ifo: Array  # (3, B, H)
    g: Array  # (B, H)


def from_h(carry: Callable[[Weights, Step, Array], Array]) -> Callable[..., Array]:
    """The route from h_t that first reaches c_t by (6), then follows a route from c_t."""
    return lambda w, s, dh: carry(w, s, dh * s.ifo[2] * (1 - s.u**2))


class LSTM(Cell):
    """The long short-term memory."""

    GATES = ("i", "f", "o", "g")
    BIAS = (0.0, 1.0, 0.0, 0.0)  # f is about 0.73: an untrained cell keeps most of its state
    STATE = ("h", "c")
    SAVED = ("u",)

    def views(
        self, before: Iterable[Array], after: Iterable[Array], a: Array, saved: Iterable[Array]
    ) -> Step:
        return Step._make([*before, *after, *saved, a, a[:3], a[3]])

    def step(self, w: Weights, cache: Cache) -> Callable[..., None]:
        scratch = cache.scratch
        ig, multiply_all = scratch[0], w.W_h.bind(scratch)

        def step(*arrays: Array) -> None:
            h_prev, c_prev, h, c, u, a, ifo, g = arrays
            multiply_all(h_prev)
            a += scratch
            sigmoid_(ifo)  # (1) (2) (3)
            np.tanh(g, out=g)  # (4)
            i, f, o = ifo
            np.multiply(f, c_prev, out=c)
            c += np.multiply(i, g, out=ig)  # (5)
            np.tanh(c, out=u)
            np.multiply(o, u, out=h)  # (6)

        return step

    def backward(self, w: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
        """The backward pass; ``dstate`` and the result are (B, 2 H)."""
        parts = np.split(dstate, 2, axis=-1)
        dh_next, dc = np.array(parts, cache.h.dtype)  # (B, H), gradients from step t+1
        difo, (di, df, do) = cache.scratch[:3], cache.scratch[:3]
        W_hi_T, *others = w.W_h.T
        multiply_i = W_hi_T.bind(dh_next)
        add_f, add_o, add_g = (W_T.bind_add(dh_next, di) for W_T in others)
        steps = backward_steps(cache.steps, cache.reset_mask, dh_next, dc)
        for dh_t, (_, c_prev, _, _, u, _, ifo, g) in zip(dh[::-1], steps, strict=True):
            i, f, o = ifo
            dh_next += dh_t
            np.multiply(dh_next, u, out=do)  # (6) do = dh * u
            np.multiply(u, u, out=u)
            np.subtract(1.0, u, out=u)
            u *= o
            u *= dh_next
            dc += u  # (6) dc = dc + dh * o * (1 - u^2)
            np.multiply(dc, g, out=di)  # (5) di = dc * g
            np.multiply(dc, c_prev, out=df)  # (5) df = dc * c_{t-1}
            np.multiply(g, g, out=g)
            np.subtract(1.0, g, out=g)
            g *= i
            g *= dc  # (5) (4) dg~ = dc * i * (1 - g^2)
            dc *= f  # route direct, from c to c: dc * f
            difo *= ifo
            np.subtract(1.0, ifo, out=ifo)
            ifo *= difo  # (1) (2) (3) da~ = da * a (1 - a)
            multiply_i(i)  # route input: dh = di~ W_hi^T
            add_f(f)  # route forget: dh + df~ W_hf^T
            add_o(o)  # route output: dh + do~ W_ho^T
            add_g(g)  # route candidate: dh + dg~ W_hg^T
        h_prevs, _ = cache.before
        recurrent_gradients(w.W_h, dw.W_h, [h_prevs] * 4, cache.a)
        return np.concatenate([dh_next, dc], axis=-1)

    # ---- the routes of the gradient, one by one: h_t or c_t to h_{t-1} or c_{t-1}

    @staticmethod
    def output(w: Weights, s: Step, dh: Array) -> Array:
        """From h_t through o_t: (6), then (3)."""
        o = s.ifo[2]
        return (dh * s.u * o * (1 - o)) @ w.W_h[2].T

    @staticmethod
    def input(w: Weights, s: Step, dc: Array) -> Array:
        """From c_t through i_t: (5), then (1)."""
        i = s.ifo[0]
        return (dc * s.g * i * (1 - i)) @ w.W_h[0].T

    @staticmethod
    def forget(w: Weights, s: Step, dc: Array) -> Array:
        """From c_t through f_t: (5), then (2)."""
        f = s.ifo[1]
        return (dc * s.c_prev * f * (1 - f)) @ w.W_h[1].T

    @staticmethod
    def candidate(w: Weights, s: Step, dc: Array) -> Array:
        """From c_t through g_t: (5), then (4)."""
        return (dc * s.ifo[0] * (1 - s.g**2)) @ w.W_h[3].T

    @staticmethod
    def direct(_: Weights, s: Step, dc: Array) -> Array:
        """From c_t to c_{t-1}, through f_t * c_{t-1}: (5)."""
        return dc * s.ifo[1]

    ROUTES = (
        Route("output", "h", "h", output),
        Route("input", "h", "h", from_h(input)),
        Route("forget", "h", "h", from_h(forget)),
        Route("candidate", "h", "h", from_h(candidate)),
        Route("direct", "h", "c", from_h(direct)),
        Route("input", "c", "h", input),
        Route("forget", "c", "h", forget),
        Route("candidate", "c", "h", candidate),
        Route("direct", "c", "c", direct),
    )
