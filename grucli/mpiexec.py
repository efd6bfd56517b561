"""Processes that mpiexec has started. This module does not load MPI."""

import os
import signal

from grucli.errors import UsageError

SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Environment variables in which mpiexec tells a process the number of ranks."""


def started_ranks() -> int | None:
    """The number of ranks that mpiexec has started; None if it has not started this process."""
    found = [os.environ[name] for name in SIZE_VARIABLES if name in os.environ]
    return int(found[0]) if found and found[0].isdigit() else None


def refuse_equal_runs() -> None:
    """Refuse to go on if mpiexec has started several processes that do not know of each other.

    Raises:
        UsageError: it has.
    """
    size = started_ranks()
    if size is not None and size > 1:
        raise UsageError(
            f"mpiexec has started {size} processes, which would train {size} equal runs: `grucli "
            "train` with --mpi trains one run together"
        )


def die_of(number: int) -> None:
    """End this process by a signal, if mpiexec has started it with others.

    After an ordinary exit of a process that has not joined the others yet, mpiexec lets them wait
    for it forever.
    """
    if (started_ranks() or 1) > 1:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
