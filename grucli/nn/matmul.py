"""Matrix products of a few rows with weights, in blocks of columns that need no packing.

A BLAS packs the matrices before it multiplies them: it copies them into a layout of its own. A
recurrent layer multiplies the same weights at every step by only as many rows as the batch has
streams. Packing the weights then takes up to half of the time. On processors with AVX-512, OpenBLAS
does not pack for products of at most a million multiplications
(``kernel/x86_64/sgemm_small_kernel_permit_skylakex.c``). So a matrix (K, N) is split into
contiguous blocks of n columns, (N/n, K, n), and the rows are split into groups, so that each
product is that small. One call of NumPy computes them all, block by block. Products of 32 rows with
256 units or more are then 1.3 to 1.6 times as fast (``benchmarks/products.py``).

The product with a single row, as in sampling, needs no packing. It can be shared among threads
(``sizes_in_pairs``).
"""

import os
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from grucli.nn.functional import sigmoid_, tanh_
from grucli.nn.onednn.library import Activation
from grucli.nn.onednn.packed_matrices import PackedMatrices
from grucli.nn.onednn.products import transposed_product
from grucli.nn.params import Array

NARROWEST, WIDE = 16, 64
"""Columns of the narrowest block, which fill a register of AVX-512, and columns from which a wider
block is not faster."""

SHARED, GROUPED = 2**18, 16
"""Numbers from which a BLAS shares a matrix among threads in the product with a single row; and
columns of it that 1, 2 or 4 threads divide into whole groups of the four computed at a time."""

ACTIVATIONS: dict[Activation, Callable[[Array], object]] = {"sigmoid": sigmoid_, "tanh": tanh_}
"""The functions that ``activated_sum`` can apply."""

STRIP = 16
"""Columns of a transposed matrix that one product copies; more columns add up more zeros."""


def largest_unpacked(config: Any, core: str) -> int:
    """Multiplications of the largest product for which the library does not pack, or 0.

    Args:
        config: ``np.show_config(mode="dicts")``.
        core: value of OPENBLAS_CORETYPE, the processor that OpenBLAS shall assume, or "".
    """
    built, processor = config.get("Build Dependencies", {}), config.get("SIMD Extensions", {})
    library, has = str(built.get("blas", "")), str(processor.get("found", ""))
    avx512 = "AVX512_SKX" in has or "X86_V4" in has  # the names before NumPy 2.4, and since then
    told = core.lower() in ("", "skylakex", "cooperlake", "sapphirerapids")
    return 10**6 if "openblas" in library and avx512 and told else 0


CONFIG = np.show_config(mode="dicts") or {}
CORE = os.environ.get("OPENBLAS_CORETYPE", "")
UNPACKED = largest_unpacked(CONFIG, CORE)


def sizes_in_pairs(config: Any, core: str) -> range:
    """Sizes of matrices that are read as complex numbers for the product with a single row.

    Since 0.3.27, OpenBLAS shares a matrix-vector product among threads if the matrix has at least
    460,800 real numbers, or 4,096 complex numbers (``interface/gemv.c``, ``interface/zgemv.c``).
    Between these sizes, several threads with complex numbers are faster than one thread with real
    numbers. One thread takes 1.1 times as long with complex numbers, but a sample must not depend
    on the number of threads. For small matrices the gain is too small, because threads are slow
    beside other work. This was measured only on processors with AVX-512 (``benchmarks/pairs.py``).
    """
    blas = config.get("Build Dependencies", {}).get("blas", {})
    version = [int(number) for number in re.findall(r"\d+", str(blas.get("version", "")))]
    avx512 = largest_unpacked(config, core) > 0
    return range(2**18, 460_800) if avx512 and version >= [0, 3, 27] else range(0)


PAIRED = sizes_in_pairs(CONFIG, CORE)


