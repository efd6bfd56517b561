"""Matrix products of oneDNN, called through its C interface.

oneDNN generates code for the processor at hand. It multiplies with weights in a layout of its own,
in float32, or in bfloat16 with sums in float32 if the processor has instructions for that. This
module has the few calls that the products of ``nn`` need (oneDNN 3: ``oneapi/dnnl/dnnl.h``,
``dnnl_types.h``, ``dnnl_common_types.h``). Every product runs in the thread that calls it.

Objects of oneDNN that compute have scratch memory, so each thread has its own.
"""

import ctypes
import os
import site
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from grucli.nn.params import Array

Precision = Literal["float32", "bfloat16"]
Activation = Literal["sigmoid", "tanh"]

VARIABLE = "GRUCLI_ONEDNN"
"""Environment variable with the path of the library."""

MAJOR = 3
"""The major version of oneDNN whose interface this module uses."""

FLOAT32, BFLOAT16 = 3, 2  # dnnl_data_type_t
ANY = 1  # dnnl_format_tag_t
SRC, DST, WEIGHTS, FROM, TO = 1, 17, 33, 1, 17  # DNNL_ARG_*
CPU, IN_ORDER = 1, 1  # dnnl_engine_kind_t, dnnl_stream_flags_t
WEIGHTS_DESC = 131  # dnnl_query_t: dnnl_query_weights_md
ELTWISE: dict[Activation, int] = {"tanh": 0x21, "sigmoid": 0x29}  # dnnl_alg_kind_t
HAS_AVX512, HAS_BFLOAT16 = 0x20, 0x80  # bits of dnnl_cpu_isa_t
OUT_OF_MEMORY = 1  # dnnl_status_t
STATUS = {2: "invalid arguments", 3: "not implemented", 5: "runtime error"}  # dnnl_status_t
TYPES: dict[Precision, int] = {"float32": FLOAT32, "bfloat16": BFLOAT16}


class Unavailable(Exception):  # noqa: N818 - a reason, not an error of the user
    """oneDNN cannot be used here; the message says why."""


class _Version(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("major", "minor", "patch")]


class _Arg(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_int), ("memory", ctypes.c_void_p)]


class Library(NamedTuple):
    """The loaded library.

    Attributes:
        c: the library.
        path: the file.
        version: such as "3.2.0".
        isa: the instructions that it uses, as bits of ``dnnl_cpu_isa_t``.
        engine: the engine for the processor.
    """

    c: Any
    path: str
    version: str
    isa: int
    engine: ctypes.c_void_p

    @property
    def has_bfloat16(self) -> bool:
        """Whether the processor multiplies bfloat16 by instructions of its own."""
        return bool(self.isa & HAS_BFLOAT16)


# ---- the library


def candidates() -> list[str]:
    """Paths and names under which the library may be found, in the order of preference."""
    told = os.environ.get(VARIABLE)
    if told:
        return [told]
    names = ("libdnnl.so.3", "libdnnl.3.dylib", "dnnl.dll")
    folders = [Path(sys.prefix, "lib"), Path(sys.prefix, "Library", "bin"), Path(sys.prefix, "bin")]
    folders.append(Path(site.getuserbase(), "lib"))  # a library of this user
    installed = [str(folder / name) for folder in folders for name in names]
    found = [path for path in installed if os.path.exists(path)]
    return found or _of_system()


@cache
def _of_system() -> list[str]:
    """The library of the system; the search starts other programs and takes some time."""
    from ctypes.util import find_library

    found = find_library("dnnl")
    return [found] if found else []


@cache
def load() -> Library:
    """Load the library.

    Raises:
        Unavailable: it is not installed, damaged, of another major version or architecture.
    """
    if sys.byteorder != "little":
        raise Unavailable("oneDNN is used on little-endian processors only")
    problems = []
    for path in candidates():
        try:
            with _one_thread_at_load():
                return _opened(path)
        except Unavailable as problem:
            problems.append(str(problem))
    raise Unavailable("; ".join(problems) or "oneDNN is not installed")


def _opened(path: str) -> Library:
    try:
        c = ctypes.CDLL(path)
        c.dnnl_version.restype = ctypes.POINTER(_Version)
        version = c.dnnl_version().contents
    except (OSError, AttributeError) as error:
        raise Unavailable(f"{path}: cannot be loaded: {error}") from None
    words = f"{version.major}.{version.minor}.{version.patch}"
    if version.major != MAJOR:
        raise Unavailable(f"{path}: is oneDNN {words}; version {MAJOR} is needed")
    c.dnnl_primitive_desc_query_md.restype = ctypes.c_void_p
    c.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
    c.dnnl_memory_set_data_handle.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    engine = ctypes.c_void_p()
    _check(c.dnnl_engine_create(ctypes.byref(engine), CPU, ctypes.c_size_t(0)))
    return Library(c, path, words, int(c.dnnl_get_effective_cpu_isa()), engine)


