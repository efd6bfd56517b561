"""What a cell reads: the projection a_t = x_t W_x + b of all steps of a window at once.

It is the same for every cell. A cell of G gates has W_x (G, D, H), and its arguments a (G, T, B, H)
start as the projection; its backward pass leaves their gradient in the same place.
"""

import numpy as np

from grucli.nn.params import Array, Ids, Input, as_rows

STEPS_AT_ONCE = 8
"""Steps whose input gradients are computed at a time, so that their parts stay in the cache."""


def project(W_x: Array, b: Array, x: Input, a: Array) -> None:
    """Input projection of all steps; ids (T, B) select rows of W_x.

    Ids must be below D: ``np.take`` clips them, since checking them would cost it a copy. It takes
    gate by gate: over all gates at once it copied the whole of ``a`` in every sixth window.

    Args:
        W_x: input weights, (G, D, H).
        b: biases, (G, H).
        x: ids (T, B), or numbers (T, B, D).
        a: overwritten, (G, T, B, H).
    """
    if x.ndim == 2 and x.size > W_x.shape[1]:  # more steps than characters: a table pays
        for a_g, W_xg, b_g in zip(a, W_x, b, strict=True):
            np.take(W_xg + b_g, x, axis=0, out=a_g, mode="clip")
        return
    if x.ndim == 2:
        np.take(W_x, x, axis=1, out=a, mode="clip")
    else:
        for a_g, W_xg in zip(a, W_x, strict=True):
            np.matmul(as_rows(x), W_xg, out=as_rows(a_g))
    a += b[:, None, None]


def project_backward(W_x_T: Array, x: Input, da: Array, dW_x: Array, dx: Array) -> None:
    """Write the gradient of ``W_x``, and that of a dense ``x``.

    Args:
        W_x_T: input weights, each matrix transposed, (G, H, D).
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
    for t in range(0, len(x), STEPS_AT_ONCE):
        steps = slice(t, t + STEPS_AT_ONCE)
        parts = (as_rows(da_g[steps]) @ W_xg_T for da_g, W_xg_T in zip(da, W_x_T, strict=True))
        as_rows(dx[steps])[:] = sum(parts)


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
