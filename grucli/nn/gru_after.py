"""One GRU layer whose reset gate acts AFTER the matrix product, forward and backward by hand.

The form of cuDNN and of ``torch.nn.GRU``: all recurrent products of a step are one. Everything
else is as in ``gru``:

    (1)  z_t = sigmoid(h_{t-1} W_hz + x_t W_xz + b_z)            update gate
    (2)  r_t = sigmoid(h_{t-1} W_hr + x_t W_xr + b_r)            reset gate
    (3)  u_t = h_{t-1} W_hn + b_u                                what the reset gate lets through
    (4)  n_t = tanh(r_t * u_t + x_t W_xn + b_n)                  candidate
    (5)  h_t = (1 - z_t) * h_{t-1} + z_t * n_t
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.nn import gru
from grucli.nn.functional import sigmoid_
from grucli.nn.params import Array, Shapes, as_rows
from grucli.nn.products import multiplier
from grucli.nn.restarts import homeward, onward
from grucli.nn.routes import Route

STATE = ("h",)

ARRAYS = 5
"""Numbers that a cache keeps of a unit at each step."""


class Weights(NamedTuple):
    """The parameters of one layer, or the gradients with respect to them."""

    W_x: Array  # (3, D, H)  W_xz, W_xr, W_xn
    W_h: Array  # (3, H, H)  W_hz, W_hr, W_hn
    b: Array  # (3, H)     b_z, b_r, b_n
    b_u: Array  # (H,)


class Step(NamedTuple):
    """Views of one step, made once for all windows."""

    h_prev: Array  # (B, H)  h_{t-1}
    h: Array  # (B, H)
    u: Array  # (B, H)
    zr: Array  # (2, B, H)
    z: Array  # (B, H)
    r: Array  # (B, H)
    n: Array  # (B, H)


class Cache(NamedTuple):
    """What the backward pass needs of a forward pass; used as ``gru.Cache`` is."""

    h: Array  # (T+1, B, H)   states; h[0] is the initial one, h[t+1] the one after step t
    a: Array  # (3, T, B, H)  input projection; after forward z, r, n; after backward gradient at a
    u: Array  # (T, B, H)     u_t; its gradient after backward
    before: Array  # (T, B, H)  h_{t-1} as step t reads it: h[:-1] itself, or zero where it restarts
    keep: Array  # (T, B, 1)  0 where it restarts, else 1; empty where nothing does (restarts)
    scratch: Array  # (3, B, H)
    steps: Sequence[Step]  # T of them

    def span(self, lo: int, hi: int) -> "Cache":
        """The same room, of the steps from ``lo`` to below ``hi`` alone."""
        return Cache(
            self.h[lo : hi + 1],
            self.a[:, lo:hi],
            self.u[lo:hi],
            self.before[lo:hi],
            self.keep[lo:hi],
            self.scratch,
            self.steps[lo:hi],
        )


def shapes(D: int, H: int) -> Shapes:
    """Shapes of the parameters of a layer of ``H`` units that reads ``D`` inputs."""
    return {**gru.shapes(D, H), "b_u": (H,)}


def initialize(w: Weights, rng: np.random.Generator, active: int) -> None:
    """As ``gru.initialize``; ``b_u`` is zero."""
    gru.initialize(gru.Weights(w.W_x, w.W_h, w.b), rng, active)
    w.b_u[:] = 0.0


def by_gate(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """The blocks of an array that belong to one gate each, named as in the equations."""
    return iter([(name, array)]) if name == "b_u" else gru.by_gate(name, array)


def allocate(T: int, B: int, H: int, dtype: npt.DTypeLike, *, restarts: bool = False) -> Cache:
    """Room for a window of up to ``T`` steps of ``B`` streams."""
    h, a = np.zeros((T + 1, B, H), dtype), np.zeros((3, T, B, H), dtype)
    u = np.zeros((T, B, H), dtype)
    before = np.zeros((T, B, H), dtype) if restarts else h[:-1]
    keep = np.ones((T if restarts else 0, B, 1), dtype)
    steps = [Step(before[t], h[t + 1], u[t], a[:2, t], *a[:, t]) for t in range(T)]
    return Cache(h, a, u, before, keep, np.zeros((3, B, H), dtype), steps)


def equations(w: Weights, cache: Cache) -> Callable[..., None]:
    """The equations, bound to weights: a function of the views of one ``Step``, as in ``gru``."""
    zr_product, n_product = cache.scratch[:2], cache.scratch[2]
    multiply_all = multiplier(w.W_h, cache.scratch)

    def step(h_prev: Array, h: Array, u: Array, zr: Array, z: Array, r: Array, n: Array) -> None:
        multiply_all(h_prev)
        zr += zr_product
        sigmoid_(zr)  # (1) (2)
        np.add(n_product, w.b_u, out=u)  # (3)
        n += np.multiply(r, u, out=n_product)
        np.tanh(n, out=n)  # (4)
        np.subtract(n, h_prev, out=h)
        h *= z
        h += h_prev  # (5), as z * (n - h_{t-1}) + h_{t-1}

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
    """Go back through the window; write the gradients of ``W_h`` and ``b_u`` to ``dw``.

    As ``gru.backward``, with its arguments; here ``dh`` stays as it is.
    """
    dh_next = np.array(dstate, dtype=cache.h.dtype)  # (B, H), what comes back from step t+1
    dn, write = cache.scratch[:2]
    W_hzr_T, W_hn_T = w_T.W_h[:2], w_T.W_h[2]
    zr_product, n_product = cache.scratch[:2], cache.scratch[2]
    multiply_zr, multiply_n = multiplier(W_hzr_T, zr_product), multiplier(W_hn_T, n_product)
    steps = homeward(cache.steps, cache.keep, dh_next)
    for dh_t, (h_prev, _, u, zr, z, r, n) in zip(dh[::-1], steps, strict=True):
        dh_next += dh_t
        np.multiply(dh_next, z, out=dn)  # (5) dn = dh * z
        keep = np.subtract(1.0, z, out=z)
        dh_next *= keep  # route 1, direct: dh * (1 - z)
        np.subtract(n, h_prev, out=write)
        write *= dn
        z *= write  # (5) (1) dz~ = dh * (n - h_{t-1}) * z (1 - z)
        np.multiply(n, n, out=n)
        np.subtract(1.0, n, out=n)
        n *= dn  # (4) dn~ = dn * (1 - n^2)
        du = np.multiply(n, r, out=write)  # (4) du = dn~ * r
        np.subtract(1.0, r, out=r)
        r *= u
        r *= du  # (4) (2) dr~ = dn~ * u * r (1 - r)
        u[:] = du
        from_z, from_r, from_u = cache.scratch
        multiply_n(u)
        multiply_zr(zr)
        dh_next += from_u  # route 3, candidate: du W_hn^T
        dh_next += from_z  # route 2, update: dz~ W_hz^T
        dh_next += from_r  # route 4, reset: dr~ W_hr^T
    h_prev_rows = as_rows(cache.before)
    for dW, da in zip(dw.W_h, (cache.a[0], cache.a[1], cache.u), strict=True):
        np.matmul(h_prev_rows.T, as_rows(da), out=dW)
    np.sum(cache.u, axis=(0, 1), out=dw.b_u)
    return dh_next


# ---- the routes of the gradient, one by one: h_t to h_{t-1} ------------------------------------


def direct(_: Weights, s: Step, dh: Array) -> Array:
    """Through what h_t keeps of h_{t-1}: (5)."""
    return dh * (1 - s.z)


def update(w: Weights, s: Step, dh: Array) -> Array:
    """Through z_t: (5), then (1)."""
    return (dh * (s.n - s.h_prev) * s.z * (1 - s.z)) @ w.W_h[0].T


def candidate(w: Weights, s: Step, dh: Array) -> Array:
    """Through n_t and u_t: (5), (4), then (3)."""
    return (dh * s.z * (1 - s.n**2) * s.r) @ w.W_h[2].T


def reset(w: Weights, s: Step, dh: Array) -> Array:
    """Through n_t, then r_t: (5), (4), then (2)."""
    return (dh * s.z * (1 - s.n**2) * s.u * s.r * (1 - s.r)) @ w.W_h[1].T


ROUTES = (
    Route("direct", "h", "h", direct),
    Route("update", "h", "h", update),
    Route("candidate", "h", "h", candidate),
    Route("reset", "h", "h", reset),
)
