"""Weight matrices and their products with a few rows; those of NumPy, in blocks of columns.

A BLAS packs the matrices before it multiplies them: it copies them into a layout of its own. A
recurrent layer multiplies the same weights at every step by only as many rows as the batch has
streams. Packing the weights then takes up to half of the time. On processors with AVX-512, OpenBLAS
does not pack for products of at most a million multiplications
(``kernel/x86_64/sgemm_small_kernel_permit_skylakex.c``). So a matrix (K, N) is split into
contiguous blocks of n columns, (N/n, K, n), and the rows are split into groups, so that each
product is that small. One call of NumPy computes them all, block by block. Products of 32 rows with
256 units or more are then 1.3 to 1.6 times as fast (``benchmarks/products.py``).

The product with a single row, as in sampling, needs no packing. It can be shared among threads.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from grucli.nn import calls
from grucli.nn.calls import Calls
from grucli.nn.params import Array

NARROWEST = 16  # columns of the narrowest block, which fill a register of AVX-512
WIDE = 64  # columns from which a wider block is not faster
SHARED = 2**18  # numbers of a matrix whose product with a single row a BLAS may share among threads
GROUPED = 16  # columns of it that 1, 2 or 4 threads divide into whole groups of four
STRIP = 16  # columns of a transposed matrix that one product copies; more add up more zeros


class Matrix(ABC):
    """Weight matrices (G, K, N), or one matrix (K, N), as a library multiplies rows by them.

    Products that are computed again and again are bound to the memory of their results. Two threads
    can compute at the same time if they have bound products to memory of their own.
    """

    K: int
    N: int
    transposed: "Matrix | None" = None  # a copy for the backward pass, if there is one
    __array_ufunc__ = None  # so that ``x @ W`` calls __rmatmul__

    @property
    def T(self) -> "Matrix":  # noqa: N802 - as of an array
        assert self.transposed is not None, "the weights were packed for the forward pass alone"
        return self.transposed

    @abstractmethod
    def __len__(self) -> int: ...

    def __iter__(self) -> "Iterator[Matrix]":
        return (self[gate] for gate in range(len(self)))

    def __getitem__(self, gates: int | slice) -> "Matrix":
        part = self._part(gates)
        if self.transposed is not None:
            part.transposed = self.transposed[gates]
        return part

    @abstractmethod
    def _part(self, gates: int | slice) -> "Matrix":
        """The matrices of some gates."""

    @abstractmethod
    def bind(self, out: Array) -> Callable[[Array], object]:
        """A function of x, (B, K) or (G, B, K), that writes x W to ``out``, (G, B, N)."""

    def bind_add(self, out: Array, scratch: Array) -> Callable[[Array], object]:
        """A function of x, (B, K), that adds x W to ``out``, (B, N); for one matrix."""
        multiply = self.bind(scratch)

        def add(x: Array) -> None:
            multiply(x)
            np.add(out, scratch, out=out)

        return add

    def calls(self, x: Array, out: Array) -> Calls:
        """Calls that write x[t] W to ``out`` (G, B, N), for x (T, B, K) or (G, T, B, K)."""
        multiply, steps = self.bind(out), np.moveaxis(x, -3, 0)
        return calls.of_python(lambda t: multiply(steps[t]))

    def multiply(self, x: Array, out: Array) -> None:
        assert x.shape[-2:] == (out.shape[-2], self.K)
        self.bind(out)(x)

    def __rmatmul__(self, x: Array) -> Array:
        """The product x W, (B, N), with one matrix."""
        out = np.empty_like(x, shape=(*x.shape[:-1], self.N))
        self.multiply(x, out)
        return out

    def gradient(self, rows: Array, gradient: Array, out: Array, *, add: bool = False) -> None:
        """Write or add the gradient of one matrix, rows^T gradient, to ``out``; all contiguous."""
        if add:
            out += rows.T @ gradient
        else:
            np.matmul(rows.T, gradient, out=out)

    def for_rows(self, rows: int) -> "Matrix":
        """The same matrices for products of exactly that many rows."""
        return self


class Blocks(Matrix):
    """Matrices in blocks of n columns, (G, N/n, K, n), or one of them, (N/n, K, n)."""

    def __init__(self, blocks: Array) -> None:
        self.blocks = blocks
        *_, count, self.K, n = blocks.shape
        self.N = count * n

    @classmethod
    def view(cls, W: Array, rows: int) -> "Blocks":
        """Views of matrices (G, K, N) and of their transposes, for products of some rows."""
        W_T = W.swapaxes(-1, -2)
        own, other = (cls(blocks(each, best_width(rows, *each.shape[-2:]))) for each in (W, W_T))
        own.transposed = other
        return own

    def __len__(self) -> int:
        return len(self.blocks)

    def _part(self, gates: int | slice) -> "Blocks":
        return Blocks(self.blocks[gates])

    def bind(self, out: Array) -> Callable[[Array], object]:
        W, K, n = self.blocks, self.K, self.blocks.shape[-1]
        *others, B, N = out.shape
        group = rows_at_once(B, K, n) or B
        if group == B:
            into = blocks(out, n)
            return lambda x: np.matmul(x[..., None, :, :], W, out=into)
        groups = B // group
        into = blocks(out.reshape(*others, groups, group, N), n).swapaxes(-4, -3)
        right = W[..., None, :, :]  # (..., N/n, 1, K, n)
        return lambda x: np.matmul(x.reshape(*x.shape[:-2], 1, groups, group, K), right, out=into)

    def for_rows(self, rows: int) -> Matrix:
        if rows > 1:
            return self
        assert self.blocks.shape[-3] == 1, "the weights were packed for more rows"
        columns: Array = self.blocks[..., 0, :, :].swapaxes(-1, -2)
        copy: Array = np.empty(columns.shape, columns.dtype)
        copy_transposed(columns, copy)
        return OneRow(copy)

    def pack(self, matrices: Array) -> None:
        """Copy matrices (G, K, N), stored row by row or column by column."""
        source = blocks(matrices, self.blocks.shape[-1])
        if matrices.flags.c_contiguous:
            self.blocks[:] = source
        else:
            copy_transposed(source, self.blocks)


class OneRow(Matrix):
    """A copy by columns, (G, N, K), or one matrix of it, (N, K): one product can use them all."""

    def __init__(self, columns: Array) -> None:
        self.columns = columns
        self.N, self.K = columns.shape[-2:]

    def __len__(self) -> int:
        return len(self.columns)

    def _part(self, gates: int | slice) -> "OneRow":
        return OneRow(self.columns[gates])

    def bind(self, out: Array) -> Callable[[Array], object]:
        assert out.flags.c_contiguous, "the product with a single row needs a contiguous result"
        multiply_row = _row_multiplier(self.columns.reshape(-1, self.K), out.reshape(-1))
        W = self.columns.swapaxes(-1, -2)
        return lambda x: multiply_row(x[0]) if x.ndim == 2 else np.matmul(x, W, out=out)


def _row_multiplier(columns: Array, out: Array) -> Callable[[Array], object]:
    """A function of a row x (K,) that writes its products with ``columns`` (N, K) to ``out``."""
    N, K = columns.shape
    # rows of zeros give each of 1, 2 or 4 threads whole groups, so that all compute the same
    extra = -N % GROUPED if columns.size >= SHARED else 0
    if not extra:
        return lambda x: columns.dot(x, out)
    columns = np.concatenate([columns, np.zeros((extra, K), columns.dtype)])
    products: Array = np.empty(N + extra, out.dtype)

    def multiply_row(x: Array) -> None:
        columns.dot(x, products)
        out[:] = products[:N]

    return multiply_row


class BlockLayout(NamedTuple):
    """How a matrix (K, N) is stored for NumPy: in blocks of n columns."""

    K: int
    N: int
    n: int

    @property
    def numbers(self) -> int:
        return self.K * self.N

    @property
    def is_plain(self) -> bool:
        """Whether these are the rows of the matrix itself, which need no copy."""
        return self.n == self.N

    def matrix(self, buffers: Array) -> Blocks:
        """Matrices in buffers (G, ``numbers``)."""
        return Blocks(buffers.reshape(-1, self.N // self.n, self.K, self.n))


# ---- blocks


def largest_unpacked(config: Any, core: str) -> int:
    """Multiplications of the largest product for which NumPy's library does not pack, or 0."""
    built, processor = config.get("Build Dependencies", {}), config.get("SIMD Extensions", {})
    library, has = str(built.get("blas", "")), str(processor.get("found", ""))
    avx512 = "AVX512_SKX" in has or "X86_V4" in has  # the names before NumPy 2.4, and since then
    assumed = core.lower() in ("", "skylakex", "cooperlake", "sapphirerapids")
    return 10**6 if "openblas" in library and avx512 and assumed else 0


