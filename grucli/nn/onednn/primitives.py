"""Objects of oneDNN: descriptions of matrices, matrices in memory, and primitives that compute.

A primitive has scratch memory, so each thread has primitives of its own.
"""

import ctypes
import threading
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from grucli.nn.onednn.library import Activation, Precision, check, load

FLOAT32, BFLOAT16 = 3, 2  # dnnl_data_type_t
TYPES: dict[Precision, int] = {"float32": FLOAT32, "bfloat16": BFLOAT16}
ANY = 1  # dnnl_format_tag_t
SRC, DST, WEIGHTS, FROM, TO = 1, 17, 33, 1, 17  # DNNL_ARG_*
IN_ORDER = 1  # dnnl_stream_flags_t
WEIGHTS_DESC = 131  # dnnl_query_t: dnnl_query_weights_md
ELTWISE: dict[Activation, int] = {"tanh": 0x21, "sigmoid": 0x29}  # dnnl_alg_kind_t

Call = Callable[[], int]
"""Executes a primitive; its result is the status, 0 for success."""


class Handle:
    """An object of oneDNN, destroyed with this object."""

    def __init__(self, kind: str, make: Callable[[Any], int]) -> None:
        self.value = ctypes.c_void_p()
        self._destroy = getattr(load().c, f"dnnl_{kind}_destroy")
        check(make(ctypes.byref(self.value)))

    def __del__(self) -> None:
        if self.value:
            self._destroy(self.value)


def description(
    shape: Sequence[int], precision: Precision, strides: Sequence[int] | None
) -> Handle:
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
    """A matrix in memory that belongs to someone else; its address can change."""

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
    """What belongs to one thread: a stream, and objects by their keys."""

    def __init__(self) -> None:
        library = load()
        create, engine = library.c.dnnl_stream_create, library.engine
        self.stream = Handle("stream", lambda out: create(out, engine, IN_ORDER))
        self.known: dict[Any, Any] = {}


@cache
def _thread() -> _Thread:
    return _Thread()


def of_thread(key: Any, make: Callable[[], Any]) -> Any:
    """The object of this thread for a key; it is made the first time."""
    known = _thread().known
    if key not in known:
        known[key] = make()
    return known[key]


def primitive(key: Any, describe: Callable[[], Handle]) -> Handle:
    """The primitive of this thread for a key; it is made from its description the first time."""

    def make() -> Handle:
        desc, create = describe(), load().c.dnnl_primitive_create
        return Handle("primitive", lambda out: create(out, desc.value))

    found: Handle = of_thread(key, make)
    return found


class _Arg(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_int), ("memory", ctypes.c_void_p)]


def call(of: Handle, *arguments: tuple[int, Memory]) -> Call:
    """A function that executes a primitive with arguments, which live as long as the function."""
    args: Any = (_Arg * len(arguments))(*[_Arg(arg, memory.value) for arg, memory in arguments])
    args.kept = of, arguments
    execute, stream = load().c.dnnl_primitive_execute, _thread().stream.value
    return partial(execute, of.value, stream, len(args), args)


def matmul(
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
        check(c.dnnl_post_ops_append_sum(operations.value, one, ctypes.c_int32(0), 0))
    if activation is not None:
        kind = ELTWISE[activation]
        check(c.dnnl_post_ops_append_eltwise(operations.value, kind, zero, zero))
    check(c.dnnl_primitive_attr_set_post_ops(attr.value, operations.value))
    return attr


def weights_description(described: Handle) -> ctypes.c_void_p:
    """The layout that a described product has chosen for its weights; it lives as long as that."""
    query = load().c.dnnl_primitive_desc_query_md
    return ctypes.c_void_p(query(described.value, WEIGHTS_DESC, 0))


def size_in_bytes(desc: ctypes.c_void_p) -> int:
    """Bytes of a described matrix."""
    return int(load().c.dnnl_memory_desc_get_size(desc))


def reorder(before: ctypes.c_void_p, after: ctypes.c_void_p) -> Handle:
    """Describe a copy to another layout or precision."""
    library = load()
    create, engine = library.c.dnnl_reorder_primitive_desc_create, library.engine
    return Handle("primitive_desc", lambda out: create(out, before, engine, after, engine, None))
