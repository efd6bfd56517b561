"""Products of a few rows with weights, in blocks of columns that need no packing.

A BLAS first copies the matrices that it multiplies into a layout of its own. A recurrent layer
multiplies the same weights at every step by as few rows as the batch has streams, so that the
copy of the weights takes up to half of the time. Where the processor has AVX-512, OpenBLAS leaves
it out for products of at most a million multiplications
(``kernel/x86_64/sgemm_small_kernel_permit_skylakex.c``). So a matrix (K, N) is cut into blocks of
n columns, (N/n, K, n), each of them contiguous and its product that small; NumPy runs over them
without a word of Python. Where they would be too narrow, the K rows are first cut into S parts,
(S, N/n, K/S, n), whose products add up. It makes products of 32 rows with 256 units or more
1.3 to 1.7 times as fast (``benchmarks/products.py``).
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from grucli.nn.params import Array

NARROWEST, WIDE = 16, 32
"""Columns of the narrowest block, as many float32 as a register of AVX-512 holds, and of one that
is as fast as can be."""

ROWS_COPIED = 16
"""Rows of a matrix copied at a time where its columns are to be contiguous."""

FEWEST_ROWS, MOST_ROWS = 8, 64
"""Rows multiplied at a time where it is the rows that are cut: fewer do not pay."""


def largest_unpacked(config: Any, core: str) -> int:
    """Multiplications of the largest product that the library does without packing, or 0.

    Args:
        config: ``np.show_config(mode="dicts")``.
        core: the processor that OpenBLAS was told to take this one for, or "".
    """
    built, processor = config.get("Build Dependencies", {}), config.get("SIMD Extensions", {})
    library, has = str(built.get("blas", "")), str(processor.get("found", ""))
    avx512 = "AVX512_SKX" in has or "X86_V4" in has  # what NumPy calls it, before 2.4 and since
    told = core.lower() in ("", "skylakex", "cooperlake", "sapphirerapids")
    return 10**6 if "openblas" in library and avx512 and told else 0


UNPACKED = largest_unpacked(
    np.show_config(mode="dicts") or {}, os.environ.get("OPENBLAS_CORETYPE", "")
)


class Cut(NamedTuple):
    """How a matrix (K, N) is cut: into ``parts`` of its rows, and those into columns."""

    parts: int  # S, divides K
    width: int  # n, divides N


def best_cut(rows: int, K: int, N: int) -> Cut:
    """How to cut a matrix (K, N) that so many rows are multiplied by.

    Rows of the matrix are cut only where blocks would be too narrow otherwise, since the products
    of the parts have to be added. A single row is a product of another kind, which packs nothing.
    """
    cuts = [
        Cut(parts, width)
        for parts in (1, 2, 4)
        if rows > 1 and K % parts == 0
        for width in range(NARROWEST, N + 1)
        if N % width == 0 and width % 4 == 0 and rows * width * K // parts <= UNPACKED
    ]
    wide = [cut for cut in cuts if cut.width >= min(WIDE, N)]
    best = [cut for cut in wide or cuts if cut.parts == (wide or cuts)[0].parts]
    return max(best, key=lambda cut: (cut.width % 16 == 0, cut.width), default=Cut(1, N))


def blocks(matrix: Array, cut: Cut) -> Array:
    """A view of a matrix (..., K, N) as blocks, (..., S, N/n, K/S, n)."""
    *others, K, N = matrix.shape
    S, n = cut
    view: Array = matrix.reshape(*others, S, K // S, N // n, n).swapaxes(-2, -3)
    return view


def for_one_row(W: Array) -> Array:
    """A copy of matrices in one block, (G, 1, 1, K, N), for products with a single row.

    Each column is contiguous, and all columns lie side by side, so that the products with all
    matrices are one.
    """
    columns: Array = np.empty(W.swapaxes(-1, -2).shape, W.dtype)
    copy: Array = columns.swapaxes(-1, -2)
    for k in range(0, W.shape[-2], ROWS_COPIED):  # some at a time, for the cache's sake
        copy[..., k : k + ROWS_COPIED, :] = W[..., k : k + ROWS_COPIED, :]
    return copy


def multiplier(W: Array, out: Array) -> Callable[[Array], object]:
    """A function that writes x W to ``out``, for products that are made again and again.

    Args:
        W: a matrix in blocks, (..., S, N/n, K/S, n).
        out: overwritten at each call, (..., B, N).

    Returns:
        A function of x, (..., B, K).
    """
    *_, S, _, k, n = W.shape
    if out.shape[-2] == 1 and (columns := _columns_side_by_side(W, out)) is not None:
        numbers = out.reshape(-1)
        return lambda x: (
            columns.dot(x[0], numbers)
            if x.ndim == 2  # the same row for all matrices
            else np.matmul(x, W[..., 0, 0, :, :], out=out)
        )
    if S == 1:
        whole, into = W[..., 0, :, :, :], blocks(out, Cut(1, n))[..., 0, :, :, :]
        return lambda x: np.matmul(x[..., None, :, :], whole, out=into)
    *others, B, N = out.shape
    products: Array = np.empty((*others, S, B, N), out.dtype)
    into = blocks(products, Cut(1, n))[..., 0, :, :, :]

    def multiply_parts(x: Array) -> None:
        x_parts = x.reshape(*x.shape[:-1], S, k).swapaxes(-2, -3)  # (..., S, B, K/S)
        np.matmul(x_parts[..., None, :, :], W, out=into)
        np.add.reduce(products, axis=-3, out=out)

    return multiply_parts


def _columns_side_by_side(W: Array, out: Array) -> Array | None:
    """All columns of ``W``, (N, K), where it is a ``for_one_row`` that fills ``out``."""
    columns: Array = W.swapaxes(-1, -2)
    if out.size * W.shape[-2] == W.size and columns.flags.c_contiguous and out.flags.c_contiguous:
        return columns.reshape(-1, W.shape[-2])
    return None


def multiply(x: Array, W: Array, out: Array | None = None) -> Array:
    """X (..., B, K) times W in blocks, (..., S, N/n, K/S, n): (..., B, N), in ``out`` if given."""
    if out is None:
        out = np.empty((*x.shape[:-1], W.shape[-3] * W.shape[-1]), x.dtype)
    multiplier(W, out)(x)
    return out


def multiply_rows(x: Array, W: Array, out: Array | None = None) -> Array:
    """X (M, K) times W (K, N) as it lies, some rows at a time: (M, N), in ``out`` if given."""
    if out is None:
        out = np.empty((len(x), W.shape[1]), x.dtype)
    fit = UNPACKED // W.size
    rows = min(MOST_ROWS, 2 ** (fit.bit_length() - 1), len(x)) if fit else 0
    if rows < FEWEST_ROWS:
        return np.matmul(x, W, out=out)
    M, (K, N) = len(x), W.shape
    whole = M - M % rows
    np.matmul(x[:whole].reshape(-1, rows, K), W, out=out[:whole].reshape(-1, rows, N))
    if whole < M:
        np.matmul(x[whole:], W, out=out[whole:])
    return out
