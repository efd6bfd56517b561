"""Weight matrices in the layout of oneDNN, their products with a few rows, and their gradients.

A call of oneDNN takes objects that describe its factors and its result in memory. Each product has
one such object for each of them, and sets its address before every call. Objects for each address
would save calls, but there would be so many that they displace the numbers from the processor's
cache.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache

import numpy as np

from grucli.nn import calls, onednn
from grucli.nn.calls import Calls
from grucli.nn.matmul import Matrix
from grucli.nn.onednn import Handle, Memory, Precision, Primitive, address, check, description
from grucli.nn.params import Array

KEPT = 64  # products of a matrix for later calls: most owners, such as arrays of a step, are gone


class Layout:
    """How oneDNN stores a weight matrix (K, N) for about that many rows; for many, row by row."""

    is_plain = False  # it is always a copy

    def __init__(
        self, rows: int, K: int, N: int, precision: Precision, *, by_row: bool = False
    ) -> None:
        self.K, self.N, self.precision = K, N, precision
        src, dst = _plain(rows, K, precision), _plain(rows, N)
        weights = description((K, N), precision, (N, 1) if by_row else None)
        self._described = onednn.matmul(src, weights.value, dst)
        self.value = onednn.query(self._described, onednn.WEIGHTS_DESC)  # its description

    @property
    def numbers(self) -> int:
        """Size in float32 numbers, a multiple of the 64 bytes that the processor loads at once."""
        return -(-onednn.size_in_bytes(self.value) // 64) * 16

    def matrix(self, buffers: Iterable[Array]) -> "OneDNNMatrix":
        return OneDNNMatrix(self, list(buffers))


layout = cache(Layout)  # processes with the same library and processor find the same ones


class OneDNNMatrix(Matrix):
    """Weight matrices (G, K, N) in the layout of oneDNN.

    A product belongs to the owner of the memory that it writes to, or to the thread that computes
    it at once. So different owners can compute at the same time.
    """

    def __init__(self, form: Layout, buffers: Sequence[Array]) -> None:
        self.form, self.buffers, self.K, self.N = form, buffers, form.K, form.N
        self._memories = [Memory(form.value, address(buffer)) for buffer in buffers]
        self._parts: dict[tuple[int, int], OneDNNMatrix] = {}
        self._products: dict[tuple[object, ...], Product] = {}

    def __len__(self) -> int:
        return len(self.buffers)

    def _part(self, gates: int | slice) -> "OneDNNMatrix":
        if isinstance(gates, int):  # which may count from the end
            gates = slice(range(len(self))[gates], range(len(self))[gates] + 1)
        start, stop, _ = gates.indices(len(self))
        if (start, stop) not in self._parts:
            self._parts[start, stop] = OneDNNMatrix(self.form, self.buffers[start:stop])
        return self._parts[start, stop]

    def pack(self, matrices: Array) -> None:
        """Copy matrices (G, K, N) with any strides."""
        assert matrices.shape == (len(self), self.K, self.N)
        assert matrices.dtype == np.float32
        strides = tuple(stride // matrices.itemsize for stride in matrices.strides[1:])
        source = description((self.K, self.N), "float32", strides)
        copy = _copying(source, self.form)
        for matrix, memory in zip(matrices, self._memories, strict=True):
            at = int(matrix.__array_interface__["data"][0])
            check(onednn.call(copy, Memory(source.value, at), memory)())

    def bind(self, out: Array, *, add: bool = False) -> Callable[[Array], object]:
        *gates, rows, N = out.shape
        assert (len(self), self.N) == (gates[0] if gates else 1, N)
        product, results = self._product(address(out), rows, add=add), addresses(out)

        def multiply(x: Array, kept: object = (self, out)) -> None:
            product(x, results)

        return multiply

    def bind_add(self, out: Array, scratch: Array) -> Callable[[Array], object]:
        return self.bind(out, add=True)

    def calls(self, x: Array, out: Array) -> Calls:
        *_, rows, K = x.shape
        assert K == self.K
        assert out.shape == (len(self), rows, self.N)
        product = self._product(address(out), rows)
        for (set_out, _), at in zip(product.calls, addresses(out), strict=True):
            check(set_out(at))
        return Calls(np.array(product.rows(x), np.int64), check, (self, product, x, out))

    def multiply(self, x: Array, out: Array) -> None:
        *gates, rows, N = out.shape
        assert x.shape[-2:] == (rows, self.K)
        assert (len(self), self.N) == (gates[0] if gates else 1, N)
        self._product(threading.get_ident(), rows)(x, addresses(out))

    def __rmatmul__(self, x: Array) -> Array:
        """The product x W with one matrix; x may have any type, strides and number of axes."""
        assert x.shape[-1] == self.K
        rows = np.ascontiguousarray(x, np.float32).reshape(-1, self.K)
        out = np.empty((len(rows), self.N), np.float32)
        self.multiply(rows, out)
        return out.reshape(*x.shape[:-1], self.N)

    def gradient(self, rows: Array, gradient: Array, out: Array, *, add: bool = False) -> None:
        rows, gradient = (np.ascontiguousarray(one, np.float32) for one in (rows, gradient))
        (R, K), N = rows.shape, gradient.shape[1]
        assert (len(gradient), out.shape) == (R, (K, N))
        _OF_THREAD.gradient(R, K, N, self.form.precision, add)(rows, gradient, out)

    def _product(self, owner: int, rows: int, *, add: bool = False) -> "Product":
        """The product of an owner: the address of memory, or a thread."""
        key = owner, rows, add
        product = self._products.get(key)
        if product is None:
            if len(self._products) >= KEPT:
                self._products.clear()
            product = Product(self.form, self._memories, rows, add=add)
            self._products[key] = product
        return product


class Product:
    """The products of x with matrices, which must be kept; they belong to one thread at a time."""

    def __init__(self, form: Layout, matrices: Sequence[Memory], rows: int, *, add: bool) -> None:
        self.x = Factor((rows, form.K), (form.K, 1), form.precision)
        self.set_x = self.x.set
        primitive = _product_of_rows(form, rows, add)
        result = _plain(rows, form.N)  # not in the cache alone: another thread may replace it there
        outs = [Memory(result.value) for _ in matrices]
        self.calls = [
            (out.setter(), onednn.call(primitive, self.x.memory, out, matrix))
            for matrix, out in zip(matrices, outs, strict=True)
        ]

    def __call__(self, x: Array, results: Sequence[int]) -> None:
        """Write the products of x, (M, K) or (G, M, K), to the addresses of the results."""
        assert x.itemsize == 4, "oneDNN reads float32"
        status, per_gate = 0, x.ndim == 3
        if not per_gate:
            status = self.set_x(address(x))
        for gate, (set_out, multiply) in enumerate(self.calls):
            if per_gate:
                status = status or self.set_x(address(x[gate]))
            status = status or set_out(results[gate]) or multiply()
        if status:
            check(status)

    def rows(self, x: Array) -> list[list[int]]:
        """The calls at each step t, with factors x[t], (M, K), or x[:, t]; results stay."""
        found: list[list[int]] = []
        for gate, (_, multiply) in enumerate(self.calls):
            if gate == 0 or x.ndim == 4:
                found += self.x.rows(x[gate] if x.ndim == 4 else x)
            found.append(onednn.row(multiply))
        return found


class Factor:
    """A factor (R, C), in float32 at an address that changes; ``memory`` may be a rounded copy."""

    def __init__(
        self, shape: tuple[int, int], strides: tuple[int, int], precision: Precision
    ) -> None:
        exact = description(shape, "float32", strides)
        source = self.memory = Memory(exact.value)
        self._rounded: Array = np.empty(0, np.uint16)
        set_address = self.set = source.setter()  # returns the status
        if precision == "float32":
            return
        self._rounded = np.empty(shape[0] * shape[1], np.uint16)
        rounded = description(shape, precision, strides)
        self.memory = Memory(rounded.value, address(self._rounded))
        round_ = onednn.call(_copying(exact, rounded), source, self.memory)
        self.set = lambda at: set_address(at) or round_()

    def rows(self, factors: Array) -> list[list[int]]:
        """The calls that set the factor of each step, one of ``factors`` (T, R, C)."""
        at, growth = address(factors[0]), factors.strides[0]
        if not len(self._rounded):
            return [onednn.row(self.memory.setter(), at, growth=growth)]
        from grucli.nn.compiled.c_functions import c_function, round_  # Numba is an extra

        to = address(self._rounded)
        return [calls.row(c_function(round_), at, to, len(self._rounded), growth=(growth,))]


class Gradient:
    """A function of rows (R, K), gradient (R, N) and out (K, N)."""

    def __init__(self, R: int, K: int, N: int, precision: Precision, add: bool) -> None:
        left, right = Factor((K, R), (1, K), precision), Factor((R, N), (N, 1), precision)
        primitive, result = _transposed_product(R, K, N, precision, add), _plain(K, N)
        out = Memory(result.value)
        self._left, self._right, self._set_out = left, right, out.setter()
        self._multiply = onednn.call(primitive, left.memory, out, right.memory)

    def __call__(self, rows: Array, gradient: Array, out: Array) -> None:
        status = self._left.set(address(rows)) or self._right.set(address(gradient))
        check(status or self._set_out(address(out)) or self._multiply())


class _OfThread(threading.local):
    """What a thread shares with no other, and what ends with it."""

    def __init__(self) -> None:
        self.gradient = lru_cache(maxsize=16)(Gradient)  # a run needs fewer; each has memory


_OF_THREAD = _OfThread()


def addresses(array: Array) -> list[int]:
    """The addresses of the matrices of an array with two or three axes."""
    return [address(array)] if array.ndim == 2 else [address(one) for one in array]


def _plain(rows: int, columns: int, precision: Precision = "float32") -> Handle:
    """The description of a contiguous matrix."""
    return description((rows, columns), precision, (columns, 1))


# ---- primitives, made once and shared by all threads


@cache
def _product_of_rows(form: Layout, rows: int, add: bool) -> Primitive:
    x = _plain(rows, form.K, form.precision)
    out = _plain(rows, form.N)
    return Primitive(onednn.matmul(x, form.value, out, add=add))


@cache
def _transposed_product(R: int, K: int, N: int, precision: Precision, add: bool) -> Primitive:
    left, right = description((K, R), precision, (1, K)), _plain(R, N, precision)
    return Primitive(onednn.matmul(left, right.value, _plain(K, N), add=add))


@cache
def _copying(before: Handle, after: Handle | Layout) -> Primitive:
    return Primitive(onednn.reorder(before.value, after.value))
