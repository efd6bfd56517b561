"""The ranks of a run: processes, on one or on several machines, that share each batch.

All ranks train in the same way. Rank 0 alone writes, and its clock and its user count for all.
What ranks exchange is built on one operation, the sum of an array over all ranks.

An ordinary program of MPI, the message passing interface, waits forever for a rank that has gone.
So all waiting here is a loop, and a thread on each rank exchanges messages with rank 0. They tell
that both are alive, and whether one was asked to stop.
"""

import hashlib
import os
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np

from grucli.errors import RunError, UsageError
from grucli.mpiexec import is_a_rank, started_ranks
from grucli.nn.params import Array
from grucli.stopping import at_exit, stop_signals
from grucli.threads import own_cores

NUMBERS = 5  # maximum that rank 0 tells the others when the ranks meet
INTERVAL = 0.25  # seconds between the messages of a rank
SILENCE = 8.0  # seconds without a message after which a rank has gone
PATIENT = 0.02  # seconds of waiting after which a rank leaves the processor to others for a NAP
NAP = 0.0005  # seconds
LAST_WORDS = 0.3  # seconds for mpiexec to pass on what a rank has said: an abort cuts it


class Ended(Exception):  # noqa: N818 - nothing is wrong
    """Rank 0 has ended the run."""


class Ranks:
    """The ranks of a run that has one process. ``MPIRanks`` has several."""

    rank, size = 0, 1  # number of this rank, and of all ranks
    local, host = 1, "this machine"  # number of ranks that share its cores; its machine's name
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
        everything = np.zeros(lengths.sum(), np.uint8)
        parts = np.split(everything, np.cumsum(lengths)[:-1])  # views
        parts[self.rank][:] = data
        self.sum_(everything)
        return [pickle.loads(part.tobytes()) for part in parts]

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


# ---- ranks that mpiexec has started


@contextmanager
def joined(wanted: bool) -> Iterator[Ranks]:
    """The ranks that mpiexec has started, if they are ``wanted``, until the context ends."""
    if not wanted:
        yield ALONE
        return
    signals: list[int] = []
    with stop_signals(lambda number, _: signals.append(number)):
        ranks = MPIRanks(_mpi())  # an interruption here would leave the other ranks waiting forever
        if ranks.rank:
            ranks.pulse.signals = signals
            with closing(ranks):
                yield ranks
            return
    with closing(ranks):
        for number in signals:
            os.kill(os.getpid(), number)
        yield ranks


def _mpi() -> Any:
    """The module of mpi4py, ready for several threads."""
    if not is_a_rank():
        raise UsageError(
            "--mpi is for runs that mpiexec starts: mpiexec -n 4 grucli train ... --mpi"
        )
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            f"--mpi needs mpi4py and an MPI ({error}): "
            '`pip install ".[mpi]" mpich` installs both on Linux and macOS'
        ) from None
    if MPIRanks.made:
        raise UsageError(
            "the other ranks have ended with the first run: a script trains one run over MPI"
        )
    size, started = MPI.COMM_WORLD.size, started_ranks()
    if started is not None and started != size:
        raise UsageError(
            f"mpiexec has started {started} ranks, and mpi4py sees {size}: mpiexec belongs to "
            f"another MPI than {_version(MPI)}, which mpi4py has loaded; use the mpiexec of that"
        )
    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        raise UsageError(f"{_version(MPI)} was built without support for threads; use another MPI")
    return MPI


def _version(mpi: Any) -> str:
    return " ".join(mpi.Get_library_version().split("\n")[0].replace(":", " ").split()[:3])


class MPIRanks(Ranks):
    """The ranks that mpiexec has started. They must be closed."""

    made = False  # whether this process has had such an object

    def __init__(self, mpi: Any) -> None:
        self.mpi, self.apart = mpi, False
        MPIRanks.made = True
        at_exit(self._end_the_others)  # before MPI's own handler, which waits for them
        self.comm = mpi.COMM_WORLD.Dup()
        self.rank, self.size = self.comm.rank, self.comm.size
        self.pulse = _Pulse(self.comm.Dup())
        self.host, self.library = mpi.Get_processor_name(), _version(mpi)
        own = self.host, own_cores()
        everyone = self.exchange(own)
        self.pulse.hosts, self.local = [host for host, _ in everyone], everyone.count(own)
        self.apart = True

    @property
    def signal(self) -> int:  # type: ignore[override]
        return self.pulse.signal

    def sum_(self, array: "np.ndarray[Any, Any]") -> None:
        try:
            request = self.comm.Iallreduce(self.mpi.IN_PLACE, array)
            began = time.monotonic()
            while not request.Test():
                self.pulse.check()
                if time.monotonic() - began > PATIENT:
                    time.sleep(NAP)
        except self.mpi.Exception as error:
            raise RunError(f"MPI reports: {error}") from None

    def close(self) -> None:
        """End the run for all ranks, if the others wait to meet rank 0; else its exit ends them."""
        if not self.rank and self.apart:
            self.end()
        if self.ended:
            self.pulse.ending.set()
            self.pulse.join()

    def _end_the_others(self) -> None:
        if not self.ended:
            time.sleep(LAST_WORDS)
            self.mpi.COMM_WORLD.Abort(1)


class _Pulse(threading.Thread):
    """Messages between rank 0 and each other rank, which say that both are alive."""

    def __init__(self, comm: Any) -> None:
        super().__init__(daemon=True)
        self.signal = 0  # number of the signal that asked a rank to stop
        self.signals: list[int] = []  # those that have come to this rank
        self.hosts = ["its machine"] * comm.size
        self.ending, self.lost = threading.Event(), -1
        others = range(1, comm.size) if comm.rank == 0 else [0]
        self.peers = [_Peer(comm, rank) for rank in others]
        self.start()

    def run(self) -> None:
        """Send and receive messages, until the run ends or a rank has gone."""
        while not self.ending.wait(INTERVAL) and self.lost < 0:
            self.signal = self.signal or sum(self.signals[:1])
            for peer in self.peers:
                self.signal = peer.exchange(self.signal) or self.signal
                if time.monotonic() - peer.heard > SILENCE:
                    self.lost = peer.rank

    def check(self) -> None:
        if self.lost >= 0:
            raise RunError(
                f"rank {self.lost} on {self.hosts[self.lost]} has not answered for {SILENCE:g} "
                "seconds; the run can be continued from its last checkpoint with --resume"
            )


class _Peer:
    """The messages between this rank and another."""

    def __init__(self, comm: Any, rank: int) -> None:
        self.comm, self.rank, self.heard = comm, rank, time.monotonic()
        self.sending: Any = None

    def exchange(self, signal: int) -> int:
        """Send a signal number, and return the last one that has come, or 0."""
        if self.sending is None or self.sending.test()[0]:
            self.sending = self.comm.isend(signal, self.rank)
        received = 0
        while self.comm.iprobe(self.rank):
            self.heard = time.monotonic()
            received = self.comm.recv(source=self.rank) or received
        return received
