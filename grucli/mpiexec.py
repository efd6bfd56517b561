"""Processes that mpiexec has started. This module does not load MPI."""

import os
import signal

from grucli.errors import UsageError

SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Environment variables in which mpiexec, or Slurm's srun, tells a process the number of ranks."""


def started_ranks() -> int | None:
    """The number of ranks that mpiexec has started; None if it has not started this process."""
    told = [os.environ.get(name, "") for name in SIZE_VARIABLES]
    return next((int(size) for size in told if size.isdigit()), None)


def is_a_rank() -> bool:
    """Whether mpiexec has started this process. PMIx, which newer ones use, tells no size."""
    return started_ranks() is not None or "PMIX_RANK" in os.environ


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
