"""A run of several ranks, here as threads, and what rank 0 alone meets with."""

import errno
import itertools
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from grucli.config import resolve
from grucli.data.corpus import read
from grucli.errors import UsageError
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint
from grucli.run.writer import RunWriter
from grucli.training import ranks as ranks_module
from grucli.training import trainer as trainer_module
from grucli.training.events import Event, NotWritten, RolledBack, Sampled
from grucli.training.plan import Plan, make_plan, resume, start
from grucli.training.preparation import prepare, shared_plan, take_part
from grucli.training.ranks import ALONE, Ranks
from grucli.training.request import Request
from grucli.training.trainer import Trainer
from tests.texts import prose
from tests.thread_ranks import Room, ThreadRanks

SIZE = 3
SETTINGS = {
    "model.hidden": 12,
    "model.dropout": 0.2,
    "train.batch": 12,
    "train.window": 16,
    "train.workers": 1,
    "train.products": "numpy",
    "train.steps": 24,
    "train.eval_every": 10,
    "train.log_every": 5,
    "train.sample_every": 7,
    "sample.length": 20,
}


@pytest.fixture(autouse=True)
def _text() -> None:
    Path("text.txt").write_text(prose(9000), encoding="utf-8")


def plan_for(ranks: Ranks, **changes: object) -> Plan:
    values = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    settings = resolve([("test", values)])
    return make_plan(settings, read(["text.txt"], settings.data), ranks)


Lead = Callable[[Plan, Ranks], None]


def together(lead: Lead, **changes: object) -> None:
    """Let rank 0 lead, while the others take part. All must end, and the others without error."""
    room, errors = Room(SIZE), []

    def other(rank: int) -> None:
        try:
            take_part(ThreadRanks(rank, SIZE, room))
        except BaseException as error:
            errors.append(error)
            room.barrier.abort()

    threads = [threading.Thread(target=other, args=(rank,)) for rank in range(1, SIZE)]
    for thread in threads:
        thread.start()
    ranks = ThreadRanks(0, SIZE, room)
    try:
        plan = plan_for(ranks, **changes)
        shared_plan(plan, ranks)
        lead(plan, ranks)
    finally:
        assert ranks.apart  # the others wait to meet it
        ranks.end()
        for thread in threads:
            thread.join(timeout=30)
        assert not errors
        assert not any(thread.is_alive() for thread in threads)


