"""Products of a few rows with weights, in blocks of columns that need no packing.

A BLAS first copies the matrices that it multiplies into a layout of its own. A recurrent layer
multiplies the same weights at every step by as few rows as the batch has streams, so that the
copy of the weights takes up to half of the time. Where the processor has AVX-512, OpenBLAS leaves
it out for products of at most a million multiplications
(``kernel/x86_64/sgemm_small_kernel_permit_skylakex.c``). So a matrix (K, N) is cut into blocks of
n columns, (N/n, K, n), each of them contiguous, the rows into groups, and each product is that
small; NumPy runs over them without a word of Python, over all groups of rows before the next block.
It makes products of 32 rows with 256 units or more 1.3 to 1.6 times as fast
(``benchmarks/products.py``).

A single row, as sampling has it, needs no packing; its products are shared among threads
(``sizes_in_pairs``).
"""

import os
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from grucli.nn.params import Array
from grucli.threads import blas_threads

NARROWEST, WIDE = 16, 64
"""Columns of the narrowest block, as many float32 as a register of AVX-512 holds, and of one that
is as fast as can be."""

STRIP = 16
"""Columns of a transposed matrix that one product copies: more cost it more zeros to add up."""


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


CONFIG = np.show_config(mode="dicts") or {}
CORE = os.environ.get("OPENBLAS_CORETYPE", "")
UNPACKED = largest_unpacked(CONFIG, CORE)


def sizes_in_pairs(config: Any, core: str) -> range:
    """Sizes of matrices that several threads best multiply a row by as complex numbers.

    OpenBLAS, since 0.3.27, shares a matrix-vector product among threads from 460,800 real numbers
    on, but from 4,096 complex ones (``interface/gemv.c``, ``interface/zgemv.c``). In between,
    several threads with complex numbers are faster than one with real ones; by too little for
    small matrices, since threads are slow beside other work. Measured with AVX-512 alone
    (``benchmarks/pairs.py``).
    """
    blas = config.get("Build Dependencies", {}).get("blas", {})
    version = [int(number) for number in re.findall(r"\d+", str(blas.get("version", "")))]
    avx512 = largest_unpacked(config, core) > 0
    return range(2**18, 460_800) if avx512 and version >= [0, 3, 27] else range(0)


PAIRED = sizes_in_pairs(CONFIG, CORE)


def rows_at_once(rows: int, K: int, n: int) -> int:
    """In groups of how many rows a block (K, n) is best multiplied by so many; 0: no such groups.

    Groups are equal, and multiples of four rows unless there is but one.
    """
    return _largest_group(rows, UNPACKED // (K * n))


@cache
def _largest_group(rows: int, most: int) -> int:
    groups = [group for group in range(4, rows, 4) if rows % group == 0]
    return max((group for group in (*groups, rows) if group <= most), default=0)


def best_width(rows: int, K: int, N: int) -> int:
    """Columns n of the blocks of a matrix (K, N) that so many rows are multiplied by.

    A single row is a product of another kind, which packs nothing.
    """
    if rows == 1 or rows * K * N <= UNPACKED:
        return N
    widths = [
        n for n in range(NARROWEST, N) if N % n == 0 and n % 4 == 0 and rows_at_once(rows, K, n)
    ]
    return max(widths, key=lambda n: (n % 16 == 0, min(n, WIDE), -n), default=N)


def blocks(matrix: Array, n: int) -> Array:
    """A view of a matrix (..., K, N) as blocks of n columns, (..., N/n, K, n)."""
    *others, K, N = matrix.shape
    view: Array = matrix.reshape(*others, K, N // n, n).swapaxes(-2, -3)
    return view


def for_one_row(W: Array) -> Array:
    """A copy of matrices in one block, (G, 1, K, N), for products with a single row.

    Each column is contiguous, and all columns lie side by side, so that the products with all
    matrices are one.
    """
    columns: Array = W.swapaxes(-1, -2)
    copy: Array = np.empty(columns.shape, W.dtype)
    copy_transposed(columns, copy)
    return copy.swapaxes(-1, -2)


def copy_transposed(matrix: Array, out: Array) -> None:
    """Copy a finite matrix whose columns are contiguous, (..., M, N), to ``out``, whose rows are.

    In strips that are multiplied by the identity, which changes no value, and takes about half the
    time of an assignment: NumPy's loops would copy number by number.
    """
    whole = out.shape[-1] // STRIP * STRIP
    if whole:
        identity = np.eye(STRIP, dtype=matrix.dtype)
        np.matmul(blocks(matrix[..., :whole], STRIP), identity, out=blocks(out[..., :whole], STRIP))
    out[..., whole:] = matrix[..., whole:]


def multiplier(W: Array, out: Array) -> Callable[[Array], object]:
    """A function that writes x W to ``out``, for products that are made again and again.

    Args:
        W: a matrix in blocks, (..., N/n, K, n).
        out: overwritten at each call, (..., B, N).

    Returns:
        A function of x, (..., B, K).
    """
    *_, K, n = W.shape
    *others, B, N = out.shape
    if B == 1 and (columns := _columns_side_by_side(W, out)) is not None:
        multiply_row = _row_multiplier(columns, out.reshape(-1))
        return lambda x: (
            multiply_row(x[0])
            if x.ndim == 2  # the same row for all matrices
            else np.matmul(x, W[..., 0, :, :], out=out)
        )
    group = rows_at_once(B, K, n) or B
    if group == B:
        into = blocks(out, n)
        return lambda x: np.matmul(x[..., None, :, :], W, out=into)
    groups = B // group
    into = blocks(out.reshape(*others, groups, group, N), n).swapaxes(-4, -3)
    factor = W[..., None, :, :]  # (..., N/n, 1, K, n)
    return lambda x: np.matmul(x.reshape(*x.shape[:-2], 1, groups, group, K), factor, out=into)


def _row_multiplier(columns: Array, out: Array) -> Callable[[Array], object]:
    """A function of a row x, (K,), that writes its products with ``columns``, (N, K), to ``out``.

    Two numbers side by side can be taken for a complex one: a c + b d is the real part of
    (a + i b) (c - i d). That changes the result by rounding alone.
    """
    N, K = columns.shape
    if columns.size not in PAIRED or K % 2 or blas_threads() == 1:
        return lambda x: columns.dot(x, out)
    signs, conjugate = np.ones(K, columns.dtype), np.empty(K, columns.dtype)
    signs[1::2] = -1.0
    complex_type = np.result_type(columns, np.complex64)
    pairs, row = columns.view(complex_type), conjugate.view(complex_type)
    products = np.empty(N, complex_type)
    real = products.real

    def multiply_row(x: Array) -> None:
        np.multiply(x, signs, out=conjugate)
        pairs.dot(row, products)
        out[:] = real

    return multiply_row


def _columns_side_by_side(W: Array, out: Array) -> Array | None:
    """All columns of ``W``, (N, K), where it is a ``for_one_row`` that fills ``out``."""
    columns: Array = W.swapaxes(-1, -2)
    if out.size * W.shape[-2] == W.size and columns.flags.c_contiguous and out.flags.c_contiguous:
        return columns.reshape(-1, W.shape[-2])
    return None


def multiply(x: Array, W: Array, out: Array | None = None) -> Array:
    """X (..., B, K) times W in blocks, (..., N/n, K, n): (..., B, N), in ``out`` if given."""
    if out is None:
        out = np.empty((*x.shape[:-1], W.shape[-3] * W.shape[-1]), x.dtype)
    multiplier(W, out)(x)
    return out
