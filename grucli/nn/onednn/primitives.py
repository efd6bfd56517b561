"""Objects of oneDNN: descriptions of matrices, matrices in memory, and primitives that compute.

Descriptions and primitives never change, and all threads share them. A call of a primitive has
objects that change: the addresses of its arguments, its scratch memory and its stream. They belong
to the call, and a call to whoever made it. Two threads must not execute the same call.
"""

import ctypes
import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from grucli.nn.onednn.library import Activation, Precision, check, load

FLOAT32, BFLOAT16 = 3, 2  # dnnl_data_type_t
TYPES: dict[Precision, int] = {"float32": FLOAT32, "bfloat16": BFLOAT16}
ANY = 1  # dnnl_format_tag_t
SRC, DST, WEIGHTS, FROM, TO, SCRATCH = 1, 17, 33, 1, 17, 80  # DNNL_ARG_*
IN_ORDER = 1  # dnnl_stream_flags_t
OF_CALLER = 1  # dnnl_scratchpad_mode_t: dnnl_scratchpad_mode_user
WEIGHTS_DESC, SCRATCH_DESC = 131, 136  # dnnl_query_t: dnnl_query_weights_md, ..._scratchpad_md
ALLOCATE = -1  # DNNL_MEMORY_ALLOCATE
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


@cache
def description(
    shape: tuple[int, ...], precision: Precision, strides: tuple[int, ...] | None
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


_PRIMITIVES: dict[Any, "Primitive"] = {}


class Primitive(Handle):
    """A primitive that uses the scratch memory of its caller.

    Args:
        described: its description.
    """

    def __init__(self, described: Handle) -> None:
        create = load().c.dnnl_primitive_create
        self.described, self.scratch = described, query(described, SCRATCH_DESC)
        super().__init__("primitive", lambda out: create(out, described.value))


def primitive(key: Any, describe: Callable[[], Handle]) -> Primitive:
    """The primitive for a key; it is made from its description the first time."""
    if key not in _PRIMITIVES:
        _PRIMITIVES[key] = Primitive(describe())
    return _PRIMITIVES[key]


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.known: dict[Any, Any] = {}


_OF_THREAD = _OfThread()


def of_thread(key: Any, make: Callable[[], Any]) -> Any:
    """The object of this thread for a key, made the first time; it must not leave the caller."""
    known = _OF_THREAD.known
    if key not in known:
        known[key] = make()
    return known[key]


class _Arg(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_int), ("memory", ctypes.c_void_p)]


def call(of: Primitive, *arguments: tuple[int, Memory]) -> Call:
    """A function that executes a primitive with arguments, which live as long as the function."""
    library = load()
    create, engine = library.c.dnnl_stream_create, library.engine
    stream = Handle("stream", lambda out: create(out, engine, IN_ORDER))
    scratch = [(SCRATCH, Memory(of.scratch, ALLOCATE))] if size_in_bytes(of.scratch) else []
    given = *arguments, *scratch
    args: Any = (_Arg * len(given))(*[_Arg(arg, memory.value) for arg, memory in given])
    args.kept = of, stream, given
    return partial(library.c.dnnl_primitive_execute, of.value, stream.value, len(args), args)


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
    check(c.dnnl_primitive_attr_set_scratchpad_mode(attr.value, OF_CALLER))
    if activation is not None:
        kind = ELTWISE[activation]
        check(c.dnnl_post_ops_append_eltwise(operations.value, kind, zero, zero))
    check(c.dnnl_primitive_attr_set_post_ops(attr.value, operations.value))
    return attr


def query(described: Handle, what: int) -> ctypes.c_void_p:
    """The description of an argument of a described primitive; it lives as long as that."""
    return ctypes.c_void_p(load().c.dnnl_primitive_desc_query_md(described.value, what, 0))


def size_in_bytes(desc: ctypes.c_void_p) -> int:
    """Bytes of a described matrix."""
    return int(load().c.dnnl_memory_desc_get_size(desc))


def reorder(before: ctypes.c_void_p, after: ctypes.c_void_p) -> Handle:
    """Describe a copy to another layout or precision."""
    library, attr = load(), _attributes(None, accumulate=False)
    create, engine = library.c.dnnl_reorder_primitive_desc_create, library.engine
    return Handle(
        "primitive_desc", lambda out: create(out, before, engine, after, engine, attr.value)
    )
