"""Two or three processes on one run, in every order of their operations on files.

They are threads here, of which one at a time goes on; a scheduler decides at each operation which.
A process may also be killed at one of its operations: it does nothing more, and its locks are free.
"""

import builtins
import json
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from grucli import files
from grucli.config import Values
from grucli.errors import GrucliError
from grucli.files import Lock
from grucli.run import checkpoint as checkpoints
from grucli.run.run import Run
from grucli.training.preparation import prepare
from grucli.training.request import Request

BASE: Values = {
    "model.hidden": 4,
    "model.dropout": 0.0,
    "train.batch": 4,
    "train.window": 8,
    "train.workers": 1,
    "train.eval_every": 5,
    "train.log_every": 5,
    "train.steps": 20,
    "train.keep": 1,
    "sample.length": 4,
    "optim.schedule": "constant",
}
BEGUN = 8
"""The step at which the run is stopped that all of them resume."""

BUDGETS = (30, 15, 25)
"""Steps that the first, the second and the third process go on to."""

REFUSALS = {"nothing left": "has used its budget", "refused": "is training this run"}
"""Outcomes, and the words of the errors that they come from."""

Sampler = Callable[[int, Sequence[int]], int]
"""Of the number of the operation and of the processes that can go on, the one that does."""


class Killed(BaseException):
    """The process is dead."""


@dataclass
class Process:
    """A thread that stands for a process."""

    number: int
    kill_at: int | None = None
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    operations: int = 0
    ended: bool = False
    outcome: str = ""


class Scheduler:
    """Lets one process at a time do its next operation."""

    def __init__(self, run: Path, kills: dict[int, int] | None = None, count: int = 2) -> None:
        self.run, self.yielded = run, threading.Semaphore(0)
        self.processes = [Process(number, (kills or {}).get(number)) for number in range(count)]
        self.by_thread: dict[int, Process] = {}
        self.named: list[dict[str, Any]] = []  # what best.json has named

    def play(self, choose: Sampler) -> None:
        """Run all processes to their ends."""
        with self._hooks():
            threads = [
                threading.Thread(target=self._live, args=(process,)) for process in self.processes
            ]
            for thread in threads:
                thread.start()
            operation = 0
            while alive := [process.number for process in self.processes if not process.ended]:
                self.processes[choose(operation, alive)].go.release()
                self.yielded.acquire()
                operation += 1
            for thread in threads:
                thread.join()

    def point(self) -> None:
        """An operation of the present process is about to take place."""
        process = self.by_thread.get(threading.get_ident())
        if process is None:
            return
        if process.outcome == "killed":
            raise Killed
        process.operations += 1
        if process.operations == process.kill_at:
            process.outcome = "killed"
            raise Killed
        self.yielded.release()
        process.go.acquire()

    def _live(self, process: Process) -> None:
        process.go.acquire()
        self.by_thread[threading.get_ident()] = process
        try:
            process.outcome = self._resume(BUDGETS[process.number])
        except Killed:
            pass
        except BaseException as error:
            process.outcome = f"{type(error).__name__}: {error}"
        process.ended = True
        self.yielded.release()

    def _resume(self, steps: int) -> str:
        try:
            session = prepare(Request([], values={"train.steps": steps}, resume=self.run))
            with closing(session), session.trainer() as trainer:
                for _ in trainer.train():
                    pass
        except GrucliError as error:
            told = str(error)
            return next((name for name, words in REFUSALS.items() if words in told), told)
        return "done"

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        """Make operations on files points, and note what best.json names."""

        def hook(function: Callable[..., Any], *, after_death: bool = False) -> Callable[..., Any]:
            def hooked(*arguments: Any, **named: Any) -> Any:
                if not after_death:  # the system closes what a dead process had open
                    self.point()
                return function(*arguments, **named)

            return hooked

        original = files.replace_text

        def replace_text(path: Path, text: str) -> None:
            original(path, text)
            if path.name == "best.json":
                self.named.append(json.loads(text))

        patches = [mock.patch.object(Path, name, hook(getattr(Path, name))) for name in PATH]
        patches += [mock.patch.object(files.os, name, hook(getattr(files.os, name))) for name in OS]
        patches.append(mock.patch.object(builtins, "open", hook(open)))
        patches.append(mock.patch.object(files, "_try_lock", hook(files._try_lock)))
        patches.append(mock.patch("grucli.run.writer.replace_text", replace_text))
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


