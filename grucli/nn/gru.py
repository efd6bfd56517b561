"""One GRU layer over one window of text, forward and backward by hand.

One step, row vectors, * elementwise; z WRITES (z = 0 keeps the old state) and the reset gate
acts on h_{t-1} BEFORE the matrix product, as in Cho et al. 2014:

    (1)  z_t = sigmoid(h_{t-1} W_hz + x_t W_xz + b_z)            update gate
    (2)  r_t = sigmoid(h_{t-1} W_hr + x_t W_xr + b_r)            reset gate
    (3)  n_t = tanh((r_t * h_{t-1}) W_hn + x_t W_xn + b_n)       candidate
    (4)  h_t = (1 - z_t) * h_{t-1} + z_t * n_t

Gates are stored side by side in the order z | r | n: ``W_x`` is [W_xz W_xr W_xn], ``W_h`` is
[W_hz W_hr W_hn], ``b`` is [b_z b_r b_n]. z and r share one product and one sigmoid. Only the
recurrent products are inside the loop over time; the input projection runs before it and the
weight gradients after it, each as one product over the whole window.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.nn.functional import sigmoid_
from grucli.nn.params import Array, Ids, Input, Shapes

GATES = ("z", "r", "n")

ONE_HOT_UP_TO = 256
"""Vocabulary up to which a product with one-hot columns sums rows faster than sorting them."""


class Weights(NamedTuple):
    """The parameters of one layer, or the gradients with respect to them."""

    W_x: Array  # (D, 3H)
    W_h: Array  # (H, 3H)
    b: Array  # (3H,)


class Cache(NamedTuple):
    """What the backward pass needs of a forward pass, and the room for its result.

    A cache serves one window at a time: the next forward pass overwrites it.
    """

    h: Array  # (T+1, B, H)  states; h[0] is the initial one, h[t+1] the one after step t
    a: Array  # (T, B, 3H)   input projection before the forward pass, z | r | n after it
    rh: Array  # (T, B, H)   r_t * h_{t-1}
    da: Array  # (T, B, 3H)  gradient at the arguments of the sigmoids and the tanh

    def first(self, T: int) -> "Cache":
        """The same room, for a window of only ``T`` steps."""
        return Cache(self.h[: T + 1], self.a[:T], self.rh[:T], self.da[:T])


def shapes(D: int, H: int) -> Shapes:
    """Shapes of the parameters of a layer of ``H`` units that reads ``D`` inputs."""
    return {"W_x": (D, 3 * H), "W_h": (H, 3 * H), "b": (3 * H,)}


def initialize(w: Weights, rng: np.random.Generator, active: int) -> None:
    """Normal input weights, orthogonal recurrent ones, update-gate bias -1.

    Input weights have variance 1/active, so that x W_x has about the variance of x. The bias makes
    z about 0.27, so that an untrained layer keeps most of its state.

    Args:
        w: the layer's parameters, overwritten.
        rng: where they come from.
        active: inputs that are not zero at a time: 1 if x is one-hot, D if it is dense.
    """
    H = len(w.W_h)
    w.W_x[:] = rng.standard_normal(w.W_x.shape) / np.sqrt(active)
    for gate in range(3):
        q, triangular = np.linalg.qr(rng.standard_normal((H, H)))
        w.W_h[:, gate * H : (gate + 1) * H] = q * np.sign(np.diag(triangular))
    w.b[:] = 0.0
    w.b[:H] = -1.0


def by_gate(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """The blocks of an array that belong to one gate each, named as in the equations."""
    for gate, block in zip(GATES, np.split(array, len(GATES), axis=-1), strict=True):
        yield f"{name}_{gate}" if name == "b" else f"{name}{gate}", block


def allocate(T: int, B: int, H: int, dtype: npt.DTypeLike) -> Cache:
    """Room for a window of up to ``T`` steps of ``B`` streams."""
    return Cache(
        h=np.zeros((T + 1, B, H), dtype),
        a=np.zeros((T, B, 3 * H), dtype),
        rh=np.zeros((T, B, H), dtype),
        da=np.zeros((T, B, 3 * H), dtype),
    )


def project(w: Weights, x: Input, cache: Cache) -> None:
    """Input projection a = x W_x + b of all steps; ids (T, B) select rows of W_x."""
    if x.ndim == 2:
        np.take(w.W_x + w.b, x, axis=0, out=cache.a, mode="clip")
    else:
        np.matmul(_rows(x), w.W_x, out=_rows(cache.a))
        cache.a[:] += w.b


def forward(w: Weights, h0: Array, cache: Cache) -> None:
    """Run the layer from state ``h0`` (B, H) over the projection in ``cache.a``."""
    T, _, H = cache.rh.shape
    W_hg, W_hn = w.W_h[:, : 2 * H], w.W_h[:, 2 * H :]  # g: both gates, z | r
    scratch_g = np.empty_like(cache.a[0, :, : 2 * H])
    scratch_n = np.empty_like(h0, dtype=cache.h.dtype)
    cache.h[0] = h0
    for t in range(T):
        h_prev, a, rh = cache.h[t], cache.a[t], cache.rh[t]
        g, z, r, n = a[:, : 2 * H], a[:, :H], a[:, H : 2 * H], a[:, 2 * H :]
        g += np.matmul(h_prev, W_hg, out=scratch_g)
        sigmoid_(g)  # (1) (2)
        np.multiply(r, h_prev, out=rh)
        n += np.matmul(rh, W_hn, out=scratch_n)
        np.tanh(n, out=n)  # (3)
        np.subtract(n, h_prev, out=scratch_n)
        scratch_n *= z
        np.add(h_prev, scratch_n, out=cache.h[t + 1])  # (4), as h_{t-1} + z * (n - h_{t-1})


def backward(w: Weights, dh: Array, dh_last: Array, cache: Cache, dw: Weights) -> Array:
    """Go back through the window; add the gradients of ``W_h`` and ``b`` to ``dw``.

    Args:
        w: the layer's parameters.
        dh: gradient that each state receives from above, (T, B, H).
        dh_last: gradient that the last state receives from the next window, (B, H).
        cache: what the forward pass left; ``cache.da`` is filled for ``project_backward``.
        dw: where gradients accumulate.

    Returns:
        The gradient of the initial state, (B, H).
    """
    T, _, H = cache.rh.shape
    W_hg_T, W_hn_T = w.W_h[:, : 2 * H].T, w.W_h[:, 2 * H :].T
    dh_next = np.array(dh_last, dtype=cache.h.dtype)  # (B, H), what comes back from step t+1
    drh, scratch = np.empty_like(dh_next), np.empty_like(dh_next)
    for t in reversed(range(T)):
        h_prev, a, da = cache.h[t], cache.a[t], cache.da[t]
        z, r, n = a[:, :H], a[:, H : 2 * H], a[:, 2 * H :]
        da_z, da_r, da_n = da[:, :H], da[:, H : 2 * H], da[:, 2 * H :]
        dh_next += dh[t]
        np.multiply(dh_next, z, out=scratch)  # (4) dn = dh * z
        np.multiply(n, n, out=da_n)
        np.subtract(1.0, da_n, out=da_n)
        da_n *= scratch  # (3) dn~ = dn * (1 - n^2)
        np.matmul(da_n, W_hn_T, out=drh)  # d(r h) = dn~ W_hn^T
        np.subtract(n, h_prev, out=da_z)
        da_z *= scratch  # (4) dz z = dh * (n - h_{t-1}) * z
        np.subtract(1.0, z, out=scratch)
        da_z *= scratch  # (1) dz~ = dz * z (1 - z)
        dh_next *= scratch  # route 1, direct: dh * (1 - z)
        drh *= r  # d(r h) * r
        dh_next += drh  # route 3, candidate
        np.subtract(1.0, r, out=da_r)
        da_r *= h_prev
        da_r *= drh  # (2) dr~ = d(r h) * h_{t-1} * r (1 - r)
        dh_next += np.matmul(da[:, : 2 * H], W_hg_T, out=scratch)  # routes 2, update; 4, reset
    da = _rows(cache.da)
    dw.W_h[:, : 2 * H] += _rows(cache.h[:-1]).T @ da[:, : 2 * H]
    dw.W_h[:, 2 * H :] += _rows(cache.rh).T @ da[:, 2 * H :]
    dw.b[:] += da.sum(axis=0)
    return dh_next


def project_backward(w: Weights, x: Input, cache: Cache, dw: Weights, dx: Array) -> None:
    """Add the gradient of ``W_x`` to ``dw``; write that of a dense ``x`` to ``dx``."""
    da = _rows(cache.da)
    if x.ndim == 2:
        _add_rows(dw.W_x, x.ravel(), da)
    else:
        dw.W_x[:] += _rows(x).T @ da
        np.matmul(da, w.W_x.T, out=_rows(dx))


def _rows(a: Array) -> Array:
    """All steps and streams as rows of one matrix, without a copy."""
    return a.reshape(-1, a.shape[-1])


def _add_rows(total: Array, ids: Ids, rows: Array) -> None:
    """``total[ids[i]] += rows[i]`` for all i, where ids repeat."""
    if len(total) <= ONE_HOT_UP_TO:
        one_hot = np.zeros((len(total), len(ids)), rows.dtype)  # (V, T B)
        one_hot[ids, np.arange(len(ids))] = 1.0
        total += one_hot @ rows
    else:
        order = np.argsort(ids, kind="stable")
        present, starts = np.unique(ids[order], return_index=True)
        total[present] += np.add.reduceat(rows[order], starts, axis=0)
