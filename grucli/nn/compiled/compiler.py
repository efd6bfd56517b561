"""How functions are compiled, and where the code is kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba.core import config

# NaN and infinity stay what they are, and the order of sums, too.
OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
OPTIONS["no_cfunc_wrapper"] = True  # no function has another one as an argument

folder: str | None = None  # where the code of modules imported from now on is kept, or nowhere


@contextmanager
def kept() -> Iterator[bool]:
    """Whether code is kept; Numba reads the folder when a function is decorated."""
    before, config.CACHE_DIR = config.CACHE_DIR, folder or ""
    try:
        yield folder is not None
    finally:
        config.CACHE_DIR = before


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    options = {**OPTIONS, **options}
    with kept() as cache:
        dispatcher = numba.njit(function, cache=cache, **options)
    if cache and not str(dispatcher.stats.cache_path).startswith(str(folder)):
        return numba.njit(function, **options)  # Numba could not write there, and chose a place
    return dispatcher


def compiled_exact(function: Callable[..., Any]) -> Any:
    """With the rounding of each operation, so that all processors compute the same bits."""
    return compiled(function, fastmath=False)


def compiled_sum(function: Callable[..., Any]) -> Any:
    """A sum in an order that suits the processor."""
    return compiled(function, fastmath={"contract", "nsz", "reassoc"})
