"""One LSTM layer over one window of text, forward and backward by hand.

One step, row vectors, * elementwise (Hochreiter and Schmidhuber 1997, with the forget gate of Gers
et al. 2000); the state is the pair (h, c):

    (1)  i_t = sigmoid(h_{t-1} W_hi + x_t W_xi + b_i)            input gate
    (2)  f_t = sigmoid(h_{t-1} W_hf + x_t W_xf + b_f)            forget gate
    (3)  o_t = sigmoid(h_{t-1} W_ho + x_t W_xo + b_o)            output gate
    (4)  g_t = tanh(h_{t-1} W_hg + x_t W_xg + b_g)               candidate
    (5)  c_t = f_t * c_{t-1} + i_t * g_t
    (6)  h_t = o_t * u_t,   u_t = tanh(c_t)

Every array has the gates i, f, o, g on its first axis, and a state its parts h and c side by side
on its last; the rest is as in ``gru``.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.nn.functional import sigmoid_
from grucli.nn.params import Array, Shapes, as_rows, orthogonal
from grucli.nn.products import multiplier
from grucli.nn.restarts import homeward, onward
from grucli.nn.routes import Route

GATES = ("i", "f", "o", "g")

STATE = ("h", "c")

ARRAYS = 7
"""Numbers that a cache keeps of a unit at each step."""


class Weights(NamedTuple):
    """The parameters of one layer, or the gradients with respect to them."""

    W_x: Array  # (4, D, H)  W_xi, W_xf, W_xo, W_xg
    W_h: Array  # (4, H, H)  W_hi, W_hf, W_ho, W_hg
    b: Array  # (4, H)     b_i, b_f, b_o, b_g


class Step(NamedTuple):
    """Views of one step, made once for all windows."""

    h_prev: Array  # (B, H)  h_{t-1}
    c_prev: Array  # (B, H)  c_{t-1}
    h: Array  # (B, H)
    c: Array  # (B, H)
    u: Array  # (B, H)
    a: Array  # (4, B, H)  i_t, f_t, o_t, g_t
    ifo: Array  # (3, B, H)
    g: Array  # (B, H)


class Cache(NamedTuple):
    """What the backward pass needs of a forward pass; used as ``gru.Cache`` is."""

    h: Array  # (T+1, B, H)   states; h[0] is the initial one, h[t+1] the one after step t
    c: Array  # (T+1, B, H)   the same of the cells
    a: Array  # (4, T, B, H)  projection; after forward i, f, o, g; after backward gradient at a
    u: Array  # (T, B, H)     tanh(c_t)
    before: Array  # (2, T, B, H)  h_{t-1} and c_{t-1} as step t reads them: as in gru.Cache
    keep: Array  # (T, B, 1)
    scratch: Array  # (4, B, H)
    steps: Sequence[Step]  # T of them

    def span(self, lo: int, hi: int) -> "Cache":
        """The same room, of the steps from ``lo`` to below ``hi`` alone."""
        return Cache(
            self.h[lo : hi + 1],
            self.c[lo : hi + 1],
            self.a[:, lo:hi],
            self.u[lo:hi],
            self.before[:, lo:hi],
            self.keep[lo:hi],
            self.scratch,
            self.steps[lo:hi],
        )


def shapes(D: int, H: int) -> Shapes:
    """Shapes of the parameters of a layer of ``H`` units that reads ``D`` inputs."""
    return {"W_x": (4, D, H), "W_h": (4, H, H), "b": (4, H)}


def initialize(w: Weights, rng: np.random.Generator, active: int) -> None:
    """As ``gru.initialize``; forget-gate bias 1, so that an untrained cell keeps most of itself."""
    w.W_x[:] = rng.standard_normal(w.W_x.shape) / np.sqrt(active)
    orthogonal(w.W_h, rng)
    w.b[:] = np.array([[0.0], [1.0], [0.0], [0.0]])


def by_gate(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """The blocks of an array that belong to one gate each, named as in the equations."""
    for gate, block in zip(GATES, array, strict=True):
        yield f"{name}_{gate}" if name == "b" else f"{name}{gate}", block


def allocate(T: int, B: int, H: int, dtype: npt.DTypeLike, *, restarts: bool = False) -> Cache:
    """Room for a window of up to ``T`` steps of ``B`` streams."""
    h, c = states = np.zeros((2, T + 1, B, H), dtype)
    a, u = np.zeros((4, T, B, H), dtype), np.zeros((T, B, H), dtype)
    before = np.zeros((2, T, B, H), dtype) if restarts else states[:, :-1]
    keep = np.ones((T if restarts else 0, B, 1), dtype)
    steps = [
        Step(before[0, t], before[1, t], h[t + 1], c[t + 1], u[t], a[:, t], a[:3, t], a[3, t])
        for t in range(T)
    ]
    return Cache(h, c, a, u, before, keep, np.zeros((4, B, H), dtype), steps)


def equations(w: Weights, cache: Cache) -> Callable[..., None]:
    """The equations, bound to weights: a function of the views of one ``Step``, as in ``gru``."""
    scratch = cache.scratch
    ig, multiply_all = scratch[0], multiplier(w.W_h, scratch)

    def step(
        h_prev: Array,
        c_prev: Array,
        h: Array,
        c: Array,
        u: Array,
        a: Array,
        ifo: Array,
        g: Array,
    ) -> None:
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


def forward(w: Weights, state: Array, cache: Cache) -> Array:
    """Run the layer from ``state`` (B, 2 H) over the projection in ``cache.a``; the last state."""
    step = equations(w, cache)
    cache.h[0], cache.c[0] = np.split(state, 2, axis=-1)
    states = zip((cache.h, cache.c), cache.before, strict=True)
    for views in onward(cache.steps, cache.keep, *states):
        step(*views)
    return np.concatenate([cache.h[-1], cache.c[-1]], axis=-1)


def backward(w_T: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
    """Go back through the window; write the gradient of ``W_h`` to ``dw``.

    As ``gru.backward``, with its arguments; states and their gradients are (B, 2 H).
    """
    dstate = np.array(dstate, dtype=cache.h.dtype)
    dh_next, dc = np.split(dstate, 2, axis=-1)  # (B, H) views: what comes back from step t+1
    difo, (di, df, do) = cache.scratch[:3], cache.scratch[:3]
    multiply_all = multiplier(w_T.W_h, cache.scratch)
    steps = homeward(cache.steps, cache.keep, dh_next, dc)
    for dh_t, step in zip(dh[::-1], steps, strict=True):
        _, c_prev, _, _, u, a, ifo, g = step
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
        multiply_all(a)
        from_i, from_f, from_o, from_g = cache.scratch
        np.add(from_i, from_f, out=dh_next)  # routes input, forget: di~ W_hi^T, df~ W_hf^T
        dh_next += from_o  # route output: do~ W_ho^T
        dh_next += from_g  # route candidate: dg~ W_hg^T
    h_prev_rows = as_rows(cache.before[0])
    for dW, da in zip(dw.W_h, cache.a, strict=True):
        np.matmul(h_prev_rows.T, as_rows(da), out=dW)
    return dstate


# ---- the routes of the gradient, one by one: h_t or c_t to h_{t-1} or c_{t-1} ------------------


def output(w: Weights, s: Step, dh: Array) -> Array:
    """From h_t through o_t: (6), then (3)."""
    o = s.ifo[2]
    return (dh * s.u * o * (1 - o)) @ w.W_h[2].T


def input(w: Weights, s: Step, dc: Array) -> Array:
    """From c_t through i_t: (5), then (1)."""
    i = s.ifo[0]
    return (dc * s.g * i * (1 - i)) @ w.W_h[0].T


def forget(w: Weights, s: Step, dc: Array) -> Array:
    """From c_t through f_t: (5), then (2)."""
    f = s.ifo[1]
    return (dc * s.c_prev * f * (1 - f)) @ w.W_h[1].T


def candidate(w: Weights, s: Step, dc: Array) -> Array:
    """From c_t through g_t: (5), then (4)."""
    return (dc * s.ifo[0] * (1 - s.g**2)) @ w.W_h[3].T


def direct(_: Weights, s: Step, dc: Array) -> Array:
    """From c_t to c_{t-1}, through what it keeps: (5)."""
    return dc * s.ifo[1]


def from_h(carry: Callable[[Weights, Step, Array], Array]) -> Callable[..., Array]:
    """The same from h_t, which first reaches c_t: (6)."""
    return lambda w, s, dh: carry(w, s, dh * s.ifo[2] * (1 - s.u**2))


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
