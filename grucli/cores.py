"""The processor cores that the program may use, and how it shares them with NumPy's products."""

import os

MANY_SAMPLES = 16
"""Samples from which threads share them; fewer are made by one, whose products are shared."""

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
