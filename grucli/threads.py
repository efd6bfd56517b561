"""Cores, and the threads of matrix products.

grucli shares its work among processes or threads itself. Therefore it limits the threads of NumPy's
BLAS while it computes, unless the user has set OPENBLAS_NUM_THREADS or a similar variable. It also
limits those of OpenMP, which oneDNN uses: in a script that has imported PyTorch, each process would
have as many as there are cores, and take eight times as long.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

VARIABLES = tuple(
    f"{name}_THREADS"
    for name in ("OPENBLAS_NUM", "GOTO_NUM", "MKL_NUM", "BLIS_NUM", "VECLIB_MAXIMUM", "OMP_NUM")
)
"""Environment variables that set the number of BLAS threads."""

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux shows the limits of containers and services (control groups, version 2), and in which
group this process is."""

MANY = 2**16  # cores, where nothing limits them


def available_cores() -> int:
    """How many cores this process may use: its own ones, within the quota of its container."""
    return min(len(own_cores()), cpu_quota())


def own_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@cache
def cpu_quota() -> int:
    """How many cores the control groups of this process let it use at a time, rounded up."""
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:  # there are control groups on Linux only
        return MANY
    group = next((line[len("0::/") :] for line in lines if line.startswith("0::/")), "")
    return min(map(_quota_of, (CGROUPS / group, *(CGROUPS / group).parents)))


def _quota_of(group: Path) -> int:
    """The quota of one control group. "max 100000" means that there is none."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        return MANY


@cache
def _libraries() -> list[Any]:
    """Controllers for the threads of each loaded BLAS and of OpenMP; the first is NumPy's BLAS."""
    import numpy as np
    from threadpoolctl import ThreadpoolController

    del np  # the import loads its BLAS
    libraries = ThreadpoolController().lib_controllers
    return sorted(libraries, key=lambda one: (one.user_api != "blas", "numpy" not in one.filepath))


def blas() -> dict[str, Any]:
    """Information about NumPy's BLAS; empty if its kind is unknown."""
    found = [library.info() for library in _libraries()[:1] if library.user_api == "blas"]
    return dict(found[0]) if found else {}


# what the user has set, before grucli sets one of them for a moment (``nn/onednn``)
_SET = any(os.environ.get(variable) for variable in VARIABLES)


def set_by_user() -> bool:
    return _SET


def limit_blas(threads: int) -> None:
    """Set the number of threads that share each product, unless the user has set it."""
    if set_by_user():
        return
    for library in _libraries():
        library.set_num_threads(threads)


def begin_thread() -> None:
    """Let oneDNN compute alone in this thread: OpenMP has a number of threads for each of them."""
    for library in () if set_by_user() else _libraries():
        if library.user_api == "openmp":
            library.set_num_threads(1)


_LOCK = threading.Lock()
_LIMITS: dict[object, int] = {}  # of all contexts that are open, the newest last
_BEFORE: list[int] = []  # the numbers of threads while no context is open


@contextmanager
def blas_limited_to(threads: int) -> Iterator[None]:
    """Set the number of threads that share each product of this process in this context.

    Contexts may end in any order: the newest open one counts, and the last one restores the number.
    It is not changed if the user has set it.
    """
    if set_by_user():
        yield
        return
    libraries, context = _libraries(), object()
    with _LOCK:
        if not _LIMITS:
            _BEFORE[:] = [library.num_threads for library in libraries]
    try:
        with _LOCK:
            _LIMITS[context] = threads
            limit_blas(threads)
        yield
    finally:
        with _LOCK:
            _LIMITS.pop(context, None)  # Ctrl-C may have come before it was there
            numbers = [*_LIMITS.values()][-1:] * len(libraries) or _BEFORE
            for library, number in zip(libraries, numbers, strict=True):
                library.set_num_threads(number)
