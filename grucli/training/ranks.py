"""The ranks of a run: processes, on one or on several machines, that share each batch.

Rank 0 leads: it decides what is done, and it alone writes. The others follow: they receive a
command, and do their part of it (``followers.py``). All that ranks exchange is built on one
operation, the sum of an array over all ranks. This module knows no library for it; ``mpi.py`` does.
"""

import hashlib
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import numpy as np

from grucli.errors import RunError
from grucli.nn.params import Array

NUMBERS = 3
"""Numbers that go with a command."""


class Command(IntEnum):
    """What rank 0 tells the others to do."""

    END = 0
    BEGIN = 1
    SYNCHRONIZE = 2
    STEP = 3
    REHEARSE = 4
    EVALUATE = 5
    COLLECT = 6


class Ranks:
    """The ranks of a run that has one process. ``mpi.MPIRanks`` has several.

    Attributes:
        rank: number of this rank.
        size: number of ranks.
        local: number of ranks on this machine.
        host: name of this machine.
        library: name and version of the library that joins the ranks.
        signal: number of the signal that asked a rank to stop, or 0.
        within: whether this rank is within a command, so that others wait for its part.
        over: whether rank 0 has ended the work.
    """

    rank, size, local, host = 0, 1, 1, "this machine"
    library = ""
    signal = 0
    within = over = False

    def sum_(self, array: "np.ndarray[Any, Any]") -> None:
        """Replace a contiguous array by its sum over all ranks.

        The sum has the same bits on all ranks, and in all runs of as many ranks.

        Raises:
            RunError: a rank has gone.
        """

    def share(self, B: int) -> range:
        """The streams of this rank: neighbours, and as many as those of the others, or one more."""
        return range(B * self.rank // self.size, B * (self.rank + 1) // self.size)

    # ---- commands

    @contextmanager
    def command(self, command: Command, *numbers: float) -> Iterator[None]:
        """Tell the other ranks what to do; in this context, this rank does it too.

        After an exception in this context, the other ranks wait for what does not come, so this
        process must end them.
        """
        self.within = True
        message = np.zeros(1 + NUMBERS)
        message[: 1 + len(numbers)] = command, *numbers
        self.sum_(message)
        self.over = command == Command.END
        yield
        self.within = False

    def receive(self) -> tuple[Command, list[float]]:
        """The next command of rank 0, and the numbers that go with it."""
        message = np.zeros(1 + NUMBERS)
        self.sum_(message)
        number, *numbers = message.tolist()
        command = Command(int(number))
        self.over = command == Command.END
        return command, numbers

    # ---- data

    def broadcast_(self, array: Array) -> None:
        """Replace a contiguous array by that of rank 0, to the bit."""
        assert array.flags.c_contiguous  # else the next line would make a copy
        bits = array.reshape(-1).view(np.uint8)  # sums of integers are exact, also of -0.0
        if self.rank:
            bits[:] = 0
        self.sum_(bits)

    def exchange(self, value: Any) -> list[Any]:
        """The values of all ranks, by rank."""
        data = np.frombuffer(pickle.dumps(value), np.uint8)
        lengths = np.zeros(self.size, np.int64)
        lengths[self.rank] = len(data)
        self.sum_(lengths)
        ends = np.cumsum(lengths)
        everything = np.zeros(ends[-1], np.uint8)
        everything[ends[self.rank] - len(data) : ends[self.rank]] = data
        self.sum_(everything)
        return [pickle.loads(part.tobytes()) for part in np.split(everything, ends[:-1])]

    def check_equal(self, parameters: Array) -> None:
        """Compare the parameters of all ranks.

        Raises:
            RunError: they are not equal.
        """
        if self.size == 1:
            return
        own = hashlib.sha256(parameters.data).hexdigest()
        first, *others = self.exchange((own, self.host))
        for rank, (found, host) in enumerate(others, start=1):
            if found != first[0]:
                raise RunError(
                    f"rank {rank} on {host} has other parameters than rank 0 on {first[1]}: a "
                    "machine or the network has changed a number; they were equal at the "
                    "evaluation before, whose checkpoint --init-from can start a new run from"
                )


ALONE = Ranks()
"""The ranks of a run without others."""
