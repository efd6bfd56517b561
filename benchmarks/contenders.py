"""Contenders of a comparison: each a process of its own, their turns interleaved.

A machine whose speed drifts then slows all of them alike. A module that compares has a function
``build(name, case, cores)`` that returns a contender's turn, and hands ``--serve`` to ``serve``.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

PAUSE = 0.1
"""Seconds between two turns: threads of a library spin for a while after their work, and would
take the processor from whoever comes next."""
SLOW = 2.0
"""Seconds a turn from which a contender is not asked for more: emulated bfloat16 can take ten."""


def serve(turn: Callable[[], object]) -> None:
    """Take a turn for each line read; answer with its seconds.

    A turn that does not count goes before: after the pause and the others' turns it finds cold
    caches and sleeping threads, as no step of a training that goes on does.
    """

    def timed() -> float:
        began = time.perf_counter()
        turn()
        return time.perf_counter() - began

    quick = timed() < SLOW and timed() < SLOW
    print("ready", flush=True)
    for _ in sys.stdin:
        if quick:
            turn()
        print(timed(), flush=True)


class Contender:
    """A contender's process."""

    def __init__(self, module: str, name: str, case: str, cores: int) -> None:
        environment = dict(os.environ)
        if not name.startswith("grucli"):  # which sets it for itself, as the program does
            environment["OPENBLAS_NUM_THREADS"] = str(cores)
        command = [sys.executable, "-m", module, "--serve", name, case, "--cores", str(cores)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.seconds: list[float] = []
        self._read()

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def turn(self) -> None:
        """One turn, unless it is known to take too long, which one hitch does not prove."""
        if len(self.seconds) > 1 and min(self.seconds) > SLOW:
            return
        assert self.process.stdin is not None
        time.sleep(PAUSE)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.seconds.append(float(self._read()))

    def memory(self) -> float:
        """Peak resident memory of the process and its children so far, in MB.

        Memory that they share on purpose is counted once; code that they share, in each of them.
        """
        family = [self.process.pid, *_children(self.process.pid)]
        shared = [_status_of(pid, "RssShmem") for pid in family]
        peaks = sum(_status_of(pid, "VmHWM") for pid in family)
        return (peaks - sum(shared) + max(shared)) / 1000

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(
    module: str, case: str, names: Sequence[str], cores: int, turns: int
) -> dict[str, tuple[float, float]]:
    """Median seconds of a turn and peak memory in MB of each contender."""
    contenders = {name: Contender(module, name, case, cores) for name in names}
    for _ in range(turns):
        for contender in contenders.values():
            contender.turn()
    result = {
        name: (median(contender.seconds), contender.memory())
        for name, contender in contenders.items()
    }
    for contender in contenders.values():
        contender.close()
    return result


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def _status_of(pid: int, figure: str) -> float:
    """A figure of a process in KB, as Linux calls it."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(float(line.split()[1]) for line in file if line.startswith(figure))
