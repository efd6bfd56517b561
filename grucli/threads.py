"""The processor cores that the program may use, and how it shares them with NumPy's products."""

import os

MANY_SAMPLES = 16
"""Samples from which threads share them; fewer are made by one, whose products are shared."""

SIDE_BY_SIDE = 1024
"""Most samples that are made side by side."""

HELD = 2**22
"""Most characters of samples that are made side by side, since all but one wait in memory."""

PRODUCT_THREADS = 4
"""Most threads that a product of few rows is worth."""


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_product_threads(threads: int) -> None:
    """Have NumPy compute each product in that many threads; what the user has set stays.

    Works only before NumPy is first imported in this process, and for the processes it starts.
    """
    for library in ("OPENBLAS_NUM", "MKL_NUM", "BLIS_NUM", "VECLIB_MAXIMUM", "OMP_NUM"):
        os.environ.setdefault(f"{library}_THREADS", str(threads))


def product_threads(samples: int) -> int:
    """Threads that shall share each product when so many samples are made side by side."""
    return 1 if samples >= MANY_SAMPLES else min(available_cores(), PRODUCT_THREADS)


def side_by_side(samples: int, length: int) -> int:
    """How many of so many samples of that length are made side by side, the others after them."""
    return max(1, min(samples, SIDE_BY_SIDE, HELD // max(1, length)))
