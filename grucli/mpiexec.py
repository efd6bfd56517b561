"""Processes that mpiexec has started. This module does not load MPI."""

import os
import signal
from collections.abc import Sequence

from grucli.errors import UsageError

# environment variables in which mpiexec, or Slurm's srun, publishes the number of ranks, and those
# in which mpiexec publishes the number of the process
SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
RANK_VARIABLES = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK")


def started_ranks() -> int | None:
    """The number of ranks that mpiexec has started; None if it has not started this process."""
    return _env_int(SIZE_VARIABLES)


def _env_int(variables: Sequence[str]) -> int | None:
    """The number in the first of some environment variables that has one."""
    values = [os.environ.get(name, "") for name in variables]
    return next((int(value) for value in values if value.isdigit()), None)


def should_print() -> bool:
    """Whether this process should print what all ranks would, such as an error of usage."""
    return (_env_int(RANK_VARIABLES) or 0) == 0


def is_a_rank() -> bool:
    """Whether mpiexec has started this process.

    Newer launchers use PMIx, which does not publish the size.
    """
    return started_ranks() is not None or _env_int(RANK_VARIABLES) is not None


def refuse_equal_runs() -> None:
    """Refuse to go on if mpiexec has started several processes that do not know of each other.

    The first raises a UsageError, the others exit.
    """
    size = started_ranks()
    if size is not None and size > 1:
        if not should_print():
            raise SystemExit(UsageError.exit_code)
        raise UsageError(
            f"mpiexec has started {size} processes, which would train {size} equal runs: `grucli "
            "train` with --mpi trains one run together"
        )


def exit_by_signal(number: int) -> None:
    """End this process by a signal, if mpiexec has started it with others.

    After an ordinary exit of a process that has not joined the others yet, mpiexec lets them wait
    for it forever.
    """
    if (started_ranks() or 1) > 1:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