UNPACKED = largest_unpacked(
    np.show_config(mode="dicts") or {}, os.environ.get("OPENBLAS_CORETYPE", "")
)


def rows_at_once(rows: int, K: int, n: int) -> int:
    """Size of equal groups of rows that avoids packing of a block (K, n); 0 if there is none."""
    return _largest_group(rows, UNPACKED // (K * n))


@cache
def _largest_group(rows: int, most: int) -> int:
    groups = [group for group in range(4, rows, 4) if rows % group == 0]  # or a single one
    return max((group for group in (*groups, rows) if group <= most), default=0)


def best_width(rows: int, K: int, N: int) -> int:
    """Columns n of the blocks of a matrix (K, N) for products with ``rows`` rows."""
    if rows == 1 or rows * K * N <= UNPACKED:  # the BLAS does not pack
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


def copy_transposed(matrix: Array, out: Array) -> None:
    """Copy a finite matrix (..., M, N) with contiguous columns to ``out`` with contiguous rows."""
    whole = out.shape[-1] // STRIP * STRIP
    if whole:  # in half the time of an assignment, which would copy single numbers
        identity = np.eye(STRIP, dtype=matrix.dtype)
        np.matmul(blocks(matrix[..., :whole], STRIP), identity, out=blocks(out[..., :whole], STRIP))
    out[..., whole:] = matrix[..., whole:]
