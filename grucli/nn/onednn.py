"""The C interface of oneDNN: the library, found and loaded, and the objects that products need.

oneDNN generates code for the processor at hand. It multiplies with weights in a layout of its own,
in float32, or in bfloat16 with sums in float32 if the processor has instructions for that. Its C
interface is that of oneDNN 3 (``oneapi/dnnl/dnnl.h``, ``dnnl_types.h``, ``dnnl_common_types.h``).

Descriptions and primitives never change, and all threads share them. A call of a primitive has
objects that change: the addresses of its arguments, its scratch memory and its stream. They belong
to the call, and a call to whoever made it. Two threads must not execute the same call.
"""

import ctypes
import os
import site
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ctypes.util import find_library
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from grucli.nn import calls

Precision = Literal["float32", "bfloat16"]

VARIABLE = "GRUCLI_ONEDNN"  # the environment variable with the path of the library
MAJOR = 3  # the major version whose interface this module uses

CPU = 1  # dnnl_engine_kind_t
HAS_AVX512, HAS_BFLOAT16, HAS_FP16, HAS_AMX = 0x20, 0x80, 0x100, 0x400  # bits of dnnl_cpu_isa_t
OUT_OF_MEMORY = 1  # dnnl_status_t
STATUS = {2: "invalid arguments", 3: "not implemented", 5: "runtime error"}  # dnnl_status_t
TYPES: dict[Precision, int] = {"float32": 3, "bfloat16": 2}  # dnnl_data_type_t
ANY = 1  # dnnl_format_tag_t
ARGUMENTS = SRC, DST, WEIGHTS = 1, 17, 33  # DNNL_ARG_*; of a copy, the first two
SCRATCH = 80  # DNNL_ARG_SCRATCHPAD
IN_ORDER = 1  # dnnl_stream_flags_t
OF_CALLER = 1  # dnnl_scratchpad_mode_t: dnnl_scratchpad_mode_user
WEIGHTS_DESC, SCRATCH_DESC = 131, 136  # dnnl_query_t: dnnl_query_weights_md, ..._scratchpad_md
ALLOCATE = -1  # DNNL_MEMORY_ALLOCATE

Call = Callable[[], int]  # executes a primitive; its result is the status, 0 for success


class Unavailable(Exception):  # noqa: N818 - a reason, not an error of the user
    """oneDNN cannot be used here; the message says why."""


# ---- the library


class Library(NamedTuple):
    """The loaded library."""

    c: Any  # its functions
    version: str  # such as "3.2.0"
    isa: int  # the instructions that it uses, as bits of dnnl_cpu_isa_t
    engine: ctypes.c_void_p  # for the processor

    @property
    def has_bfloat16(self) -> bool:
        return bool(self.isa & HAS_BFLOAT16)

    @property
    def bfloat16_is_faster(self) -> bool:
        """Whether products are faster in bfloat16 than in float32, by what was measured.

        They are with AMX, and on Zen 4. Intel's processors that have AVX512-FP16, but whose AMX a
        virtual machine hides, take 1.5 times as long (``docs/benchmarks.md``).
        """
        return self.has_bfloat16 and bool(self.isa & HAS_AMX or not self.isa & HAS_FP16)


def candidates() -> list[str]:
    """Paths and names under which the library may be found, in the order of preference."""
    if path := os.environ.get(VARIABLE):
        return [path]
    names = ("libdnnl.so.3", "libdnnl.3.dylib", "dnnl.dll")
    folders = [Path(sys.prefix, "lib"), Path(sys.prefix, "Library", "bin"), Path(sys.prefix, "bin")]
    folders.append(Path(site.getuserbase(), "lib"))  # a library of this user
    paths = [str(folder / name) for folder in folders for name in names]
    return [path for path in paths if os.path.exists(path)] or _of_system()


@cache
def _of_system() -> list[str]:
    """The library of the system; the search starts other programs and takes some time."""
    path = find_library("dnnl")
    return [path] if path else []


@cache
def load() -> Library:
    """Load the library; ``Unavailable`` if it is missing, damaged, or of another version."""
    problems = []
    for path in candidates():
        try:
            with _one_thread_at_load():
                return _open(path)
        except Unavailable as problem:
            problems.append(str(problem))
    raise Unavailable("; ".join(problems) or "oneDNN is not installed")


def _open(path: str) -> Library:
    try:
        c = ctypes.CDLL(path)
        c.dnnl_version.restype = ctypes.POINTER(ctypes.c_int * 3)  # major, minor, patch
        version = list(c.dnnl_version().contents)
    except (OSError, AttributeError) as error:
        raise Unavailable(f"{path}: cannot be loaded: {error}") from None
    words = ".".join(map(str, version))
    if version[0] != MAJOR:
        raise Unavailable(f"{path}: is oneDNN {words}; version {MAJOR} is needed")
    c.dnnl_primitive_desc_query_md.restype = ctypes.c_void_p
    c.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
    c.dnnl_memory_set_data_handle.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    engine = ctypes.c_void_p()
    check(c.dnnl_engine_create(ctypes.byref(engine), CPU, ctypes.c_size_t(0)))
    return Library(c, words, int(c.dnnl_get_effective_cpu_isa()), engine)


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


