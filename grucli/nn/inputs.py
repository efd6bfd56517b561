"""What a cell reads: the projection a_t = x_t W_x + b of all steps of a window at once.

It is the same for every cell. A cell of G gates has W_x (G, D, H), and its arguments a (G, T, B, H)
start as the projection; its backward pass leaves their gradient in the same place.
"""

import numpy as np

from grucli.nn.params import Array, Ids, Input, as_rows
from grucli.nn.products import multiply

STEPS_AT_ONCE = 4
"""Steps multiplied at a time, so that what has to be added up stays in the cache."""


def project(W_x: Array, b: Array, x: Input, a: Array) -> None:
    """Input projection of all steps; ids (T, B) select rows of W_x.

    Args:
        W_x: input weights in blocks, (G, S, H/n, D/S, n); for ids in one, (G, 1, 1, D, H).
        b: biases, (G, H).
        x: ids (T, B), or numbers (T, B, D).
        a: overwritten, (G, T, B, H).
    """
    if x.ndim == 2:
        _select_rows(W_x[:, 0, 0], b, x, a)
        return
    for t in range(0, len(x), STEPS_AT_ONCE):
        a_some = a[:, t : t + STEPS_AT_ONCE]
        multiply(x[t : t + STEPS_AT_ONCE], W_x[:, None], out=a_some)
        a_some += b[:, None, None]


def _select_rows(W_x: Array, b: Array, ids: Ids, a: Array) -> None:
    """``a`` becomes the rows of ``W_x`` (G, D, H) that belong to ``ids``, plus ``b``.

    Ids must be below D: ``np.take`` clips them, since checking them would cost it a copy. It takes
    gate by gate: over all gates at once it copied the whole of ``a`` in every sixth window.
    """
    if ids.size > W_x.shape[1]:  # more steps than characters: a table pays
        for a_g, W_xg, b_g in zip(a, W_x, b, strict=True):
            np.take(W_xg + b_g, ids, axis=0, out=a_g, mode="clip")
        return
    np.take(W_x, ids, axis=1, out=a, mode="clip")
    a += b[:, None, None]


def project_backward(W_x_T: Array, x: Input, da: Array, dW_x: Array, dx: Array) -> None:
    """Write the gradient of ``W_x``, and that of a dense ``x``.

    Args:
        W_x_T: input weights, each matrix transposed, then in blocks, (G, S, D/n, H/S, n).
        x: what ``project`` read.
        da: gradient of its result, (G, T, B, H).
        dW_x: where the gradient of the weights goes, (G, D, H).
        dx: where that of a dense ``x`` goes, (T, B, D); for ids scratch, (T, B, H).
    """
    if x.ndim == 2:
        _sum_rows(dW_x, x.ravel(), da, as_rows(dx))
        return
    for dW_xg, da_g in zip(dW_x, da, strict=True):
        np.matmul(as_rows(x).T, as_rows(da_g), out=dW_xg)
    from_gates: Array = np.empty((len(da), STEPS_AT_ONCE, *dx.shape[1:]), dx.dtype)
    for t in range(0, len(x), STEPS_AT_ONCE):
        dx_some = dx[t : t + STEPS_AT_ONCE]
        parts = from_gates[:, : len(dx_some)]  # (G, STEPS_AT_ONCE, B, D)
        multiply(da[:, t : t + STEPS_AT_ONCE], W_x_T[:, None], out=parts)
        np.sum(parts, axis=0, out=dx_some)


def _sum_rows(dW_x: Array, ids: Ids, da: Array, scratch: Array) -> None:
    """``dW_x[:, v]`` is the sum of the rows of ``da`` where ``ids`` are v; ``scratch`` (T B, H).

    Rows are sorted by id; a product with ones sums those of one id faster than ``np.add.reduceat``
    or than a product with one-hot columns.
    """
    order = np.argsort(ids, kind="stable")
    present, starts = np.unique(ids[order], return_index=True)
    ends, ones = [*starts[1:], len(ids)], np.ones(len(ids), da.dtype)
    dW_x[:] = 0.0
    for dW_xg, da_g in zip(dW_x, da, strict=True):
        np.take(as_rows(da_g), order, axis=0, out=scratch, mode="clip")
        for v, start, end in zip(present, starts, ends, strict=True):
            np.matmul(ones[start:end], scratch[start:end], out=dW_xg[v])