def test_all_ranks_reserve_the_same_time_for_an_evaluation() -> None:
    reserved: dict[int, float] = {}

    def prepare(rank: int, room: Room) -> None:
        plan = plan_for(ThreadRanks(rank, SIZE, room), train__steps=None, train__minutes=1.0)
        checkpoint, windows = start(plan), plan.windows
        sizes = [windows.window(number)[0].size for number in range(windows.per_epoch)]
        assert len(set(sizes)) > 1
        if not rank:  # a resumed run, whose step the other ranks learn later
            first = next(number for number, size in enumerate(sizes) if size != sizes[0])
            checkpoint.progress.step = first
        with closing(Trainer(plan, checkpoint, RunWriter.nowhere())) as trainer:
            trainer.estimate()
            reserved[rank] = trainer.evaluation_seconds

    room = Room(SIZE)
    threads = [threading.Thread(target=prepare, args=(rank, room)) for rank in range(SIZE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(reserved) == SIZE
    assert len(set(reserved.values())) == 1


def train(plan: Plan, run: RunWriter, stop: Callable[[], bool] = lambda: False) -> list[Event]:
    """The events of a run, from its last checkpoint."""
    checkpoint = resume(plan, checkpoints.read(run.checkpoints.find("last")))
    run.drop_after(checkpoint.progress.step)
    with closing(Trainer(plan, checkpoint, run)) as trainer:
        trainer.estimate()
        return list(trainer.train(stop))


def new_run(plan: Plan, name: str = "run") -> RunWriter:
    run = RunWriter.create(Path("runs"), name, start(plan), {}, {})
    run.write_info({})
    return run


def last(run: RunWriter) -> Checkpoint:
    return checkpoints.read(run.checkpoints.find("last"))


def whole(**changes: object) -> tuple[RunWriter, list[Event]]:
    """An undisturbed run of these ranks."""
    results: list[Any] = []

    def lead(plan: Plan, ranks: Ranks) -> None:
        run = new_run(plan, "whole")
        results.extend([run, train(plan, run)])

    together(lead, **changes)
    run, events = results
    return run, events


def assert_equal(run: RunWriter, other: RunWriter) -> None:
    one, two = last(run), last(other)
    assert one.progress.step == two.progress.step
    np.testing.assert_array_equal(one.model.params.flat, two.model.params.flat)
    np.testing.assert_array_equal(one.state, two.state)
    samples = [sorted((each.path / "samples").iterdir()) for each in (run, other)]
    assert [path.read_bytes() for path in samples[0]] == [path.read_bytes() for path in samples[1]]


def test_all_ranks_go_back_together() -> None:
    wild = {"optim.lr": 30, "optim.warmup": 0, "optim.clip": 1000, "train.steps": 60}
    run, events = whole(**wild)
    plan = plan_for(ALONE, **wild)
    alone = new_run(plan, "alone")
    expected = [one.lr_factor for one in train(plan, alone) if isinstance(one, RolledBack)]
    assert len(expected) > 1
    assert [one.lr_factor for one in events if isinstance(one, RolledBack)] == expected
    assert [one.step for one in run.info.went_back] == [one.step for one in alone.info.went_back]
    assert last(run).progress.step == 60


def test_a_disk_that_is_full_for_a_while_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed, _ = whole(train__save_minutes=1e-6)
    original, events, failed = checkpoints.write, [], itertools.count()

    def full(path: Path, checkpoint: Checkpoint) -> None:
        if checkpoint.progress.step > 12 and next(failed) < 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, checkpoint)

    def lead(plan: Plan, ranks: Ranks) -> None:
        run = new_run(plan)
        monkeypatch.setattr(checkpoints, "write", full)
        events.extend(train(plan, run))
        assert_equal(run, undisturbed)

    together(lead, train__save_minutes=1e-6)
    assert any(isinstance(event, NotWritten) for event in events)


def test_what_ends_rank_0_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    def lead(plan: Plan, ranks: Ranks) -> None:
        run = new_run(plan)
        monkeypatch.setattr(RunWriter, "append_metrics", denied)
        with pytest.raises(OSError, match="Permission denied"):
            train(plan, run)

    together(lead)


def test_who_leaves_the_loop_of_rank_0_ends_all() -> None:
    def lead(plan: Plan, ranks: Ranks) -> None:
        with closing(Trainer(plan, start(plan), new_run(plan))) as trainer:
            trainer.estimate()
            for event in trainer.train():
                if isinstance(event, Sampled):
                    return

    together(lead)


def test_a_plan_that_is_not_carried_out_ends_all() -> None:
    together(lambda plan, ranks: None)


def test_a_rank_that_cannot_read_the_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def lead(*_: object) -> None:
        raise AssertionError

    right = make_plan

    def refused(settings: Any, corpus: Any, ranks: Ranks) -> Plan:
        if ranks.rank == 2:
            raise UsageError("it is broken")
        return right(settings, corpus, ranks)

    monkeypatch.setattr("grucli.training.preparation.make_plan", refused)
    with pytest.raises(UsageError, match="rank 2 on host2: it is broken"):
        together(lead)


@pytest.mark.parametrize("number", [8, 15, 40, 70])
def test_a_stop_at_any_moment_stops_all_and_loses_nothing(number: int) -> None:
    """In a step, and in an evaluation."""
    undisturbed, _ = whole()
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= number

    def stopped(plan: Plan, ranks: Ranks) -> None:
        train(plan, new_run(plan), stop)

    def resumed(plan: Plan, ranks: Ranks) -> None:
        (path,) = Path("runs").glob("*-run")
        run = RunWriter(path)
        assert last(run).progress.due
        assert last(run).progress.step < 24
        train(plan, run)
        assert_equal(run, undisturbed)

    together(stopped)
    together(resumed)


def test_a_stop_in_a_sample_that_rank_0_makes_alone_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    undisturbed, _ = whole()
    right, begun = trainer_module.make_sample, itertools.count()

    def first_is_stopped(checkpoint: Checkpoint, stop: Callable[[], bool]) -> bytes:
        return right(checkpoint, stop if next(begun) else lambda: True)

    def stopped(plan: Plan, ranks: Ranks) -> None:
        train(plan, new_run(plan))

    def resumed(plan: Plan, ranks: Ranks) -> None:
        (path,) = Path("runs").glob("*-run")
        run = RunWriter(path)
        assert (last(run).progress.step, last(run).progress.due) == (7, True)
        train(plan, run)
        assert_equal(run, undisturbed)

    monkeypatch.setattr(trainer_module, "make_sample", first_is_stopped)
    together(stopped)
    assert next(begun) == 1
    together(resumed)


def test_ranks_read_no_standard_input() -> None:
    with pytest.raises(UsageError, match="only one rank has a standard input"):
        prepare(Request("-"), ThreadRanks(0, 2, Room(2)))


@pytest.mark.parametrize(
    ("started", "said"),
    [
        (2, "mpiexec has started 2 ranks, and mpi4py sees 1: mpiexec belongs to another MPI than"),
        (1, "Open MPI v5.0.1 was built without support for threads"),
    ],
)
def test_an_mpi_that_cannot_be_used_is_named(
    started: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mpi = SimpleNamespace(
        COMM_WORLD=SimpleNamespace(size=1),
        THREAD_MULTIPLE=3,
        Query_thread=lambda: 2,
        Get_library_version=lambda: "Open MPI v5.0.1",
    )
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=mpi))
    monkeypatch.setattr(ranks_module, "is_a_rank", lambda: True)
    monkeypatch.setattr(ranks_module, "started_ranks", lambda: started)
    monkeypatch.setattr(ranks_module.MPIRanks, "made", False)
    with pytest.raises(UsageError, match=said):
        ranks_module._mpi()
