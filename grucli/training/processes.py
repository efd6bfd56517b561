"""Data-parallel training: one batch is shared among several processes.

Parameters and gradients are in shared memory; what is sent is a window of ids and a state. Threads
would compete for Python's global interpreter lock: a recurrent network makes many short array
operations (measured by ``benchmarks/training.py``).
"""

import atexit
import ctypes
import multiprocessing
import signal
import sys
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import Any, Literal

import numpy as np

from grucli import compilation
from grucli.errors import RunError, WorkerError
from grucli.nn.backend import NUMPY, Backend
from grucli.nn.cells.from_file import FILES, define
from grucli.nn.dropout import Dropout, mask_
from grucli.nn.model import Model, Workspace
from grucli.nn.onednn import Unavailable
from grucli.nn.packed import PackedWeights, packed_size
from grucli.nn.params import Array, Ids, Params, count
from grucli.stopping import STOP_SIGNALS, at_exit, stop_signals
from grucli.threads import available_cores, limit_blas

SMALLEST_SHARD = 16  # minimum streams of a shard: fewer do not make training faster

UNGUARDED = 70  # exit code of a worker process of a script that does not do what GUARD says

GUARD = (
    "each worker process imports the script that starts it, so a script must train below "
    'if __name__ == "__main__":; with settings={"train.workers": 1} it needs no such line'
)

LESS = "lower train.batch or model.hidden; --set train.workers=1 uses no worker process"