def check(status: int) -> None:
    """Raise an error for a status (``dnnl_status_t``) that is not success."""
    if status == OUT_OF_MEMORY:
        raise MemoryError("oneDNN has not enough memory")
    if status:
        raise Unavailable(f"oneDNN reports: {STATUS.get(status, f'error {status}')}")


# ---- its objects


class Handle:
    """An object of oneDNN, destroyed with this one; ``create`` writes it to its first argument."""

    def __init__(self, kind: str, create: Callable[..., int], *arguments: Any) -> None:
        self.value = ctypes.c_void_p()
        self._destroy = getattr(load().c, f"dnnl_{kind}_destroy")
        check(create(ctypes.byref(self.value), *arguments))

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
        return Handle("memory_desc", c.dnnl_memory_desc_create_with_tag, n, dims, type_, ANY)
    steps = (ctypes.c_int64 * n)(*strides)
    return Handle("memory_desc", c.dnnl_memory_desc_create_with_strides, n, dims, type_, steps)


class Memory(Handle):
    """A matrix in memory that belongs to someone else; its address can change."""

    def __init__(self, desc: ctypes.c_void_p, address: int = 0) -> None:
        create, engine, at = load().c.dnnl_memory_create, load().engine, ctypes.c_void_p(address)
        super().__init__("memory", create, desc, engine, at)

    def setter(self) -> Callable[[int], int]:
        """A function that sets the address, and returns the status."""
        return partial(load().c.dnnl_memory_set_data_handle, self.value)


class Primitive(Handle):
    """A computation that has been described; it uses the scratch memory of its caller."""

    def __init__(self, described: Handle) -> None:
        super().__init__("primitive", load().c.dnnl_primitive_create, described.value)
        self.described = described
        self.scratch = query(described, SCRATCH_DESC)


class _Arg(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_int), ("memory", ctypes.c_void_p)]


def call(primitive: Primitive, *memories: Memory) -> Call:
    """A function that executes a primitive with its usual arguments, which live as long."""
    return execution(primitive, dict(zip(ARGUMENTS, memories, strict=False)))


def execution(primitive: Primitive, named: Mapping[int, Memory]) -> Call:
    """The same with arguments by their numbers, DNNL_ARG_*."""
    library, arguments = load(), list(named.items())
    stream = Handle("stream", library.c.dnnl_stream_create, library.engine, IN_ORDER)
    if size_in_bytes(primitive.scratch):
        arguments.append((SCRATCH, Memory(primitive.scratch, ALLOCATE)))
    args: Any = (_Arg * len(arguments))(*[_Arg(arg, memory.value) for arg, memory in arguments])
    args.kept = primitive, stream, arguments
    execute = library.c.dnnl_primitive_execute
    return partial(execute, primitive.value, stream.value, len(args), args)


def row(function: Any, *more: int, growth: int = 0) -> list[int]:
    """The row in ``calls`` of a function and its arguments, of which the last grows."""
    values = [getattr(argument, "value", argument) for argument in function.args]
    values = [value if isinstance(value, int) else ctypes.addressof(value) for value in values]
    values += more
    return calls.row(function.func, *values, growth=(*[0] * (len(values) - 1), growth))


def matmul(src: Handle, weights: ctypes.c_void_p, dst: Handle, *, add: bool = False) -> Handle:
    """Describe dst = src weights, or dst += src weights."""
    create, engine = load().c.dnnl_matmul_primitive_desc_create, load().engine
    factors = src.value, weights, None, dst.value
    attributes = _attributes(add=add)
    return Handle("primitive_desc", create, engine, *factors, attributes.value)


def reorder(before: ctypes.c_void_p, after: ctypes.c_void_p) -> Handle:
    """Describe a copy to another layout or precision."""
    create, engine = load().c.dnnl_reorder_primitive_desc_create, load().engine
    attributes = _attributes()
    return Handle("primitive_desc", create, before, engine, after, engine, attributes.value)


def _attributes(*, add: bool = False) -> Handle:
    c = load().c
    attributes = Handle("primitive_attr", c.dnnl_primitive_attr_create)
    operations = Handle("post_ops", c.dnnl_post_ops_create)
    if add:
        one, zero = ctypes.c_float(1.0), ctypes.c_int32(0)
        check(c.dnnl_post_ops_append_sum(operations.value, one, zero, 0))
    check(c.dnnl_primitive_attr_set_scratchpad_mode(attributes.value, OF_CALLER))
    check(c.dnnl_primitive_attr_set_post_ops(attributes.value, operations.value))
    return attributes


def query(described: Handle, what: int) -> ctypes.c_void_p:
    """The description of an argument of a described primitive; it lives as long as that."""
    return ctypes.c_void_p(load().c.dnnl_primitive_desc_query_md(described.value, what, 0))


def size_in_bytes(desc: ctypes.c_void_p) -> int:
    return int(load().c.dnnl_memory_desc_get_size(desc))


def address(array: Any) -> int:
    """The address of a contiguous array."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # three times as fast
    except (TypeError, ValueError, BufferError):  # it is read-only
        if not array.flags.c_contiguous:
            raise ValueError("the array is not contiguous") from None
        return int(array.ctypes.data)
