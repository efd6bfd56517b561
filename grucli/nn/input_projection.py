"""The input projection a_t = x_t W_x + b of all steps of a window.

It is the same for every cell. A cell with G gates has W_x (G, D, H). The projection is written to
the cell's a (G, T, B, H), and the backward pass of the cell overwrites it with its gradient.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np

from grucli.nn.matmul import Matrix
from grucli.nn.params import Array, Ids, Input, as_rows, chunks

STEPS_AT_ONCE = 8  # multiplied together: their results stay in the processor's cache
SORTED_AT_ONCE = 2**17  # numbers sorted by character, so that they stay in the cache


def project(W_x: Matrix, b: Array, x: Array, a: Array) -> None:
    """Compute the input projection ``a`` (G, T, B, H) of numbers ``x`` (T, B, D)."""
    for some in chunks(len(x), STEPS_AT_ONCE):
        a_rows = _rows(a[:, some])  # (G, STEPS_AT_ONCE B, H)
        W_x.multiply(as_rows(x[some]), a_rows)
        a_rows += b[:, None]


def select_rows(W_x: Array, b: Array, ids: Ids, a: Array) -> None:
    """Compute the input projection ``a`` of ids (T, B): rows of ``W_x`` (G, D, H), plus ``b``.

    Ids must be below D: ``np.take`` clips them, since it would need a copy to check them. A table
    is read gate by gate, since one call for all gates sometimes copied the whole of ``a``.
    """
    if ids.size > W_x.shape[1]:  # there are more steps than characters: a table is faster
        for a_g, W_xg, b_g in zip(a, W_x, b, strict=True):
            np.take(W_xg + b_g, ids, axis=0, out=a_g, mode="clip")
        return
    np.take(W_x, ids, axis=1, out=a, mode="clip")
    a += b[:, None, None]


def sum_rows(dW_x: Array, ids: Ids, da: Array) -> None:
    """Write to ``dW_x[:, v]`` the sum of the rows of ``da`` where ``ids`` are v.

    The rows are sorted by id, for a few ids at a time. The rows of one id are summed by a product
    with ones, which is faster than ``np.add.reduceat`` and than a product with one-hot columns.
    """
    order = np.argsort(ids, kind="stable")
    counts, ones = np.bincount(ids), np.ones(len(ids), da.dtype)
    ends, present = counts.cumsum(), np.flatnonzero(counts).tolist()
    spans = [(v, int(ends[v] - counts[v]), int(ends[v])) for v in present]  # of each id in order
    few_rows = -(-SORTED_AT_ONCE // da.shape[-1])
    groups = [list(few) for _, few in groupby(spans, lambda span: span[1] // few_rows)]
    dW_x[:] = 0.0
    for dW_xg, da_g in zip(dW_x, da, strict=True):
        for few in groups:
            lo, hi = few[0][1], few[-1][2]
            rows = np.take(as_rows(da_g), order[lo:hi], axis=0)
            for v, start, end in few:
                np.matmul(ones[start:end], rows[start - lo : end - lo], out=dW_xg[v])


def project_backward(
    W_x: Matrix, x: Input, da: Array, dw: Any, dx: Array, sum_: Callable[..., None] = sum_rows
) -> None:
    """Compute the gradients of ``W_x``, ``b`` and a dense ``x``, from ``da`` (G, T, B, H)."""
    if x.ndim == 2:
        sum_(dw.W_x, x.ravel(), da)
        np.sum(dw.W_x, axis=1, out=dw.b)  # the gradient of each step is in exactly one row
        return
    np.sum(da, axis=(1, 2), out=dw.b)
    for W_xg, dW_xg, da_g in zip(W_x, dw.W_x, da, strict=True):
        W_xg.gradient(as_rows(x), as_rows(da_g), dW_xg)
    _, B, D = dx.shape
    from_gates: Array = np.empty((len(da), STEPS_AT_ONCE * B, D), dx.dtype)
    for some in chunks(len(x), STEPS_AT_ONCE):
        dx_rows = as_rows(dx[some])  # (STEPS_AT_ONCE B, D)
        parts = from_gates[:, : len(dx_rows)]
        W_x.T.multiply(_rows(da[:, some]), parts)
        np.sum(parts, axis=0, out=dx_rows)


def _rows(a: Array) -> Array:
    """A view (G, T B, H): the rows of each gate are all streams of all steps."""
    return a.reshape(len(a), -1, a.shape[-1])