def choose_workers(wanted: int | Literal["auto"], batch: int, ranks: int = 1) -> int:
    """Number of processes: ``wanted``, or what the cores and the ranks on this machine allow."""
    if wanted != "auto":
        return min(wanted, max(1, batch))  # a rank may have no stream
    if _why_no_workers():
        return 1
    return max(1, min(available_cores() // ranks, batch // SMALLEST_SHARD))


def _why_no_workers() -> str | None:
    """Why this process cannot start worker processes; None if it can."""
    if multiprocessing.current_process().daemon:
        return "a daemonic process, such as one of multiprocessing.Pool, cannot start processes"
    if getattr(sys.modules["__main__"], "__file__", None) == "<stdin>":
        return "worker processes cannot import a script on standard input; save it as a file"
    return None


def check_workers(workers: int) -> None:
    if workers > 1 and (problem := _why_no_workers()):
        raise RunError(f"train.workers is {workers}, but {problem}; 1 or auto needs none")


def check_not_imported_by_a_worker() -> None:
    """End a worker process that begins to train while it imports the main script."""
    # multiprocessing makes the same check before it starts a process
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(UNGUARDED)


Task = tuple[Ids, Ids, Array, float, Dropout]  # x, targets, state, scale, dropout of a shard
Result = tuple[float, Array]  # the loss and the last state of a shard


class Shard:
    """Some neighbouring streams of a batch, which one process computes."""

    def __init__(
        self,
        model: Model,
        number: int,
        streams: range,
        T: int,
        rows: int,
        dropout: bool,
        memory: Any,  # shared: packed weights, the parameters, and the gradients of all shards
    ) -> None:
        self.model, self.number, self.streams = model, number, streams
        dtype, layout = model.params.flat.dtype, model.params.shapes
        numbers: Array = np.frombuffer(memory, dtype)
        packed, others = np.split(numbers, [packed_size(layout, rows, model.backend)])
        model.params, *self.gradients = (
            Params(layout, dtype, flat) for flat in others.reshape(-1, count(layout))
        )
        self.packed = PackedWeights(model.params, rows, model.backend, flat=packed)
        self.workspace: Workspace = model.workspace(T, len(streams), dropout=dropout)
        self.masks: Array = np.empty_like(self.workspace.dropped)

    def run(self, task: Task) -> Result:
        x, targets, state, scale, dropout = task
        masks = dropout.of_outputs(self.masks, len(x), self.streams)
        into = self.workspace.first(len(x)), self.gradients[self.number]
        loss, state, _ = self.model.loss_and_gradients(
            x, targets, state, *into, scale=scale, masks=masks, packed=self.packed
        )
        return loss, state


class Shards:
    """Streams of a batch, split into one shard per process, the first for this one. Must be closed.

    Sums are computed in the order of the shards, so results are reproducible for a given number of
    workers. The model's parameters are moved to shared memory. With weight dropout, the shards read
    a masked copy. The rates of ``dropout`` are those of all steps.
    """

    def __init__(
        self,
        model: Model,
        T: int,
        streams: range,
        workers: int,
        dropout: Dropout,
        backend: Backend = NUMPY,
    ) -> None:
        self.model, B = model, len(streams)
        edges = [streams.start + B * worker // workers for worker in range(workers + 1)]
        context = multiprocessing.get_context("spawn")
        rows = -(-B // workers)  # streams of the largest shard
        numbers = (1 + workers) * model.params.flat.size
        numbers += packed_size(model.params.shapes, rows, backend)
        memory = context.RawArray(ctypes.c_byte, numbers * model.params.flat.itemsize)
        own_model = model.on(backend)
        own, *others = [
            (number, range(*ends), T, rows, dropout.rate > 0, memory)
            for number, ends in enumerate(pairwise(edges))
        ]
        self.own = Shard(own_model, *own)
        self.used = own_model.params
        self.used.flat[:] = model.params.flat
        if not dropout.recurrent:
            model.params = self.used
        self.others = [_Process(context, own_model, arguments) for arguments in others]
        if backend.compiled:
            self._load_compiled(model.cell)  # while the processes start

    def loss_and_gradients(
        self, x: Ids, targets: Ids, state: Array, scale: float, dropout: Dropout
    ) -> tuple[float, Array, Params]:
        """``Model.loss_and_gradients`` for the streams that are here; the gradients stay here."""

        def task(streams: range) -> Task:
            part = slice(streams.start, streams.stop)
            return x[:, part], targets[:, part], state[:, part], scale, dropout

        masks = self._drop_recurrent(dropout)
        self.own.packed.update()
        for process in self.others:
            process.begin(task(process.streams))
        results = [self.own.run(task(self.own.streams))]
        total, *others_gradients = self.own.gradients
        for process, gradients in zip(self.others, others_gradients, strict=True):
            results.append(process.end())
            total.flat += gradients.flat
        mask_(total, masks)
        losses, states = zip(*results, strict=True)
        return sum(losses), np.concatenate(states, axis=1), total

    def _load_compiled(self, cell: str) -> None:
        try:
            compilation.prepare(cell)
        except Unavailable as reason:
            self.close()
            raise RunError(f"{reason}; --set train.compiled=false does without") from None

    def _drop_recurrent(self, dropout: Dropout) -> dict[str, Array]:
        """Mask the recurrent weights that the shards read, if requested, and return the masks."""
        if self.used is self.model.params:
            return {}
        self.used.flat[:] = self.model.params.flat
        masks = dropout.of_weights(self.used)
        mask_(self.used, masks)
        return masks

    def close(self) -> None:
        for process in self.others:
            process.close()


class _Process:
    """A process that computes the shard of a model with these arguments."""

    def __init__(self, context: SpawnContext, model: Model, arguments: tuple[Any, ...]) -> None:
        _, self.streams, *_ = arguments
        self.connection, theirs = context.Pipe()
        dtype = model.params.flat.dtype.str
        kind = (model.V, model.H, model.L, dtype, model.cell, model.separator, model.backend)
        given = theirs, FILES.get(model.cell), kind, arguments
        self.process = context.Process(target=_serve, args=given, daemon=True)
        with stop_signals(signal.SIG_IGN):  # from the start
            self.process.start()
        theirs.close()
        at_exit(self.close)  # before multiprocessing's handler, which waits forever

    def begin(self, task: Task) -> None:
        try:
            self.connection.send(task)
        except OSError:
            self.end()  # it may have said why

    def end(self) -> Result:
        try:
            result: Result | MemoryError = self.connection.recv()
        except (EOFError, OSError):
            raise self._died() from None
        if isinstance(result, MemoryError):
            raise WorkerError(f"a worker process has run out of memory; {LESS}")
        return result

    def _died(self) -> RunError:
        self.process.join(timeout=1)
        code = self.process.exitcode
        if code == UNGUARDED:
            return RunError(f"a worker process could not begin: {GUARD}")
        how = f"with exit code {code}, and its own message says why"
        if code is not None and code < 0:
            how = f"by signal {-code} ({signal.strsignal(-code)})"
            how += ", which systems send when memory runs out" * (code == -signal.SIGKILL)
        return WorkerError(f"a worker process has ended {how}; if memory has run out, {LESS}")

    def close(self) -> None:
        """End the process, after its current step if there is one."""
        self.connection.close()
        self.process.join(timeout=5)
        self.process.kill()
        atexit.unregister(self.close)


def _serve(connection: Connection, file: Any, kind: Any, arguments: Any) -> None:
    """Run the tasks from a connection, and send their results, until the other end closes."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the first process decides when to stop
    limit_blas(1)  # each process has one core
    np.seterr(all="ignore")  # the first process checks that the loss is finite
    try:
        if file is not None:
            define(*file)
        model = Model(*kind)
        if model.backend.compiled:
            compilation.prepare(model.cell)
        shard = Shard(model, *arguments)
        while True:
            connection.send(shard.run(connection.recv()))
    except MemoryError:
        connection.send(MemoryError())
    except (EOFError, OSError):
        return
