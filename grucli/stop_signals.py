"""The signals that ask a program to stop, and what they do for a while."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C and SIGTERM. Often the whole process group receives them."""

Handler = Callable[[int, FrameType | None], object] | signal.Handlers
"""What Python calls for a signal, or what the system does."""


@contextmanager
def stop_signals(handler: Handler) -> Iterator[None]:
    """Let ``handler`` handle these signals in this context; only the main thread can ask for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, handler) for number in STOP_SIGNALS]
    try:
        yield
    finally:
        for number, old in zip(STOP_SIGNALS, before, strict=True):
            signal.signal(number, old)
