"""Products of two matrices at any addresses, and gradients of weights.

A call of oneDNN takes objects that describe its factors and its result in memory. Each product has
one such object for each of them, and sets its address before every call. Objects for each address
would save calls, but there would be so many that they displace the numbers from the processor's
cache.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from grucli.nn.onednn.library import Precision, check, load
from grucli.nn.onednn.primitives import (
    DST,
    FROM,
    SRC,
    TO,
    WEIGHTS,
    Memory,
    address,
    call,
    description,
    matmul,
    of_thread,
    primitive,
    reorder,
)
from grucli.nn.params import Array


def place(memory: Memory) -> Callable[[int], int]:
    """A function that sets the address of a matrix, and returns the status."""
    return partial(load().c.dnnl_memory_set_data_handle, memory.value)


class Factor:
    """A factor (R, C) of products, in float32 at an address that changes.

    Args:
        shape: R and C.
        strides: its strides in numbers.
        precision: the precision in which it is multiplied.

    Attributes:
        desc: the description of the factor in its precision.
        memory: the memory that products read.
        read: a function that sets the address, and rounds the factor; it returns the status.
    """

    def __init__(
        self, shape: tuple[int, int], strides: tuple[int, int], precision: Precision
    ) -> None:
        full = self.desc = description(shape, "float32", strides)
        before = self.memory = Memory(full.value)
        self.read = set_address = place(before)
        if precision == "float32":
            return
        rounded = self.desc = description(shape, precision, strides)
        self._numbers: Array = np.empty(shape[0] * shape[1], np.uint16)
        self.memory = Memory(rounded.value, address(self._numbers))
        key = "round", shape, strides
        copy = primitive(key, lambda: reorder(full.value, rounded.value))
        round_ = call(copy, (FROM, before), (TO, self.memory))
        self.read = lambda at: set_address(at) or round_()


class _TransposedProduct:
    """A function of rows (R, K), gradient (R, N) and out (K, N), in one thread."""

    def __init__(self, R: int, K: int, N: int, precision: Precision, *, accumulate: bool) -> None:
        left, right = Factor((K, R), (1, K), precision), Factor((R, N), (N, 1), precision)
        desc = description((K, N), "float32", (N, 1))
        out = Memory(desc.value)
        self._left, self._right, self._place = left, right, place(out)
        product = primitive(
            ("transposed", R, K, N, precision, accumulate),
            lambda: matmul(left.desc, right.desc.value, desc, accumulate=accumulate),
        )
        self._product = call(product, (SRC, left.memory), (WEIGHTS, right.memory), (DST, out))

    def __call__(self, rows: Array, gradient: Array, out: Array) -> None:
        wrong = self._left.read(address(rows)) or self._right.read(address(gradient))
        check(wrong or self._place(address(out)) or self._product())


def transposed_product(
    rows: Array, gradient: Array, out: Array, precision: Precision, *, accumulate: bool = False
) -> None:
    """Write ``rows^T gradient`` to ``out``, or add it.

    Args:
        rows: (R, K), contiguous.
        gradient: (R, N), contiguous.
        out: (K, N), contiguous.
        precision: the precision of both factors.
        accumulate: whether to add the product to ``out``.
    """
    (R, K), N = rows.shape, gradient.shape[1]
    assert (len(gradient), out.shape) == (R, (K, N))
    multiply = of_thread(
        ("product", R, K, N, precision, accumulate),
        lambda: _TransposedProduct(R, K, N, precision, accumulate=accumulate),
    )
    multiply(rows, gradient, out)
