"""Processes that mpiexec has started. This module does not load MPI."""

import os
import signal
from collections.abc import Sequence

from grucli.errors import UsageError

# environment variables of mpiexec, or Slurm's srun: the number of ranks, and that of this one
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK")


def started_ranks() -> int | None:
    """The number of ranks that mpiexec has started; None if it is unknown, or there is none."""
    return _env_int(SIZES)


def _env_int(names: Sequence[str]) -> int | None:
    """The number in the first of some environment variables that has one."""
    values = [os.environ.get(name, "") for name in names]
    return next((int(value) for value in values if value.isdigit()), None)


def should_print() -> bool:
    """Whether this process should say what all ranks would say, such as a wrong command line."""
    return (_env_int(RANKS) or 0) == 0


def is_a_rank() -> bool:
    """Whether mpiexec has started this process. Newer ones, with PMIx, do not publish the size."""
    return started_ranks() is not None or _env_int(RANKS) is not None


def refuse_equal_runs(*, joined: bool = False) -> None:
    """Refuse several processes that do not know of each other: the first raises, others exit."""
    size = started_ranks()
    if not joined and size is not None and size > 1:
        if not should_print():
            raise SystemExit(UsageError.exit_code)
        raise UsageError(
            f"mpiexec has started {size} processes, which would train {size} equal runs: `grucli "
            "train` with --mpi trains one run together"
        )


def exit_by_signal(number: int) -> None:
    """End this process by a signal, if mpiexec has started it with others."""
    if (started_ranks() or 1) > 1:  # which mpiexec would wait for, after an ordinary exit
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
