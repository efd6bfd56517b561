"""The processor cores that the program may use, and how it shares them with NumPy's products.

NumPy hands products of matrices to a library, the BLAS, which shares them among threads. That does
not suit a program that shares its work among processes or threads itself, so the number of these
threads is limited while grucli computes, and no longer: other code of the same process keeps its
own. Where the user has set OPENBLAS_NUM_THREADS or a variable like it, that stays.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

MANY_SAMPLES = 16
"""Samples from which threads share them; fewer are made by one, whose products are shared."""

SIDE_BY_SIDE = 1024
"""Most samples that are made side by side."""

HELD = 2**22
"""Most characters of samples that are made side by side, since all but one wait in memory."""

PRODUCT_THREADS = 4
"""Most threads that a product of few rows is worth."""

VARIABLES = tuple(
    f"{name}_THREADS"
    for name in ("OPENBLAS_NUM", "GOTO_NUM", "MKL_NUM", "BLIS_NUM", "VECLIB_MAXIMUM", "OMP_NUM")
)
"""Environment variables by which users say how many threads share a product."""


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _libraries() -> list[Any]:
    """What sets and tells the number of threads of each BLAS, NumPy's first."""
    import numpy as np
    from threadpoolctl import ThreadpoolController

    del np  # what it loads is looked for
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return sorted(found, key=lambda library: "numpy" not in library.filepath)


def blas() -> dict[str, Any]:
    """What is known of NumPy's BLAS; nothing if it is of an unknown kind."""
    return dict(_libraries()[0].info()) if _libraries() else {}


def blas_threads() -> int | None:
    """Threads that share a product as things stand, None if that is unknown."""
    libraries = _libraries()
    return int(libraries[0].num_threads) if libraries else None


@cache
def user_has_set_threads() -> bool:
    """Whether the user has set how many threads share a product, before a BLAS was loaded."""
    return any(os.environ.get(variable) for variable in VARIABLES)


def limit_blas(threads: int) -> None:
    """Have so many threads share each product from now on, unless the user has set how many."""
    if user_has_set_threads():
        return
    for library in _libraries():
        library.set_num_threads(threads)


@contextmanager
def blas_limited_to(threads: int) -> Iterator[None]:
    """Have so many threads share each product in this context, unless the user has set how many.

    This takes some microseconds. The number belongs to the process, not to the thread that sets it.
    """
    before = [] if user_has_set_threads() else [(lib, lib.num_threads) for lib in _libraries()]
    try:
        for library, _ in before:
            library.set_num_threads(threads)
        yield
    finally:
        for library, number in before:
            library.set_num_threads(number)


def product_threads(samples: int) -> int:
    """Threads that shall share each product when so many samples are made side by side."""
    return 1 if samples >= MANY_SAMPLES else min(available_cores(), PRODUCT_THREADS)


def side_by_side(samples: int, length: int) -> int:
    """How many of so many samples of that length are made side by side, the others after them."""
    return max(1, min(samples, SIDE_BY_SIDE, HELD // max(1, length)))