@contextmanager
def _one_thread_at_load() -> Iterator[None]:
    """OpenMP reads its number of threads when it is loaded; grucli has processes of its own."""
    name, before = "OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault(name, "1")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)


def _check(status: int) -> None:
    if status == OUT_OF_MEMORY:
        raise MemoryError("oneDNN has not enough memory")
    if status:
        raise Unavailable(f"oneDNN reports: {STATUS.get(status, f'error {status}')}")


# ---- handles


class Handle:
    """An object of oneDNN, destroyed with this object."""

    def __init__(self, kind: str, make: Callable[[Any], int]) -> None:
        self.value = ctypes.c_void_p()
        self._destroy = getattr(load().c, f"dnnl_{kind}_destroy")
        _check(make(ctypes.byref(self.value)))

    def __del__(self) -> None:
        if self.value:
            self._destroy(self.value)


def _desc(shape: Sequence[int], precision: Precision, strides: Sequence[int] | None) -> Handle:
    """The description of a matrix: its strides in numbers, or None for any layout."""
    c, type_, n = load().c, TYPES[precision], len(shape)
    dims = (ctypes.c_int64 * n)(*shape)
    if strides is None:
        make = c.dnnl_memory_desc_create_with_tag
        return Handle("memory_desc", lambda out: make(out, n, dims, type_, ANY))
    steps = (ctypes.c_int64 * n)(*strides)
    make = c.dnnl_memory_desc_create_with_strides
    return Handle("memory_desc", lambda out: make(out, n, dims, type_, steps))


class Memory(Handle):
    """A matrix in memory that belongs to someone else."""

    def __init__(self, desc: ctypes.c_void_p, address: int = 0) -> None:
        library = load()
        create, engine, at = library.c.dnnl_memory_create, library.engine, ctypes.c_void_p(address)
        super().__init__("memory", lambda out: create(out, desc, engine, at))