def rows_at_once(rows: int, K: int, n: int) -> int:
    """Size of row groups that avoids packing of a block (K, n); 0 if there is none.

    All groups have the same size. It is a multiple of four unless there is only one group.
    """
    return _largest_group(rows, UNPACKED // (K * n))


@cache
def _largest_group(rows: int, most: int) -> int:
    groups = [group for group in range(4, rows, 4) if rows % group == 0]
    return max((group for group in (*groups, rows) if group <= most), default=0)


def best_width(rows: int, K: int, N: int) -> int:
    """Columns n of the blocks of a matrix (K, N) for products with ``rows`` rows.

    A single row needs no blocks: the BLAS does not pack for its product.
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


class OneRowWeights:
    """A copy of matrices in one block, (G, 1, K, N), for products with a single row.

    The columns are contiguous and follow each other, so that one product can use all matrices.

    Attributes:
        columns: the matrices, transposed, (G, N, K), or (N, K) for one of them.
    """

    def __init__(self, columns: Array) -> None:
        self.columns = columns

    def __getitem__(self, gates: int | slice) -> "OneRowWeights":
        return OneRowWeights(self.columns[gates])


def for_one_row(W: Array) -> OneRowWeights:
    """Copy matrices in one block, (G, 1, K, N), for products with a single row."""
    columns: Array = W[..., 0, :, :].swapaxes(-1, -2)
    copy: Array = np.empty(columns.shape, W.dtype)
    copy_transposed(columns, copy)
    return OneRowWeights(copy)


def copy_transposed(matrix: Array, out: Array) -> None:
    """Copy a finite matrix (..., M, N) with contiguous columns to ``out`` with contiguous rows.

    Strips of the matrix are multiplied by the identity, which changes no value. This takes about
    half the time of an assignment, which would copy single numbers.
    """
    whole = out.shape[-1] // STRIP * STRIP
    if whole:
        identity = np.eye(STRIP, dtype=matrix.dtype)
        np.matmul(blocks(matrix[..., :whole], STRIP), identity, out=blocks(out[..., :whole], STRIP))
    out[..., whole:] = matrix[..., whole:]


Matrix = Array | OneRowWeights | PackedMatrices
"""Weights in blocks, (..., N/n, K, n); weights for a single row; or weights for oneDNN."""


def multiplier(W: Matrix, out: Array) -> Callable[[Array], object]:
    """A function that writes x W to ``out``, for products that are computed again and again.

    Args:
        W: the weights.
        out: overwritten at each call, (..., B, N); contiguous unless W is in blocks.

    Returns:
        A function of x, (..., B, K).
    """
    if isinstance(W, PackedMatrices):
        return W.multiplier(out)
    if isinstance(W, OneRowWeights):
        return _one_row_multiplier(W.columns, out)
    *_, K, n = W.shape
    *others, B, N = out.shape
    group = rows_at_once(B, K, n) or B
    if group == B:
        into = blocks(out, n)
        return lambda x: np.matmul(x[..., None, :, :], W, out=into)
    groups = B // group
    into = blocks(out.reshape(*others, groups, group, N), n).swapaxes(-4, -3)
    right = W[..., None, :, :]  # (..., N/n, 1, K, n)
    return lambda x: np.matmul(x.reshape(*x.shape[:-2], 1, groups, group, K), right, out=into)


def _one_row_multiplier(columns: Array, out: Array) -> Callable[[Array], object]:
    """As ``multiplier``, for a single row; x is (1, K), or (G, 1, K) with a row for each matrix."""
    assert out.flags.c_contiguous, "the product with a single row needs a contiguous result"
    multiply_row = _row_multiplier(columns.reshape(-1, columns.shape[-1]), out.reshape(-1))
    W = columns.swapaxes(-1, -2)
    return lambda x: multiply_row(x[0]) if x.ndim == 2 else np.matmul(x, W, out=out)


def _row_multiplier(columns: Array, out: Array) -> Callable[[Array], object]:
    """A function of a row x, (K,), that writes its products with ``columns``, (N, K), to ``out``.

    Its results are the same with 1, 2 and 4 threads: rows of zeros give each thread whole groups.
    """
    N, K = columns.shape
    extra = -N % GROUPED if columns.size >= SHARED else 0
    if not extra:
        return _whole_row_multiplier(columns, out)
    columns = np.concatenate([columns, np.zeros((extra, K), columns.dtype)])
    products: Array = np.empty(N + extra, out.dtype)
    multiply_all = _whole_row_multiplier(columns, products)

    def multiply_row(x: Array) -> None:
        multiply_all(x)
        out[:] = products[:N]

    return multiply_row


def _whole_row_multiplier(columns: Array, out: Array) -> Callable[[Array], object]:
    """As ``_row_multiplier``, without rows of zeros.

    Two real numbers can be read as one complex number: a c + b d is the real part of
    (a + i b) (c - i d). The result differs only by rounding.
    """
    N, K = columns.shape
    if columns.size not in PAIRED or K % 2:
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


def activated_sum(
    W: Matrix, scratch: Array, activation: Activation
) -> Callable[[Array, Array], object]:
    """A function of x and a that replaces a by sigmoid(a + x W), or by tanh(a + x W).

    oneDNN computes it in one pass; with NumPy, product, sum and function follow one another.

    Args:
        W: the weights.
        scratch: memory for the product, (..., B, N).
        activation: the function.

    Returns:
        A function of x, (B, K), and a, (..., B, N).
    """
    if isinstance(W, PackedMatrices):
        return W.activated_sum(scratch, activation)
    multiply_x, activate_ = multiplier(W, scratch), ACTIVATIONS[activation]

    def replace(x: Array, a: Array) -> None:
        multiply_x(x)
        a += scratch
        activate_(a)

    return replace


def add_multiplier(W: Matrix, out: Array, scratch: Array) -> Callable[[Array], object]:
    """A function of x, (B, K), that adds x W to ``out``.

    Args:
        W: the weights, one matrix.
        out: added to at each call, (B, N); contiguous.
        scratch: memory for the product, (B, N); oneDNN does not use it.
    """
    if isinstance(W, PackedMatrices):
        return W.add_multiplier(out)
    multiply_x = multiplier(W, scratch)

    def add(x: Array) -> None:
        multiply_x(x)
        np.add(out, scratch, out=out)

    return add


def multiply(x: Array, W: Matrix, out: Array | None = None) -> Array:
    """The product x W, (..., B, N), of x (..., B, K); W and ``out`` as for ``multiplier``."""
    if out is None:
        out = np.empty_like(x, shape=(*x.shape[:-1], columns_of(W)))
    assert x.shape[-2:] == (out.shape[-2], rows_of(W))
    if isinstance(W, PackedMatrices):
        W.multiply(x, out)
    else:
        multiplier(W, out)(x)
    return out


def rows_of(W: Matrix) -> int:
    """The number of rows K of weights."""
    if isinstance(W, PackedMatrices):
        return W.layout.K
    return W.columns.shape[-1] if isinstance(W, OneRowWeights) else W.shape[-2]


def columns_of(W: Matrix) -> int:
    """The number of columns N of weights."""
    if isinstance(W, PackedMatrices):
        return W.layout.N
    return W.columns.shape[-2] if isinstance(W, OneRowWeights) else W.shape[-3] * W.shape[-1]


def weight_gradient(
    W: Matrix, rows: Array, gradient: Array, out: Array, *, accumulate: bool = False
) -> None:
    """Write ``rows^T gradient``, the gradient of weights, to ``out``.

    Args:
        W: the weights, which tell the library and the precision.
        rows: what the weights were multiplied by, (R, K), contiguous.
        gradient: the gradient of the product, (R, N), contiguous.
        out: (K, N), contiguous.
        accumulate: whether to add to ``out`` instead.
    """
    if isinstance(W, PackedMatrices):
        transposed_product(rows, gradient, out, W.layout.precision, accumulate=accumulate)
    elif accumulate:
        out += rows.T @ gradient
    else:
        np.matmul(rows.T, gradient, out=out)
