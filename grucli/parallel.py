"""One batch over several threads.

NumPy releases the interpreter's lock inside products and large elementwise calls, so threads
that each take some of the batch's streams use the cores better than one thread whose products
are split: the elementwise half of the work runs in parallel as well. Each thread's products
should then be single-threaded; the command line sees to it (``grucli.cli.one_thread_per_product``).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from grucli.nn.model import Model
from grucli.nn.params import Array, Ids, Params

SMALLEST_SHARD = 16
"""Streams below which a shard's products are too narrow to be worth a thread."""


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_workers(wanted: int | None, batch: int) -> int:
    """Number of threads: ``wanted``, or as many as the cores and the batch can feed."""
    if wanted is not None:
        return min(wanted, batch)
    return max(1, min(available_cores(), batch // SMALLEST_SHARD))


class Shards:
    """A batch of ``B`` streams, cut into one shard of neighbouring streams a thread.

    Sums are taken in the order of the shards, so that results are reproducible for a given
    number of workers and differ between numbers by rounding alone.
    """

    def __init__(self, model: Model, T: int, B: int, workers: int, *, dropout: bool) -> None:
        self.model = model
        edges = [B * worker // workers for worker in range(workers + 1)]
        self.streams = [slice(lo, hi) for lo, hi in pairwise(edges)]
        self.rooms = [
            model.workspace(T, shard.stop - shard.start, dropout=dropout) for shard in self.streams
        ]
        self.grads = [model.params.like() for _ in self.streams]
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None

    @property
    def nbytes(self) -> int:
        """Bytes of all workspaces and gradients."""
        rooms = sum(room.nbytes for room in self.rooms)
        return rooms + sum(grads.flat.nbytes for grads in self.grads)

    def loss_and_gradients(
        self, x: Ids, targets: Ids, state: Array, masks: Array | None, scale: float
    ) -> tuple[float, Array, Params]:
        """As ``Model.loss_and_gradients``; the gradients returned belong to this object."""

        def one(shard: int) -> tuple[float, Array]:
            streams, grads = self.streams[shard], self.grads[shard]
            grads.flat[:] = 0.0
            loss, last_state, _ = self.model.loss_and_gradients(
                x[:, streams],
                targets[:, streams],
                state[:, streams],
                self.rooms[shard].first(len(x)),
                grads,
                scale=scale,
                masks=None if masks is None else masks[:, :, streams],
            )
            return loss, last_state

        run = self._pool.map if self._pool else map
        results = list(run(one, range(len(self.streams))))
        total = self.grads[0]
        for grads in self.grads[1:]:
            total.flat += grads.flat
        return (
            sum(loss for loss, _ in results),
            np.concatenate([state for _, state in results], axis=1),
            total,
        )
