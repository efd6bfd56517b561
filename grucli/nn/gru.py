"""One GRU layer over one window of text, forward and backward by hand.

One step, row vectors, * elementwise; z WRITES (z = 0 keeps the old state) and the reset gate
acts on h_{t-1} BEFORE the matrix product, as in Cho et al. 2014:

    (1)  z_t = sigmoid(h_{t-1} W_hz + x_t W_xz + b_z)            update gate
    (2)  r_t = sigmoid(h_{t-1} W_hr + x_t W_xr + b_r)            reset gate
    (3)  n_t = tanh((r_t * h_{t-1}) W_hn + x_t W_xn + b_n)       candidate
    (4)  h_t = (1 - z_t) * h_{t-1} + z_t * n_t

Every array has the gates z, r, n on its first axis, so that the block of one gate is contiguous:
``W_hz, W_hr, W_hn = W_h``. Only the recurrent products are inside the loop over time; the input
projection runs before it and the weight gradients after it, each as products over the window.
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

    W_x: Array  # (3, D, H)  W_xz, W_xr, W_xn
    W_h: Array  # (3, H, H)  W_hz, W_hr, W_hn
    b: Array  # (3, H)     b_z, b_r, b_n


class Cache(NamedTuple):
    """What the backward pass needs of a forward pass, and the room for its result.

    A cache serves one window at a time: the next forward pass overwrites it.
    """

    h: Array  # (T+1, B, H)   states; h[0] is the initial one, h[t+1] the one after step t
    a: Array  # (3, T, B, H)  input projection before the forward pass; z, r, n after it
    rh: Array  # (T, B, H)    r_t * h_{t-1}
    da: Array  # (3, T, B, H) gradient at the arguments of the sigmoids and the tanh

    def first(self, T: int) -> "Cache":
        """The same room, for a window of only ``T`` steps."""
        return Cache(self.h[: T + 1], self.a[:, :T], self.rh[:T], self.da[:, :T])


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
    for W in w.W_h:
        q, triangular = np.linalg.qr(rng.standard_normal(W.shape))
        W[:] = q * np.sign(np.diag(triangular))
    w.b[:] = np.array([[-1.0], [0.0], [0.0]])


def by_gate(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """The blocks of an array that belong to one gate each, named as in the equations."""
    for gate, block in zip(GATES, array, strict=True):
        yield f"{name}_{gate}" if name == "b" else f"{name}{gate}", block


def allocate(T: int, B: int, H: int, dtype: npt.DTypeLike) -> Cache:
    """Room for a window of up to ``T`` steps of ``B`` streams."""
    return Cache(
        h=np.zeros((T + 1, B, H), dtype),
        a=np.zeros((3, T, B, H), dtype),
        rh=np.zeros((T, B, H), dtype),
        da=np.zeros((3, T, B, H), dtype),
    )


def project(w: Weights, x: Input, cache: Cache) -> None:
    """Input projection a = x W_x + b of all steps; ids (T, B) select rows of W_x.

    Ids must be below D: ``np.take`` clips them, since checking them would cost it a copy.
    """
    if x.ndim == 2:
        for a, W_x, b in zip(cache.a, w.W_x, w.b, strict=True):
            np.take(W_x + b, x, axis=0, out=a, mode="clip")
    else:
        for a, W_x, b in zip(cache.a, w.W_x, w.b, strict=True):
            np.matmul(_rows(x), W_x, out=_rows(a))
            a += b


def forward(w: Weights, h0: Array, cache: Cache) -> None:
    """Run the layer from state ``h0`` (B, H) over the projection in ``cache.a``."""
    T, B, H = cache.rh.shape
    W_hzr, W_hn = w.W_h[:2], w.W_h[2]
    scratch = np.empty((2, B, H), cache.h.dtype)
    cache.h[0] = h0
    for t in range(T):
        h_prev, rh, zr = cache.h[t], cache.rh[t], cache.a[:2, t]
        z, r, n = cache.a[:, t]
        zr += np.matmul(h_prev, W_hzr, out=scratch)
        sigmoid_(zr)  # (1) (2)
        np.multiply(r, h_prev, out=rh)
        n += np.matmul(rh, W_hn, out=scratch[0])
        np.tanh(n, out=n)  # (3)
        change = np.subtract(n, h_prev, out=scratch[0])
        change *= z
        np.add(h_prev, change, out=cache.h[t + 1])  # (4), as h_{t-1} + z * (n - h_{t-1})


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
    T, B, H = cache.rh.shape
    W_T = w.W_h.transpose(0, 2, 1).copy()  # products with a transposed view take half as long again
    dh_next = np.array(dh_last, dtype=cache.h.dtype)  # (B, H), what comes back from step t+1
    drh, scratch = np.empty_like(dh_next), np.empty((2, B, H), cache.h.dtype)
    for t in reversed(range(T)):
        h_prev, (z, r, n), (da_z, da_r, da_n) = cache.h[t], cache.a[:, t], cache.da[:, t]
        dh_next += dh[t]
        dn = np.multiply(dh_next, z, out=scratch[0])  # (4) dn = dh * z
        np.multiply(n, n, out=da_n)
        np.subtract(1.0, da_n, out=da_n)
        da_n *= dn  # (3) dn~ = dn * (1 - n^2)
        np.matmul(da_n, W_T[2], out=drh)  # d(r h) = dn~ W_hn^T
        np.subtract(n, h_prev, out=da_z)
        da_z *= dn  # (4) dz z = dh * (n - h_{t-1}) * z
        keep = np.subtract(1.0, z, out=scratch[0])
        da_z *= keep  # (1) dz~ = dz * z (1 - z)
        dh_next *= keep  # route 1, direct: dh * (1 - z)
        drh *= r
        dh_next += drh  # route 3, candidate: d(r h) * r
        np.subtract(1.0, r, out=da_r)
        da_r *= h_prev
        da_r *= drh  # (2) dr~ = d(r h) * h_{t-1} * r (1 - r)
        from_z, from_r = np.matmul(cache.da[:2, t], W_T[:2], out=scratch)
        dh_next += from_z  # route 2, update: dz~ W_hz^T
        dh_next += from_r  # route 4, reset: dr~ W_hr^T
    h_prev_rows, rh_rows = _rows(cache.h[:-1]), _rows(cache.rh)
    for dW, da, rows in zip(dw.W_h, cache.da, (h_prev_rows, h_prev_rows, rh_rows), strict=True):
        dW += rows.T @ _rows(da)
    dw.b[:] += cache.da.sum(axis=(1, 2))
    return dh_next


def project_backward(w: Weights, x: Input, cache: Cache, dw: Weights, dx: Array) -> None:
    """Add the gradient of ``W_x`` to ``dw``; write that of a dense ``x`` to ``dx``."""
    if x.ndim == 2:
        _add_rows(dw.W_x, x.ravel(), cache.da)
        return
    dx_rows, scratch = _rows(dx), np.empty_like(_rows(dx))
    dx_rows[:] = 0.0
    for dW, W, da in zip(dw.W_x, w.W_x, cache.da, strict=True):
        dW += _rows(x).T @ _rows(da)
        dx_rows += np.matmul(_rows(da), W.T.copy(), out=scratch)


def _rows(a: Array) -> Array:
    """All steps and streams as rows of one matrix, without a copy."""
    return a.reshape(-1, a.shape[-1])


def _add_rows(dW_x: Array, ids: Ids, da: Array) -> None:
    """``dW_x[:, ids[i]] += da[:, i]`` for all steps and streams i, where ids repeat."""
    V = dW_x.shape[1]
    if V <= ONE_HOT_UP_TO:
        one_hot = np.zeros((V, len(ids)), da.dtype)  # (V, T B)
        one_hot[ids, np.arange(len(ids))] = 1.0
        for dW, gate in zip(dW_x, da, strict=True):
            dW += one_hot @ _rows(gate)
    else:
        order = np.argsort(ids, kind="stable")
        present, starts = np.unique(ids[order], return_index=True)
        for dW, gate in zip(dW_x, da, strict=True):
            dW[present] += np.add.reduceat(_rows(gate)[order], starts, axis=0)
