"""One batch over several processes.

Each process takes some of the batch's streams, with single-threaded products. Threads would
spare the copies, but the many short array operations of a recurrent net hand the interpreter's
lock to and fro: two threads are hardly faster than one at 128 units, where two processes halve
the time (``benchmarks/training.py``). Parameters and gradients lie in shared memory, so that
all processes read one copy; what else has to travel, a window of ids and one state, is small.
"""

import atexit
import ctypes
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import Any, NamedTuple

import numpy as np

from grucli.errors import RunError
from grucli.nn.dropout import dropout_masks, mask_, recurrent_masks
from grucli.nn.model import Model, Workspace
from grucli.nn.packed import PackedWeights, packed_shapes
from grucli.nn.params import Array, Ids, Params, count
from grucli.threads import available_cores, limit_blas

SMALLEST_SHARD = 16
"""Streams below which a shard's products are too narrow to be worth a process."""


def choose_workers(wanted: int | None, batch: int) -> int:
    """Number of processes: ``wanted``, or as many as the cores and the batch can feed."""
    if wanted is not None:
        return min(wanted, batch)
    return max(1, min(available_cores(), batch // SMALLEST_SHARD))


RECURRENT = (0, 1)
"""Ends the seed of recurrent masks, where that of a stream's masks ends in its number."""

GUARD = (
    "each worker process imports the script that starts it, so a script must train below "
    'if __name__ == "__main__":; with settings={"train.workers": 1} it needs no such line'
)
"""What a script has to do for its workers."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What asks the program to stop, often by way of the whole process group."""


class Dropout(NamedTuple):
    """The masks of one step: functions of their seed and of the stream, not of the shard."""

    rate: float  # share of outputs
    seed: tuple[int, ...]
    locked: bool = False  # one mask for all steps of the window (Gal and Ghahramani 2016)
    recurrent: float = 0.0  # share of recurrent weights


class Task(NamedTuple):
    """One shard of one training step."""

    x: Ids  # (T, B) of this shard, of a small type
    targets: Ids  # (T, B), the same
    state: Array  # (L, B, S H)
    scale: float
    dropout: Dropout | None


class Result(NamedTuple):
    """What a shard computed, but for its gradients, which lie in shared memory."""

    loss: float
    state: Array  # (L, B, S H)


class Shard:
    """Some neighbouring streams of a batch, with a workspace and gradients of their own.

    Args:
        model: whose parameters to use.
        packed: copies of the same parameters; up to date at each task.
        grads: where gradients go; overwritten by each task.
        streams: the streams' numbers in the batch.
        T: steps of the longest window.
        dropout: whether tasks will have dropout.
    """

    def __init__(
        self,
        model: Model,
        packed: PackedWeights,
        grads: Params,
        streams: range,
        T: int,
        *,
        dropout: bool,
    ) -> None:
        self.model, self.packed, self.grads, self.streams = model, packed, grads, streams
        self.workspace: Workspace = model.workspace(T, len(streams), dropout=dropout)
        self.masks: Array = np.empty_like(self.workspace.dropped)

    def run(self, task: Task) -> Result:
        """The loss and the gradients of one step."""
        loss, state, _ = self.model.loss_and_gradients(
            task.x.astype(np.intp),
            task.targets.astype(np.intp),
            task.state,
            self.workspace.first(len(task.x)),
            self.grads,
            scale=task.scale,
            masks=self._masks(len(task.x), task.dropout),
            packed=self.packed,
        )
        return Result(loss, state)

    def _masks(self, T: int, dropout: Dropout | None) -> Array | None:
        if dropout is None or not dropout.rate:
            return None
        T = 1 if dropout.locked else T
        model, masks = self.model, self.masks[:, :T]
        for place, stream in enumerate(self.streams):
            rng = np.random.default_rng([*dropout.seed, stream])
            shape = (model.L, T, model.H)
            masks[:, :, place] = dropout_masks(rng, dropout.rate, shape, masks.dtype)
        return masks


class Shards:
    """A batch of ``B`` streams, cut into one shard a process; the first is this process's own.

    Sums are taken in the order of the shards, so that results are reproducible for a given
    number of workers and differ between numbers by rounding alone. To be closed after use.

    What the shards read lies in shared memory: the model's parameters, which move there and stay,
    or, if recurrent weights are dropped, a copy of them that is made anew at each step.
    """

    def __init__(
        self,
        model: Model,
        T: int,
        B: int,
        workers: int,
        *,
        dropout: bool,
        weight_dropout: bool = False,
    ) -> None:
        self.model = model
        edges = [B * worker // workers for worker in range(workers + 1)]
        own, *others = [range(lo, hi) for lo, hi in pairwise(edges)]
        context = multiprocessing.get_context("spawn")
        rows = -(-B // workers)  # of the largest shard
        numbers = (1 + workers) * model.params.flat.size + count(
            packed_shapes(model.params.shapes, rows)
        )
        memory = context.RawArray(ctypes.c_byte, numbers * model.params.flat.itemsize)
        self.packed, self.used, (grads, *others_grads) = _map(memory, model, rows)
        self.used.flat[:] = model.params.flat
        if not weight_dropout:
            model.params = self.used
        own_model = Model(*_arguments(model))
        own_model.params = self.used
        self.own = Shard(own_model, self.packed, grads, own, T, dropout=dropout)
        self.others = [
            _Process(context, model, memory, rows, place, streams, T, dropout)
            for place, streams in enumerate(others, start=1)
        ]
        self.others_grads = others_grads

    def loss_and_gradients(
        self, x: Ids, targets: Ids, state: Array, scale: float, dropout: Dropout | None = None
    ) -> tuple[float, Array, Params]:
        """As ``Model.loss_and_gradients``; the gradients returned belong to this object.

        Raises:
            RunError: a process has died.
        """
        # eight times smaller for most alphabets: a pipe takes it at once, and nobody has to wait
        small = np.min_scalar_type(self.model.V - 1)
        x, targets = x.astype(small), targets.astype(small)

        def task(streams: range) -> Task:
            part = slice(streams.start, streams.stop)
            return Task(x[:, part], targets[:, part], state[:, part], scale, dropout)

        masks = self._drop_recurrent(dropout)
        self.packed.update()
        for process in self.others:
            process.begin(task(process.streams))
        results = [self.own.run(task(self.own.streams))]
        total = self.own.grads
        for process, grads in zip(self.others, self.others_grads, strict=True):
            results.append(process.end())
            total.flat += grads.flat
        mask_(total, masks)
        return (
            sum(result.loss for result in results),
            np.concatenate([result.state for result in results], axis=1),
            total,
        )

    def _drop_recurrent(self, dropout: Dropout | None) -> dict[str, Array]:
        """Have the shards read masked recurrent weights, if so asked; returns the masks."""
        if self.used is self.model.params:
            return {}
        self.used.flat[:] = self.model.params.flat
        if dropout is None or not dropout.recurrent:
            return {}
        rng = np.random.default_rng([*dropout.seed, *RECURRENT])
        masks = recurrent_masks(rng, dropout.recurrent, self.used)
        mask_(self.used, masks)
        return masks

    def close(self) -> None:
        """End the processes and free what they share."""
        for process in self.others:
            process.close()

    def __enter__(self) -> "Shards":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Process:
    """A shard in a process of its own, whose gradients have that place in ``memory``."""

    def __init__(
        self,
        context: SpawnContext,
        model: Model,
        memory: Any,
        rows: int,
        place: int,
        streams: range,
        T: int,
        dropout: bool,
    ) -> None:
        self.streams, self.served = streams, False
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve,
            args=(theirs, memory, _arguments(model), rows, place, streams, T, dropout),
            daemon=True,
        )
        with _stop_signals_ignored():
            self.process.start()
        theirs.close()
        atexit.register(self.close)  # before multiprocessing would wait for it in vain

    def begin(self, task: Task) -> None:
        """Hand over a task."""
        try:
            self.connection.send(task)
        except OSError:
            raise self._died() from None

    def end(self) -> Result:
        """Wait for its result."""
        try:
            result: Result = self.connection.recv()
        except (EOFError, OSError):
            raise self._died() from None
        self.served = True
        return result

    def _died(self) -> RunError:
        self.process.join(timeout=1)
        if not self.served and self.process.exitcode == 1:
            return RunError(f"a worker process could not begin: {GUARD}")
        return RunError(
            f"a worker process has ended with exit code {self.process.exitcode}; if memory ran "
            "out, lower train.batch or model.hidden; --set train.workers=1 does without"
        )

    def close(self) -> None:
        """End the process, after the step it may be in."""
        self.connection.close()
        self.process.join(timeout=5)
        self.process.kill()
        atexit.unregister(self.close)


def _arguments(model: Model) -> tuple[Any, ...]:
    """What makes another model like this one."""
    dtype = model.params.flat.dtype.str
    return model.V, model.H, model.L, dtype, model.cell, model.separator


def _map(memory: Any, model: Model, rows: int) -> tuple[PackedWeights, Params, list[Params]]:
    """Shared memory as packed weights, parameters, and the gradients of each shard."""
    dtype, layout = model.params.flat.dtype, model.params.shapes
    numbers: Array = np.frombuffer(memory, dtype)
    copies, others = np.split(numbers, [count(packed_shapes(layout, rows))])
    used, *grads = (Params(layout, dtype, flat) for flat in others.reshape(-1, count(layout)))
    return PackedWeights(used, rows, flat=copies), used, grads


def _serve(
    connection: Connection,
    memory: Any,
    arguments: tuple[Any, ...],
    rows: int,
    place: int,
    streams: range,
    T: int,
    dropout: bool,
) -> None:
    """The life of a process: tasks in, results out, until the other end closes."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # when to stop is the first process's business
    limit_blas(1)  # each process has a core
    np.seterr(all="ignore")  # so is a loss that is not finite
    model = Model(*arguments)
    packed, model.params, grads = _map(memory, model, rows)
    shard = Shard(model, packed, grads[place], streams, T, dropout=dropout)
    while True:
        try:
            connection.send(shard.run(connection.recv()))
        except (EOFError, OSError):
            return


@contextmanager
def _stop_signals_ignored() -> Iterator[None]:
    """Have a new process ignore Ctrl-C and SIGTERM from its first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(STOP_SIGNALS, before, strict=True):
            signal.signal(number, handler)
