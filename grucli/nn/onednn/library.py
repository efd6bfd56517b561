"""The library of oneDNN, found and loaded.

oneDNN generates code for the processor at hand. It multiplies with weights in a layout of its own,
in float32, or in bfloat16 with sums in float32 if the processor has instructions for that. It is
called through its C interface (oneDNN 3: ``oneapi/dnnl/dnnl.h``, ``dnnl_types.h``,
``dnnl_common_types.h``), of which these modules have the few calls that products need.
"""

import ctypes
import os
import site
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

Precision = Literal["float32", "bfloat16"]
Activation = Literal["sigmoid", "tanh"]

VARIABLE = "GRUCLI_ONEDNN"
"""Environment variable with the path of the library."""

MAJOR = 3
"""The major version of oneDNN whose interface these modules use."""

CPU = 1  # dnnl_engine_kind_t
HAS_AVX512, HAS_BFLOAT16 = 0x20, 0x80  # bits of dnnl_cpu_isa_t
OUT_OF_MEMORY = 1  # dnnl_status_t
STATUS = {2: "invalid arguments", 3: "not implemented", 5: "runtime error"}  # dnnl_status_t


class Unavailable(Exception):  # noqa: N818 - a reason, not an error of the user
    """oneDNN cannot be used here; the message says why."""


class _Version(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("major", "minor", "patch")]


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
    check(c.dnnl_engine_create(ctypes.byref(engine), CPU, ctypes.c_size_t(0)))
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


def check(status: int) -> None:
    """Raise an error for a status (``dnnl_status_t``) that is not success."""
    if status == OUT_OF_MEMORY:
        raise MemoryError("oneDNN has not enough memory")
    if status:
        raise Unavailable(f"oneDNN reports: {STATUS.get(status, f'error {status}')}")
