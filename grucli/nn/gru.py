"""One GRU layer over one window of text, forward and backward by hand.

One step, row vectors, * elementwise; z WRITES (z = 0 keeps the old state) and the reset gate
acts on h_{t-1} BEFORE the matrix product, as in Cho et al. 2014:

    (1)  z_t = sigmoid(h_{t-1} W_hz + x_t W_xz + b_z)            update gate
    (2)  r_t = sigmoid(h_{t-1} W_hr + x_t W_xr + b_r)            reset gate
    (3)  n_t = tanh((r_t * h_{t-1}) W_hn + x_t W_xn + b_n)       candidate
    (4)  h_t = (1 - z_t) * h_{t-1} + z_t * n_t

Every array has the gates z, r, n on its first axis, so that the block of one gate is contiguous:
``W_hz, W_hr, W_hn = W_h``. Only the recurrent products are inside the loop over time; the input
projection (``inputs``) runs before it and the weight gradients after it, each as products over
many steps.
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

GATES = ("z", "r", "n")

STATE = ("h",)
"""Parts of the state, side by side on its last axis."""

ARRAYS = 4
"""Numbers that a cache keeps of a unit at each step."""


class Weights(NamedTuple):
    """The parameters of one layer, or the gradients with respect to them.

    The passes take the matrices in blocks (``products``): W_x (3, H/n, D, n) and
    W_h (3, H/n, H, n).
    """

    W_x: Array  # (3, D, H)  W_xz, W_xr, W_xn
    W_h: Array  # (3, H, H)  W_hz, W_hr, W_hn
    b: Array  # (3, H)     b_z, b_r, b_n


class Step(NamedTuple):
    """Views of one step, made once for all windows."""

    h_prev: Array  # (B, H)  h_{t-1}
    h: Array  # (B, H)
    zr: Array  # (2, B, H)
    z: Array  # (B, H)
    r: Array  # (B, H)
    n: Array  # (B, H)


class Cache(NamedTuple):
    """What the backward pass needs of a forward pass.

    A cache serves one window at a time: the backward pass turns it into gradients, the next
    forward pass overwrites it.
    """

    h: Array  # (T+1, B, H)   states; h[0] is the initial one, h[t+1] the one after step t
    a: Array  # (3, T, B, H)  input projection; after forward z, r, n; after backward gradient at a
    before: Array  # (T, B, H)  h_{t-1} as step t reads it: h[:-1] itself, or zero where it restarts
    keep: Array  # (T, B, 1)  0 where it restarts, else 1; empty where nothing does (restarts)
    scratch: Array  # (2, B, H)
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
    return {"W_x": (3, D, H), "W_h": (3, H, H), "b": (3, H)}


def initialize(w: Weights, rng: np.random.Generator, active: int) -> None:
    """Normal input weights, orthogonal recurrent ones, update-gate bias -1.

    Input weights have variance 1/active, so that x W_x has about the variance of x. The bias makes
    z about 0.27, so that an untrained layer keeps most of its state.

    Args:
        w: the layer's parameters, overwritten.
        rng: where they come from.
        active: inputs that are not zero at a time: 1 if x is one-hot, D if it is dense.
    """
    w.W_x[:] = rng.standard_normal(w.W_x.shape) / np.sqrt(active)
    orthogonal(w.W_h, rng)
    w.b[:] = np.array([[-1.0], [0.0], [0.0]])


def by_gate(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """The blocks of an array that belong to one gate each, named as in the equations."""
    for gate, block in zip(GATES, array, strict=True):
        yield f"{name}_{gate}" if name == "b" else f"{name}{gate}", block


def allocate(T: int, B: int, H: int, dtype: npt.DTypeLike, *, restarts: bool = False) -> Cache:
    """Room for a window of up to ``T`` steps of ``B`` streams, which may restart within it."""
    h, a = np.zeros((T + 1, B, H), dtype), np.zeros((3, T, B, H), dtype)
    before = np.zeros((T, B, H), dtype) if restarts else h[:-1]
    keep = np.ones((T if restarts else 0, B, 1), dtype)
    steps = [Step(before[t], h[t + 1], a[:2, t], *a[:, t]) for t in range(T)]
    return Cache(h, a, before, keep, np.zeros((2, B, H), dtype), steps)


def equations(w: Weights, cache: Cache) -> Callable[..., None]:
    """The equations, bound to weights: a function of the views of one ``Step`` of the cache.

    It finds the input projection where it leaves z, r, n.
    """
    W_hzr, W_hn, scratch = w.W_h[:2], w.W_h[2], cache.scratch
    rh, product = scratch
    multiply_zr, multiply_n = multiplier(W_hzr, scratch), multiplier(W_hn, product)

    def step(h_prev: Array, h: Array, zr: Array, z: Array, r: Array, n: Array) -> None:
        multiply_zr(h_prev)
        zr += scratch
        sigmoid_(zr)  # (1) (2)
        np.multiply(r, h_prev, out=rh)
        multiply_n(rh)
        n += product
        np.tanh(n, out=n)  # (3)
        np.subtract(n, h_prev, out=h)
        h *= z
        h += h_prev  # (4), as z * (n - h_{t-1}) + h_{t-1}

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

    Every array takes the place of one that is no longer needed, which spares half the memory
    and its traffic: dz~, dr~, dn~ that of z, r, n in ``cache.a``, and r_t * h_{t-1} that of dh_t.

    Args:
        w_T: the layer's parameters, each matrix transposed, then in blocks.
        dh: gradient that each state receives from above, (T, B, H); overwritten.
        dstate: gradient that the last state receives from the next window, (B, H).
        cache: what the forward pass left; ``cache.a`` becomes its gradient.
        dw: where gradients go.

    Returns:
        The gradient of the initial state, (B, H).
    """
    W_hzr_T, W_hn_T = w_T.W_h[:2], w_T.W_h[2]
    dh_next = np.array(dstate, dtype=cache.h.dtype)  # (B, H), what comes back from step t+1
    first, second = cache.scratch
    multiply_zr, multiply_n = multiplier(W_hzr_T, cache.scratch), multiplier(W_hn_T, first)
    steps = homeward(cache.steps, cache.keep, dh_next)
    for rh, (h_prev, _, zr, z, r, n) in zip(dh[::-1], steps, strict=True):
        dh_next += rh  # until the next line, rh is dh_t
        np.multiply(r, h_prev, out=rh)
        dn = np.multiply(dh_next, z, out=first)  # (4) dn = dh * z
        keep = np.subtract(1.0, z, out=z)
        dh_next *= keep  # route 1, direct: dh * (1 - z)
        write = np.subtract(n, h_prev, out=second)
        write *= dn
        z *= write  # (4) (1) dz~ = dh * (n - h_{t-1}) * z (1 - z)
        np.multiply(n, n, out=n)
        np.subtract(1.0, n, out=n)
        n *= dn  # (3) dn~ = dn * (1 - n^2)
        multiply_n(n)
        drh = first  # (3) d(r h) = dn~ W_hn^T
        drh *= r
        dh_next += drh  # route 3, candidate: d(r h) * r
        np.subtract(1.0, r, out=r)
        r *= h_prev
        r *= drh  # (2) dr~ = d(r h) * h_{t-1} * r (1 - r)
        multiply_zr(zr)
        from_z, from_r = cache.scratch
        dh_next += from_z  # route 2, update: dz~ W_hz^T
        dh_next += from_r  # route 4, reset: dr~ W_hr^T
    h_prev_rows, rh_rows = as_rows(cache.before), as_rows(dh)
    for dW, da, rows in zip(dw.W_h, cache.a, (h_prev_rows, h_prev_rows, rh_rows), strict=True):
        np.matmul(rows.T, as_rows(da), out=dW)
    return dh_next