def address(array: Any) -> int:
    """The address of a contiguous array."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # three times as fast
    except (TypeError, ValueError, BufferError):  # it is read-only
        assert array.flags.c_contiguous, "oneDNN reads contiguous arrays"
        return int(array.ctypes.data)


class _Thread(threading.local):
    """What belongs to one thread: a stream, and the primitives, since these have scratch memory."""

    def __init__(self) -> None:
        library = load()
        create, engine = library.c.dnnl_stream_create, library.engine
        self.stream = Handle("stream", lambda out: create(out, engine, IN_ORDER))
        self.primitives: dict[Any, Handle] = {}
        self.bound: dict[Any, _Product] = {}


@cache
def _thread() -> _Thread:
    return _Thread()


def _primitive(key: Any, describe: Callable[[], Handle]) -> Handle:
    """The primitive of this thread for a key; it is made from its description the first time."""
    known = _thread().primitives
    if key not in known:
        desc, create = describe(), load().c.dnnl_primitive_create
        known[key] = Handle("primitive", lambda out: create(out, desc.value))
    return known[key]


def _call(primitive: Handle, *arguments: tuple[int, Memory]) -> Callable[[], int]:
    """A function that executes a primitive; its result is the status, 0 for success.

    The primitive and the memories must exist as long as the function.
    """
    args = (_Arg * len(arguments))(*[_Arg(arg, memory.value) for arg, memory in arguments])
    execute, stream = load().c.dnnl_primitive_execute, _thread().stream.value
    return partial(execute, primitive.value, stream, len(args), args)


# ---- descriptions of primitives


def _matmul(
    src: Handle,
    weights: ctypes.c_void_p,
    dst: Handle,
    activation: Activation | None = None,
    *,
    accumulate: bool = False,
) -> Handle:
    """Describe dst = activation(src weights), or dst = activation(dst + src weights)."""
    library = load()
    attr = _attributes(activation, accumulate=accumulate)
    create = library.c.dnnl_matmul_primitive_desc_create
    return Handle(
        "primitive_desc",
        lambda out: create(out, library.engine, src.value, weights, None, dst.value, attr.value),
    )


def _attributes(activation: Activation | None, *, accumulate: bool) -> Handle:
    c = load().c
    attr = Handle("primitive_attr", c.dnnl_primitive_attr_create)
    operations = Handle("post_ops", c.dnnl_post_ops_create)
    one, zero = ctypes.c_float(1.0), ctypes.c_float(0.0)
    if accumulate:
        _check(c.dnnl_post_ops_append_sum(operations.value, one, ctypes.c_int32(0), 0))
    if activation is not None:
        kind = ELTWISE[activation]
        _check(c.dnnl_post_ops_append_eltwise(operations.value, kind, zero, zero))
    _check(c.dnnl_primitive_attr_set_post_ops(attr.value, operations.value))
    return attr


def _reorder(before: ctypes.c_void_p, after: ctypes.c_void_p) -> Handle:
    """Describe a copy to another layout or precision."""
    library = load()
    create, engine = library.c.dnnl_reorder_primitive_desc_create, library.engine
    return Handle("primitive_desc", lambda out: create(out, before, engine, after, engine, None))


class _Factor:
    """The left or right factor of products, (R, C), which changes at each call.

    Args:
        R: number of rows.
        C: number of columns.
        strides: its strides in numbers.
        precision: the precision in which it is multiplied.

    Attributes:
        desc: the description of the factor in its precision.
        memory: the memory that the products read.
    """

    def __init__(self, R: int, C: int, strides: Sequence[int], precision: Precision) -> None:
        full = _desc((R, C), "float32", strides)
        self._read = Memory(full.value)
        self._set = partial(load().c.dnnl_memory_set_data_handle, self._read.value)
        self.read: Callable[[int], int] = self._set
        if precision == "float32":
            self.desc, self.memory = full, self._read
            return
        self.desc = rounded = _desc((R, C), precision, strides)
        key = "round", R, C, tuple(strides)
        self._primitive = _primitive(key, lambda: _reorder(full.value, rounded.value))
        self._numbers = np.empty(R * C, np.uint16)
        self.memory = Memory(rounded.value, address(self._numbers))
        self._round = _call(self._primitive, (FROM, self._read), (TO, self.memory))
        self.read = self._set_and_round

    def _set_and_round(self, at: int) -> int:
        """Round the factor at an address; return the status."""
        self._set(at)
        return self._round()


# ---- products with weights


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
        src, dst = _desc((rows, K), precision, (K, 1)), _desc((rows, N), "float32", (N, 1))
        weights = _desc((K, N), precision, (N, 1) if plain else None)
        self._described = _matmul(src, weights.value, dst)
        c = load().c
        query = c.dnnl_primitive_desc_query_md
        self.desc = ctypes.c_void_p(query(self._described.value, WEIGHTS_DESC, 0))
        self.bytes = int(c.dnnl_memory_desc_get_size(self.desc))

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

    def __len__(self) -> int:
        return len(self.buffers)

    def __iter__(self) -> Iterator["PackedMatrices"]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, gates: int | slice) -> "PackedMatrices":
        chosen = slice(gates, gates + 1) if isinstance(gates, int) else gates
        return PackedMatrices(self.layout, self.buffers[chosen])

    def pack(self, matrices: Array) -> None:
        """Copy matrices (G, K, N) with any strides."""
        form, (_, K, N) = self.layout, matrices.shape
        strides = [step // matrices.itemsize for step in matrices.strides[1:]]
        plain = _desc((K, N), "float32", strides)
        key = "pack", id(form), K, N, tuple(strides)
        primitive = _primitive(key, lambda: _reorder(plain.value, form.desc))
        for matrix, memory in zip(matrices, self.memories, strict=True):
            at = int(matrix.__array_interface__["data"][0])
            before = Memory(plain.value, at)
            _check(_call(primitive, (FROM, before), (TO, memory))())

    def multiplier(self, out: Array) -> Callable[[Array], object]:
        """A function of x, (M, K) or (G, M, K), that writes x W to ``out``, (M, N) or (G, M, N)."""
        M, outs = out.shape[-2], out if out.ndim == 3 else out[None]
        x = _Factor(M, self.layout.K, (self.layout.K, 1), self.layout.precision)
        key = "matmul", id(self.layout), M
        dst = _desc((M, self.layout.N), "float32", (self.layout.N, 1))
        primitive = _primitive(key, lambda: _matmul(x.desc, self.layout.desc, dst))
        products, kept = [], [out, primitive, self, x]
        for memory, one in zip(self.memories, outs, strict=True):
            kept.append(into := Memory(dst.value, address(one)))
            products.append(_call(primitive, (SRC, x.memory), (WEIGHTS, memory), (DST, into)))
        return _together(x, products, kept)

    def activated_sum(self, rows: int, activation: Activation) -> Callable[[Array, Array], object]:
        """As ``matmul.activated_sum``, for ``rows`` rows."""
        form = self.layout
        x = _Factor(rows, form.K, (form.K, 1), form.precision)
        key = "sum", id(form), rows, activation
        dst = _desc((rows, form.N), "float32", (form.N, 1))
        primitive = _primitive(
            key, lambda: _matmul(x.desc, form.desc, dst, activation, accumulate=True)
        )
        sums, kept = [], [x, primitive, self]
        for memory in self.memories:
            kept.append(into := Memory(dst.value))
            set_out = partial(load().c.dnnl_memory_set_data_handle, into.value)
            sums.append(
                (set_out, _call(primitive, (SRC, x.memory), (WEIGHTS, memory), (DST, into)))
            )
        return _all_sums(x.read, sums, kept)


def _all_sums(
    read: Callable[[int], int],
    sums: Sequence[tuple[Callable[[int], int], Callable[[], int]]],
    kept: object,
) -> Callable[[Array, Array], object]:
    """A function of x and a that computes a sum for each matrix in ``a``."""
    addressof = ctypes.addressof
    from_buffer: Callable[[Any], ctypes.c_char] = ctypes.c_char.from_buffer

    def replace(x: Array, a: Array, kept: object = kept) -> None:
        wrong = read(addressof(from_buffer(x)))
        for (set_out, product), out in zip(sums, a if a.ndim == 3 else (a,), strict=True):
            wrong = wrong or set_out(addressof(from_buffer(out))) or product()
        if wrong:
            _check(wrong)

    return replace


def _together(
    x: _Factor, products: Sequence[Callable[[], int]], kept: object
) -> Callable[[Array], object]:
    """A function that reads a matrix for all products, or one for each, and computes them."""
    read, addressof = x.read, ctypes.addressof
    from_buffer: Callable[[Any], ctypes.c_char] = ctypes.c_char.from_buffer

    def multiply(array: Array, kept: object = kept) -> None:
        if array.ndim == 2:
            wrong = read(addressof(from_buffer(array)))
            for product in products:
                wrong = wrong or product()
        else:
            wrong = 0
            for one, product in zip(array, products, strict=True):
                wrong = wrong or read(addressof(from_buffer(one))) or product()
        if wrong:
            _check(wrong)

    return multiply


# ---- products whose factors and results are at other addresses each time


class _Product:
    """A product in the memory of one thread.

    Args:
        left: the left factor.
        right: the description of the right factor, or the factor if it is rounded, too.
        dst: the description of the result.
        primitive: the primitive that multiplies them.
    """

    def __init__(
        self, left: _Factor, right: "_Factor | ctypes.c_void_p", dst: Handle, primitive: Handle
    ) -> None:
        set_handle = load().c.dnnl_memory_set_data_handle
        self.left, self.right, self.primitive, self.out = left, right, primitive, Memory(dst.value)
        if isinstance(right, _Factor):
            self.weights, self.read_right = right.memory, right.read
        else:
            self.weights = Memory(right)
            self.read_right = partial(set_handle, self.weights.value)
        self.set_out = partial(set_handle, self.out.value)
        arguments = (SRC, left.memory), (WEIGHTS, self.weights), (DST, self.out)
        self.product = _call(primitive, *arguments)

    def __call__(self, left: int, right: int, out: int) -> None:
        """Multiply the matrices at two addresses."""
        wrong = self.left.read(left) or self.read_right(right)
        _check(wrong or self.set_out(out) or self.product())


def _bound(key: Any, make: Callable[[], _Product]) -> _Product:
    """The product of this thread for a key."""
    known = _thread().bound
    if key not in known:
        known[key] = make()
    return known[key]


def product_with(W: PackedMatrices, x: Array, out: Array) -> None:
    """Write x W to ``out``, (M, N) or (G, M, N), for x (M, K) or (G, M, K)."""
    M, form = x.shape[-2], W.layout

    def make() -> _Product:
        left = _Factor(M, form.K, (form.K, 1), form.precision)
        dst = _desc((M, form.N), "float32", (form.N, 1))
        key = "matmul", id(form), M
        primitive = _primitive(key, lambda: _matmul(left.desc, form.desc, dst))
        return _Product(left, form.desc, dst, primitive)

    multiply = _bound(("with", id(form), M), make)
    outs = out if out.ndim == 3 else out[None]
    for number, (buffer, one) in enumerate(zip(W.buffers, outs, strict=True)):
        multiply(address(x if x.ndim == 2 else x[number]), address(buffer), address(one))


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
    multiply = _transposed(R, K, N, precision, accumulate=accumulate)
    multiply(address(rows), address(gradient), address(out))


def _transposed(R: int, K: int, N: int, precision: Precision, *, accumulate: bool) -> _Product:
    """The product of matrices (R, K) and (R, N), whose result is (K, N)."""
    key = "transposed", R, K, N, precision, accumulate

    def make() -> _Product:
        left = _Factor(K, R, (1, K), precision)
        right, dst = _Factor(R, N, (N, 1), precision), _desc((K, N), "float32", (N, 1))
        primitive = _primitive(
            key, lambda: _matmul(left.desc, right.desc.value, dst, accumulate=accumulate)
        )
        return _Product(left, right, dst, primitive)

    return _bound(key, make)
