"""One GRU layer over one window of text, forward and backward by hand.

States are row vectors, and * is elementwise. z WRITES (z = 0 keeps the old state). The reset gate
acts on h_{t-1} BEFORE the matrix product, as in Cho et al. 2014:

    (1)  z_t = sigmoid(h_{t-1} W_hz + x_t W_xz + b_z)            update gate
    (2)  r_t = sigmoid(h_{t-1} W_hr + x_t W_xr + b_r)            reset gate
    (3)  n_t = tanh((r_t * h_{t-1}) W_hn + x_t W_xn + b_n)       candidate
    (4)  h_t = (1 - z_t) * h_{t-1} + z_t * n_t

Every array has the gates z, r, n on its first axis, so that the part of one gate is contiguous:
``W_hz, W_hr, W_hn = W_h``. The loop over time contains only the recurrent products. The input
projection is computed before it and the gradients of the weights after it, for many steps at once.
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
    h: Array  # (B, H)
    zr: Array  # (2, B, H)
    z: Array  # (B, H)
    r: Array  # (B, H)
    n: Array  # (B, H)


class GRU(Cell):
    """The gated recurrent unit with the reset gate before the product."""

    GATES = ("z", "r", "n")
    BIAS = (-1.0, 0.0, 0.0)  # z is about 0.27: an untrained layer keeps most of its state

    def views(
        self, before: Iterable[Array], after: Iterable[Array], a: Array, saved: Iterable[Array]
    ) -> Step:
        return Step._make([*before, *after, a[:2], *a])

    def step(self, w: Weights, cache: Cache) -> Callable[..., None]:
        scratch = cache.scratch[:2]
        rh, product = scratch
        multiply_zr, multiply_n = w.W_h[:2].bind(scratch), w.W_h[2].bind(product)

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

    def backward(self, w: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
        """The backward pass.

        New arrays overwrite arrays that are no longer needed, which halves the memory and its
        traffic: dz~, dr~, dn~ overwrite z, r, n in ``cache.a``, and r_t * h_{t-1} overwrites dh_t.
        """
        dh_next = np.array(dstate, dtype=cache.h.dtype)  # (B, H), gradient from step t+1
        first, second, _ = cache.scratch
        W_hz_T, W_hr_T, W_hn_T = w.W_h.T
        multiply_n = W_hn_T.bind(first)
        add_z, add_r = (W_T.bind_add(dh_next, first) for W_T in (W_hz_T, W_hr_T))
        steps = backward_steps(cache.steps, cache.reset_mask, dh_next)
        for buffer, (h_prev, _, _, z, r, n) in zip(dh[::-1], steps, strict=True):
            dh_next += buffer  # dh_t, from above
            np.multiply(r, h_prev, out=buffer)  # r h, saved for the gradient of W_hn
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
            add_z(z)  # route 2, update: dh + dz~ W_hz^T
            add_r(r)  # route 4, reset: dh + dr~ W_hr^T
        (h_prevs,) = cache.before
        before = h_prevs, h_prevs, dh  # dh holds r_t * h_{t-1} now
        recurrent_gradients(w.W_h, dw.W_h, before, cache.a)
        return dh_next

    # ---- the routes of the gradient, one by one: h_t to h_{t-1}

    @staticmethod
    def direct(_: Weights, s: Step, dh: Array) -> Array:
        """Through (1 - z_t) * h_{t-1}: (4)."""
        return dh * (1 - s.z)

    @staticmethod
    def update(w: Weights, s: Step, dh: Array) -> Array:
        """Through z_t: (4), then (1)."""
        return (dh * (s.n - s.h_prev) * s.z * (1 - s.z)) @ w.W_h[0].T

    @staticmethod
    def candidate(w: Weights, s: Step, dh: Array) -> Array:
        """Through n_t, directly: (4), then (3)."""
        drh = (dh * s.z * (1 - s.n**2)) @ w.W_h[2].T
        return drh * s.r

    @staticmethod
    def reset(w: Weights, s: Step, dh: Array) -> Array:
        """Through n_t, then r_t: (4), (3), then (2)."""
        drh = (dh * s.z * (1 - s.n**2)) @ w.W_h[2].T
        return (drh * s.h_prev * s.r * (1 - s.r)) @ w.W_h[1].T

    ROUTES = (
        Route("direct", "h", "h", direct),
        Route("update", "h", "h", update),
        Route("candidate", "h", "h", candidate),
        Route("reset", "h", "h", reset),
    )
