"""Signals that stop the program, and what is closed at its end."""

import atexit
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import GEN_RUNNING, getgeneratorstate
from types import FrameType
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

STOP_SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__
)
"""Ctrl-C, SIGTERM, and the end of the terminal. Often the whole process group receives them."""


@contextmanager
def stop_signals(
    handler: Callable[[int, FrameType | None], object] | signal.Handlers,
) -> Iterator[None]:
    """Let ``handler`` handle the signals that stop, except those that whoever started us ignores.

    Only the main thread can ask for it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [one for one in STOP_SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


P = ParamSpec("P")
G = TypeVar("G", bound=Generator[Any, None, Any])

_OPEN: WeakSet[Generator[Any, None, Any]] = WeakSet()


def closed_at_exit(function: Callable[P, G]) -> Callable[P, G]:
    """Close the generators of a function when the program ends, while it can still save a run."""

    @wraps(function)
    def begin(*args: P.args, **named: P.kwargs) -> G:
        generator = function(*args, **named)
        _OPEN.add(generator)
        return generator

    return begin


def at_exit(function: Callable[[], object]) -> None:
    """Call a function when the program ends, but after the runs that a script has left are saved.

    What was registered last is called first.
    """
    atexit.register(function)
    atexit.unregister(_close_all)
    atexit.register(_close_all)


def _close_all() -> None:
    for generator in list(_OPEN):
        if getgeneratorstate(generator) != GEN_RUNNING:  # in a thread that is left behind
            generator.close()


atexit.register(_close_all)
