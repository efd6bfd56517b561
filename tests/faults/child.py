"""grucli with an accident: ``python -m tests.faults.child FAULT N ARGUMENTS``.

Each opening, writing, syncing, renaming and removing of a file counts; the N-th, counted from
the start, meets FAULT: "kill" ends the process as SIGKILL does, before the operation or, if it
is a write, in the middle of it; the name of an error number, such as ENOSPC, makes it fail with
that error, once; "count" lets all pass and tells on stderr how many there were. With "locks", no
file can be locked while the file exists that NO_LOCKS in the environment names.
"""

import atexit
import builtins
import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAULT, AT = sys.argv[1], int(sys.argv[2])
seen = 0


def accident(during_write: Callable[[], object] = lambda: None) -> None:
    """Count an operation; the chosen one does not take place."""
    global seen
    seen += 1
    if seen != AT or FAULT == "count":
        return
    during_write()
    if FAULT == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    number = getattr(errno, FAULT)
    raise OSError(number, os.strerror(number))


class Writing:
    """A file open for writing."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, data: Any) -> int:
        accident(lambda: self.file.write(bytes(data)[: len(bytes(data)) // 2]))
        return int(self.file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> "Writing":
        self.file.__enter__()
        return self

    def __exit__(self, *details: Any) -> Any:
        return self.file.__exit__(*details)


def faulty(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **named: Any) -> Any:
        accident()
        return function(*arguments, **named)

    return wrapped


def faulty_open(original: Callable[..., Any]) -> Callable[..., Any]:
    def opened(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if "b" not in mode or not set(mode) & set("wax"):
            return original(path, mode, *arguments, **named)
        accident()
        return Writing(original(path, mode, *arguments, **named))

    return opened


def failing_flock(descriptor: int, operation: int) -> None:
    if os.path.exists(os.environ["NO_LOCKS"]):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    original(descriptor, operation)


if __name__ == "__main__":
    if FAULT == "locks":
        import fcntl

        original, fcntl.flock = fcntl.flock, failing_flock
    os.fsync = faulty(os.fsync)
    for name in ("replace", "unlink", "mkdir"):
        setattr(Path, name, faulty(getattr(Path, name)))
    Path.open = faulty_open(Path.open)  # type: ignore[method-assign, assignment]
    builtins.open = faulty_open(open)
    if FAULT == "count":
        atexit.register(lambda: print(f"operations: {seen}", file=sys.stderr))
    from grucli.cli import main

    main(sys.argv[3:])
