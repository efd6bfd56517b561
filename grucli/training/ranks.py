"""The ranks of a run: processes, on one or on several machines, that share each batch.

All ranks train in the same way. Rank 0 alone writes, and its clock and its user count for all.
What ranks exchange is built on one operation, the sum of an array over all ranks (``mpi.py``).
"""

import hashlib
import pickle
from typing import Any

import numpy as np

from grucli.errors import RunError
from grucli.nn.params import Array

NUMBERS = 5  # maximum that rank 0 tells the others when the ranks meet


class Ended(Exception):  # noqa: N818 - nothing is wrong
    """Rank 0 has ended the run."""


class Ranks:
    """The ranks of a run that has one process. ``mpi.MPIRanks`` has several."""

    rank, size = 0, 1  # number of this rank, and of all ranks
    local, host = 1, "this machine"  # number of ranks on this machine, and its name
    library = ""  # name and version of the library that joins the ranks
    signal = 0  # number of the signal that asked a rank to stop
    apart = True  # whether rank 0 works alone, and the others wait to meet it
    ended = False  # whether rank 0 has ended the run

    def sum_(self, array: "np.ndarray[Any, Any]") -> None:
        """Replace a contiguous array by its sum; as many ranks always get the same bits."""

    def share(self, B: int) -> range:
        """The streams of this rank: neighbours, and as many as those of the others, or one more."""
        return range(B * self.rank // self.size, B * (self.rank + 1) // self.size)

    def meet(self, *numbers: float) -> list[float]:
        """Wait for all ranks; return the numbers of rank 0, or raise ``Ended`` if it has ended."""
        self.apart = False
        message = np.zeros(1 + NUMBERS)  # whether rank 0 ends the run, and its numbers
        if not self.rank:
            message[1 : 1 + len(numbers)] = numbers
        self.sum_(message)
        if message[0]:
            self.ended = True
            raise Ended
        return [float(number) for number in message[1 : 1 + len(numbers)]]

    def end(self) -> None:
        """End the run for the other ranks, as rank 0, while they wait to meet it."""
        message = np.zeros(1 + NUMBERS)
        message[0] = 1
        self.sum_(message)
        self.ended = True

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
        """Refuse to go on if the ranks do not have equal parameters."""
        if self.size == 1:
            return
        own = hashlib.sha256(parameters.data).hexdigest()
        first, *others = self.exchange((own, self.host))
        for rank, (digest, host) in enumerate(others, start=1):
            if digest != first[0]:
                raise RunError(
                    f"rank {rank} on {host} has other parameters than rank 0 on {first[1]}: a "
                    "machine or the network has changed a number; they were equal at the "
                    "evaluation before, whose checkpoint --init-from can start a new run from"
                )


ALONE = Ranks()  # the ranks of a run without others
