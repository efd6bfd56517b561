"""Ranks that are threads of one process."""

import threading
from typing import Any

import numpy as np

from grucli.training.ranks import Ranks


class Room:
    """Where the threads of a run meet."""

    def __init__(self, size: int) -> None:
        self.arrays: list[Any] = [None] * size
        self.barrier = threading.Barrier(size, timeout=60)


class ThreadRanks(Ranks):
    """A rank that is a thread."""

    def __init__(self, rank: int, size: int, room: Room) -> None:
        self.rank, self.size, self.room = rank, size, room
        self.host = f"host{rank}"

    def sum_(self, array: np.ndarray) -> None:
        self.room.arrays[self.rank] = array.copy()
        self.room.barrier.wait()
        total = self.room.arrays[0].copy()
        for other in self.room.arrays[1:]:
            assert other.dtype == total.dtype
            total += other
        self.room.barrier.wait()
        array[:] = total
