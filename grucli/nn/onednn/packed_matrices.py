"""Weight matrices in the layout of oneDNN, and their products with a few rows."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from grucli.nn.onednn.library import Activation, Precision, check
from grucli.nn.onednn.primitives import (
    DST,
    FROM,
    SRC,
    TO,
    WEIGHTS,
    WEIGHTS_DESC,
    Memory,
    address,
    call,
    description,
    matmul,
    of_thread,
    primitive,
    query,
    reorder,
    size_in_bytes,
)
from grucli.nn.onednn.products import Factor, place
from grucli.nn.params import Array


class Layout:
    """The layout in which oneDNN stores a weight matrix (K, N).

    Args:
        rows: the usual number of rows of the other factor, which has an effect on the layout.
        K: rows of the matrix.
        N: columns of the matrix.
        precision: the precision of both factors.
        plain: whether the matrix is stored row by row, which suits products of many rows.
    """

    def __init__(self, rows: int, K: int, N: int, precision: Precision, *, plain: bool) -> None:
        self.K, self.N, self.precision = K, N, precision
        src = description((rows, K), precision, (K, 1))
        dst = description((rows, N), "float32", (N, 1))
        weights = description((K, N), precision, (N, 1) if plain else None)
        self._described = matmul(src, weights.value, dst)
        self.desc = query(self._described, WEIGHTS_DESC)
        self.bytes = size_in_bytes(self.desc)

    @property
    def numbers(self) -> int:
        """Size in float32 numbers, a multiple of the 64 bytes that the processor loads at once."""
        return -(-self.bytes // 64) * 16


@cache
def layout(rows: int, K: int, N: int, precision: Precision, *, plain: bool = False) -> Layout:
    """The layout of a matrix; processes with the same library and processor find the same one."""
    return Layout(rows, K, N, precision, plain=plain)


class PackedMatrices:
    """Weight matrices (G, K, N) in the layout of oneDNN.

    Args:
        layout: the layout of each matrix.
        buffers: the memory of each matrix, float32, (``layout.numbers``,).
    """

    def __init__(self, layout: Layout, buffers: Sequence[Array]) -> None:
        self.layout, self.buffers = layout, buffers
        self.memories = [Memory(layout.desc, address(buffer)) for buffer in buffers]
        self._parts: dict[tuple[int, int], PackedMatrices] = {}
        self._bound: dict[tuple[object, ...], ProductsOfRows] = {}

    def __len__(self) -> int:
        return len(self.buffers)

    def __iter__(self) -> Iterator["PackedMatrices"]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, gates: int | slice) -> "PackedMatrices":
        chosen = slice(gates, gates + 1) if isinstance(gates, int) else gates
        start, stop, _ = chosen.indices(len(self))
        if (start, stop) not in self._parts:
            self._parts[start, stop] = PackedMatrices(self.layout, self.buffers[start:stop])
        return self._parts[start, stop]

    def pack(self, matrices: Array) -> None:
        """Copy matrices (G, K, N) with any strides."""
        form, (_, K, N) = self.layout, matrices.shape
        strides = (
            matrices.strides[1] // matrices.itemsize,
            matrices.strides[2] // matrices.itemsize,
        )
        plain = description((K, N), "float32", strides)
        key = "pack", id(form), K, N, strides
        copy = primitive(key, lambda: reorder(plain.value, form.desc))
        for matrix, memory in zip(matrices, self.memories, strict=True):
            at = int(matrix.__array_interface__["data"][0])
            check(call(copy, (FROM, Memory(plain.value, at)), (TO, memory))())

    def multiplier(self, out: Array) -> Callable[[Array], object]:
        """A function of x, (M, K) or (G, M, K), that writes x W to ``out``, (M, N) or (G, M, N)."""
        return self._multiplier(out, adds=False)

    def add_multiplier(self, out: Array) -> Callable[[Array], object]:
        """As ``matmul.add_multiplier``."""
        return self._multiplier(out, adds=True)

    def multiply(self, x: Array, out: Array) -> None:
        """Write x W to ``out`` at once, with objects that this thread keeps."""
        form, G, rows = self.layout, len(self), out.shape[-2]
        assert (x.shape[-1], out.shape[-1], out.size // (rows * form.N)) == (form.K, form.N, G)

        def make() -> tuple[list[Memory], ProductsOfRows]:
            anywhere = [Memory(form.desc) for _ in range(G)]
            return anywhere, ProductsOfRows(form, anywhere, rows, None, adds=False)

        memories, product = of_thread((id(form), G, rows), make)
        for memory, buffer in zip(memories, self.buffers, strict=True):
            check(place(memory)(address(buffer)))
        product(x, addresses(out))

    def activated_sum(
        self, scratch: Array, activation: Activation
    ) -> Callable[[Array, Array], object]:
        """As ``matmul.activated_sum``; ``scratch`` tells whose products these are."""
        multiply = self._products(scratch, activation, adds=True)

        def replace(x: Array, a: Array, kept: object = (self, scratch)) -> None:
            multiply(x, addresses(a))

        return replace

    def _multiplier(self, out: Array, *, adds: bool) -> Callable[[Array], object]:
        *others, _, N = out.shape
        assert (len(self), self.layout.N) == (others[0] if others else 1, N)
        multiply, where = self._products(out, adds=adds), addresses(out)

        def multiply_to(x: Array, kept: object = (self, out)) -> None:
            multiply(x, where)

        return multiply_to

    def _products(
        self, memory: Array, activation: Activation | None = None, *, adds: bool
    ) -> "ProductsOfRows":
        """The products of whoever owns some memory, so that others can compute at the same time."""
        rows = memory.shape[-2]
        key = address(memory), rows, activation, adds
        if key not in self._bound:
            self._bound[key] = ProductsOfRows(
                self.layout, self.memories, rows, activation, adds=adds
            )
        return self._bound[key]


class ProductsOfRows:
    """The products of x with matrices; they belong to one thread at a time.

    The matrices, x and the results must be kept.

    Args:
        form: the layout of the matrices.
        memories: the matrices.
        rows: rows M of x.
        activation: applied to the results.
        adds: whether the products are added to what is there, before the activation.
    """

    def __init__(
        self,
        form: Layout,
        memories: Sequence[Memory],
        rows: int,
        activation: Activation | None,
        *,
        adds: bool,
    ) -> None:
        x = Factor((rows, form.K), (form.K, 1), form.precision)
        desc = description((rows, form.N), "float32", (form.N, 1))
        product = primitive(
            ("matmul", id(form), rows, activation, adds),
            lambda: matmul(x.desc, form.desc, desc, activation, accumulate=adds),
        )
        outs = [Memory(desc.value) for _ in memories]
        self._x, self._read = x, x.read
        self._products = [
            (place(out), call(product, (SRC, x.memory), (WEIGHTS, memory), (DST, out)))
            for memory, out in zip(memories, outs, strict=True)
        ]

    def __call__(self, x: Array, where: Sequence[int]) -> None:
        """Compute the products of x, (M, K) or (G, M, K).

        Args:
            x: one factor of all products, or a factor of each.
            where: the addresses of the results.
        """
        wrong, each = 0, x.ndim == 3
        if not each:
            wrong = self._read(address(x))
        for g, (place_out, product) in enumerate(self._products):
            if each:
                wrong = wrong or self._read(address(x[g]))
            wrong = wrong or place_out(where[g]) or product()
        if wrong:
            check(wrong)


def addresses(array: Array) -> list[int]:
    """The addresses of the matrices of an array with two or three axes."""
    return [address(array)] if array.ndim == 2 else [address(one) for one in array]
