"""One GRU layer whose reset gate acts AFTER the matrix product, forward and backward by hand.

This is the form of cuDNN and ``torch.nn.GRU``. All recurrent products of a step are then one
product. Everything else is as in ``gru``:

    (1)  z_t = sigmoid(h_{t-1} W_hz + x_t W_xz + b_z)            update gate
    (2)  r_t = sigmoid(h_{t-1} W_hr + x_t W_xr + b_r)            reset gate
    (3)  u_t = h_{t-1} W_hn + b_u                                what the reset gate multiplies
    (4)  n_t = tanh(r_t * u_t + x_t W_xn + b_n)                  candidate
    (5)  h_t = (1 - z_t) * h_{t-1} + z_t * n_t
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from grucli.nn.cells.base import Cache, Cell, Route, recurrent_gradients
from grucli.nn.cells.gru import GRU
from grucli.nn.functional import sigmoid_
from grucli.nn.params import Array, Shapes
from grucli.nn.state_resets import backward_steps


class Weights(NamedTuple):
    """The parameters of one layer, or the gradients with respect to them."""

    W_x: Any  # (3, D, H)  W_xz, W_xr, W_xn
    W_h: Any  # (3, H, H)  W_hz, W_hr, W_hn
    b: Array  # (3, H)     b_z, b_r, b_n
    b_u: Array  # (H,)


class Step(NamedTuple):
    """The arrays of one step."""

    h_prev: Array  # (B, H)  h_{t-1}
    h: Array  # (B, H)
    u: Array  # (B, H)
    zr: Array  # (2, B, H)
    z: Array  # (B, H)
    r: Array  # (B, H)
    n: Array  # (B, H)


class GRUAfter(Cell):
    """The gated recurrent unit with the reset gate after the product."""

    GATES, BIAS = GRU.GATES, GRU.BIAS
    SAVED = ("u",)  # backward overwrites it with its gradient
    WEIGHTS = Weights

    def shapes(self, D: int, H: int) -> Shapes:
        """Shapes of the parameters: those of all cells, and b_u."""
        return {**super().shapes(D, H), "b_u": (H,)}

    def initialize(self, w: Weights, rng: np.random.Generator, active: int) -> None:
        """As all cells; ``b_u`` is zero."""
        super().initialize(w, rng, active)
        w.b_u[:] = 0.0

    def views(
        self, before: Iterable[Array], after: Iterable[Array], a: Array, saved: Iterable[Array]
    ) -> Step:
        return Step._make([*before, *after, *saved, a[:2], *a])

    def step(self, w: Weights, cache: Cache) -> Callable[..., None]:
        zr_product, n_product = cache.scratch[:2], cache.scratch[2]
        multiply_all = w.W_h.bind(cache.scratch)

        def step(
            h_prev: Array, h: Array, u: Array, zr: Array, z: Array, r: Array, n: Array
        ) -> None:
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

    def backward(self, w: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
        """The backward pass; new arrays overwrite old ones as in a GRU."""
        dh_next = np.array(dstate, dtype=cache.h.dtype)  # (B, H), gradient from step t+1
        dn, write = cache.scratch[:2]
        add_z, add_r, add_u = (W_T.bind_add(dh_next, dn) for W_T in w.W_h.T)
        steps = backward_steps(cache.steps, cache.reset_mask, dh_next)
        for dh_t, (h_prev, _, u, _, z, r, n) in zip(dh[::-1], steps, strict=True):
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
            add_u(u)  # route 3, candidate: dh + du W_hn^T
            add_z(z)  # route 2, update: dh + dz~ W_hz^T
            add_r(r)  # route 4, reset: dh + dr~ W_hr^T
        (h_prevs,), (du_all,) = cache.before, cache.saved
        products = (cache.a[0], cache.a[1], du_all)
        recurrent_gradients(w.W_h, dw.W_h, (h_prevs, h_prevs, h_prevs), products)
        np.sum(du_all, axis=(0, 1), out=dw.b_u)
        return dh_next

    # ---- the routes of the gradient, one by one: h_t to h_{t-1}; direct and update as in a GRU

    @staticmethod
    def candidate(w: Weights, s: Step, dh: Array) -> Array:
        """Through n_t and u_t: (5), (4), then (3)."""
        return (dh * s.z * (1 - s.n**2) * s.r) @ w.W_h[2].T

    @staticmethod
    def reset(w: Weights, s: Step, dh: Array) -> Array:
        """Through n_t, then r_t: (5), (4), then (2)."""
        return (dh * s.z * (1 - s.n**2) * s.u * s.r * (1 - s.r)) @ w.W_h[1].T

    ROUTES = (
        *GRU.ROUTES[:2],
        Route("candidate", "h", "h", candidate),
        Route("reset", "h", "h", reset),
    )