# ---- the routes of the gradient, one by one: h_t to h_{t-1} ------------------------------------


def direct(_: Weights, s: Step, dh: Array) -> Array:
    """Through what h_t keeps of h_{t-1}: (4)."""
    return dh * (1 - s.z)


def update(w: Weights, s: Step, dh: Array) -> Array:
    """Through z_t: (4), then (1)."""
    return (dh * (s.n - s.h_prev) * s.z * (1 - s.z)) @ w.W_h[0].T


def candidate(w: Weights, s: Step, dh: Array) -> Array:
    """Through n_t, straight: (4), then (3)."""
    return _drh(w, s, dh) * s.r


def reset(w: Weights, s: Step, dh: Array) -> Array:
    """Through n_t, then r_t: (4), (3), then (2)."""
    return (_drh(w, s, dh) * s.h_prev * s.r * (1 - s.r)) @ w.W_h[1].T


def _drh(w: Weights, s: Step, dh: Array) -> Array:
    """The gradient of r_t * h_{t-1}."""
    return (dh * s.z * (1 - s.n**2)) @ w.W_h[2].T


ROUTES = (
    Route("direct", "h", "h", direct),
    Route("update", "h", "h", update),
    Route("candidate", "h", "h", candidate),
    Route("reset", "h", "h", reset),
)