PATH = ("open", "replace", "unlink", "mkdir")
OS = ("fsync", "truncate")


def begun(folder: Path, text: Path) -> Path:
    """A run that was stopped, for all to resume."""
    session = prepare(Request(str(text), values=BASE, runs_dir=folder))
    with closing(session), session.trainer() as trainer:
        for _ in trainer.train(lambda: trainer.checkpoint.progress.step >= BEGUN):
            pass
    return trainer.run.path


def wholes(folder: Path, text: Path) -> dict[int, tuple[Any, Any]]:
    """What the run is after each budget if nothing disturbs it: rows and parameters."""
    found = {}
    for steps in BUDGETS:
        session = prepare(Request(str(text), values=BASE | {"train.steps": steps}, runs_dir=folder))
        with closing(session), session.trainer() as trainer:
            list(trainer.train())
        found[steps] = standing(trainer.run.path)
    return found


def standing(run: Path) -> tuple[Any, Any]:
    """Rows, clocks aside, and parameters of a run."""
    rows = [replace(row, chars_per_s=0.0, elapsed_s=0.0) for row in Run(run).rows()]
    last = checkpoints.read(Run(run).checkpoints.find("last"))
    return rows, last.model.params.flat.copy()


def check(scheduler: Scheduler, wholes: dict[int, tuple[Any, Any]]) -> None:
    """That one process at a time had the run, and that nothing it had reached is lost."""
    outcomes = [process.outcome for process in scheduler.processes]
    assert set(outcomes) <= {"done", "refused", "nothing left", "killed"}, outcomes
    run = Run(scheduler.run)
    assert Lock(scheduler.run / "lock").is_free()
    best, last = run.checkpoints.pointer("best"), run.checkpoints.pointer("last")
    assert best is not None
    assert last is not None
    assert checkpoints.read(run.checkpoints.find("best")).progress.step == best.step
    assert all(best.loss <= named["loss"] for named in scheduler.named), scheduler.named
    done = [BUDGETS[number] for number, how in enumerate(outcomes) if how == "done"]
    assert last.step >= max(done, default=BEGUN)
    if "killed" in outcomes:  # what it has left behind is put in order by the next
        scheduler = Scheduler(scheduler.run, count=1)
        scheduler.play(lambda _, alive: alive[0])
        assert scheduler.processes[0].outcome in ("done", "nothing left"), scheduler.processes
    rows, parameters = standing(scheduler.run)
    expected_rows, expected_parameters = wholes[rows[-1].step]
    assert rows == expected_rows
    np.testing.assert_array_equal(parameters, expected_parameters)


def choices(rng: random.Random, kind: str) -> Sampler:
    """How to choose: one is preempted at an operation or two, or all are mixed."""
    if kind == "mixed":
        stay, current = rng.choice([0.5, 0.9, 0.98]), [0]

        def mixed(_: int, alive: Sequence[int]) -> int:
            if current[0] not in alive or rng.random() > stay:
                current[0] = rng.choice(alive)
            return current[0]

        return mixed
    order = rng.sample(range(3), 3)
    changes = sorted(rng.sample(range(1, 400), 2))

    def preempting(operation: int, alive: Sequence[int]) -> int:
        phase = sum(operation >= change for change in changes)
        wanted = [order[phase], *order]
        return next(number for number in wanted if number in alive)

    return preempting


def trial(number: int, run: Path, place: Path, wholes: dict[int, tuple[Any, Any]]) -> list[str]:
    """One interleaving on a copy of a run; the outcomes."""
    rng = random.Random(number)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(run, place)
    count = rng.choice([2, 2, 3])
    kills = {rng.randrange(count): rng.randint(1, 300)} if number % 3 == 0 else {}
    scheduler = Scheduler(place, kills, count)
    scheduler.play(choices(rng, rng.choice(["mixed", "preempted"])))
    check(scheduler, wholes)
    return [process.outcome for process in scheduler.processes]
