"""Products of a few rows with weights, in blocks of columns that need no packing.

A BLAS first copies the matrices that it multiplies into a layout of its own. A recurrent layer
multiplies the same weights at every step by as few rows as the batch has streams, so that the
copy of the weights takes up to half of the time. Where the processor has AVX-512, OpenBLAS leaves
it out for products of at most a million multiplications
(``kernel/x86_64/sgemm_small_kernel_permit_skylakex.c``). So a matrix (K, N) is cut into blocks of
n columns, (N/n, K, n), each of them contiguous and its product that small; NumPy runs over them
without a word of Python. It makes these products 1.2 to 1.7 times as fast
(``benchmarks/products.py``).
"""

import os
from typing import Any

import numpy as np

from grucli.nn.params import Array

NARROWEST = 16
"""Columns of the narrowest block: as many float32 as a register of AVX-512 holds."""

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


def block_width(rows: int, K: int, N: int) -> int:
    """How many columns of a matrix (K, N) to multiply at a time by so many rows; divides N.

    A single row is a product of another kind, which packs nothing.
    """
    fit = UNPACKED // (rows * K) if rows > 1 else 0
    widths = [n for n in range(NARROWEST, min(fit, N) + 1) if N % n == 0 and n % 4 == 0]
    return max(widths, key=lambda n: (n % 16 == 0, n), default=N)


def blocks(matrix: Array, n: int) -> Array:
    """A view of a matrix (..., K, N) as blocks of ``n`` columns, (..., N/n, K, n)."""
    cut = matrix.reshape(*matrix.shape[:-1], -1, n)
    view: Array = cut.swapaxes(-2, -3)
    return view


def multiply(x: Array, W: Array, out: Array | None = None) -> Array:
    """X (..., B, K) times W in blocks, (..., N/n, K, n): (..., B, N), in ``out`` if given."""
    if out is None:
        out = np.empty((*x.shape[:-1], W.shape[-3] * W.shape[-1]), x.dtype)
    np.matmul(x[..., None, :, :], W, out=blocks(out, W.shape[-1]))
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
