"""Runs that are stopped, killed, damaged or trained by two at once, and go on."""

import errno
import json
import os
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grucli.errors import RunError, SettingsError, UsageError
from grucli.run import checkpoint as checkpoints
from grucli.run.run import Run
from grucli.run.writer import RunWriter
from grucli.training.events import RolledBack
from grucli.training.session import Session
from grucli.training.trainer import Trainer
from tests.conftest import refused_locks, snapshot
from tests.faults.trials import remains
from tests.texts import prose
from tests.training.small_runs import SMALL, again, from_weights, new, sample_of, train

posix = pytest.mark.skipif(os.name == "nt", reason="needs FIFOs, or files that are open elsewhere")


class _Losses:
    """Validation losses that are given, one after the other."""

    def __init__(self, losses: list[float]) -> None:
        self.losses, self.given = losses, 0

    def __call__(self) -> float:
        self.given += 1
        return self.losses[self.given - 1]


@pytest.fixture(autouse=True)
def _text() -> None:
    Path("text.txt").write_text(prose(4000), encoding="utf-8")


# ---- two processes


@posix
def test_a_run_is_locked_before_anything_of_it_is_read() -> None:
    run, _ = train(new(), 15)
    os.mkfifo("fifo")
    waiting: list[Session] = []
    text = Path("text.txt").read_bytes()
    thread = threading.Thread(target=lambda: waiting.append(again(run, "fifo")))
    thread.start()
    lock = RunWriter(run)._lock
    deadline = time.monotonic() + 10
    while lock.is_free() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(UsageError, match="is training this run"):
        again(run, train__steps=60)
    Path("fifo").write_bytes(text)
    thread.join(30)
    train(waiting[0])
    assert sample_of(run, "last")["step"] == 40


@posix
def test_on_a_file_system_without_locks_runs_are_trained_and_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in (errno.ENOSYS, errno.ENOLCK):
        with refused_locks(monkeypatch, number):
            run, _ = train(new(), 15)
            assert Run(run).status == "interrupted"
            RunWriter(run).update_info(status="running")
            assert Run(run).status == "running"
            RunWriter(run).update_info(status="interrupted")
            train(again(run))
            assert Run(run).status == "done"


@posix
def test_a_run_that_may_be_trained_is_not_resumed_without_its_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, _ = train(new(), 15)
    RunWriter(run).update_info(status="running")
    before = snapshot(run)
    with refused_locks(monkeypatch, errno.ENOLCK), pytest.raises(RunError) as caught:
        again(run)
    assert "another process may be training this run" in str(caught.value)
    with refused_locks(monkeypatch, errno.EIO), pytest.raises(RunError, match="cannot be locked"):
        again(run)
    with refused_locks(monkeypatch, errno.EIO), pytest.raises(UsageError, match="cannot make a"):
        train(new(), 15)
    assert snapshot(run) == before
    assert [path for path in run.parent.iterdir() if path.is_dir()] == [run]
    again(run).close()


@posix
def test_a_look_at_a_run_does_not_keep_it_from_being_resumed() -> None:
    run, _ = train(new(), 15)
    looks, ended = [], threading.Event()

    def look() -> None:
        while not ended.is_set():
            looks.append(RunWriter(run)._lock.is_free())

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    for _ in range(20):
        again(run).close()
    ended.set()
    for watcher in watchers:
        watcher.join()
    assert True in looks


def test_a_session_that_is_not_trained_gives_the_run_back() -> None:
    run, _ = train(new(), 15)
    again(run).close()
    with pytest.raises(SettingsError, match="cannot become"):
        again(run, model__hidden=9)
    train(again(run))


@posix
def test_a_run_whose_lock_is_deleted_or_replaced_stops_without_writing() -> None:
    for replaced in (False, True):
        run, _ = train(new(), 15)
        before: dict[str, bytes] = {}

        def lose(trainer: Trainer, replaced: bool = replaced, found: Any = before) -> None:
            path = trainer.run.path
            (path / "lock").unlink()
            if replaced:
                (path / "lock").write_text("1\n")
            found.update({str(p): p.read_bytes() for p in path.rglob("*") if p.is_file()})

        with pytest.raises(RunError, match="was deleted or replaced during training"):
            train(again(run), prepare=lose)
        assert {str(p): p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


# ---- what a stop inserts


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_a_stop_leaves_no_trace_in_the_files(keep: int) -> None:
    whole, _ = train(new(train__keep=keep))
    for stops in ([3], [15], [10], [15, 17, 31], [20, 21, 22, 23, 39]):
        run, _ = train(new(train__keep=keep), stops[0])
        for stop in [*stops[1:], None]:
            train(again(run), stop)
        assert remains(run) == remains(whole), stops


def test_checkpoints_by_the_clock_leave_no_trace_either() -> None:
    whole, _ = train(new())
    often, _ = train(new(train__save_minutes=1e-9))
    assert {p.name for p in (often / "checkpoints").iterdir()} == {
        p.name for p in (whole / "checkpoints").iterdir()
    }


def diverge(trainer: Trainer, first: int = 14) -> None:
    """Let the loss of five steps be no number, until the run has gone back."""
    original, where = trainer.train_step.shards.loss_and_gradients, trainer.checkpoint.progress

    def failing(*arguments: Any) -> Any:
        loss, state, grads = original(*arguments)
        bad = where.lr_factor == 1 and first <= where.step + 1 < first + 5
        return (np.nan if bad else loss), state, grads

    trainer.train_step.shards.loss_and_gradients = failing  # type: ignore[method-assign]


@pytest.mark.parametrize("stop", [3, 5, 6, 12])
@pytest.mark.parametrize("weights", [False, True])
def test_a_stop_does_not_change_where_a_run_starts_again_from(stop: int, weights: bool) -> None:
    origin, _ = train(new(model__hidden=12), 15)
    prepare = partial(diverge, first=2)

    def begin(lr: float = 0.02) -> Session:
        if not weights:
            return new(train__keep=0, optim__lr=lr)
        given = {key: one for key, one in SMALL.items() if not key.startswith("model.")}
        return from_weights(origin, given | {"optim.lr": lr})

    whole, events = train(begin(), prepare=prepare)
    assert [event.step for event in events if isinstance(event, RolledBack)] == [0]
    lower, _ = train(begin(0.01))
    assert [row.loss for row in Run(whole).rows()] == [row.loss for row in Run(lower).rows()]
    run, _ = train(begin(), stop, prepare)
    train(again(run), prepare=prepare)
    assert remains(run) == remains(whole)


def test_a_run_whose_first_checkpoint_is_gone_cannot_start_again() -> None:
    run, _ = train(new(), 2)
    Run(run).checkpoints.file_of(0).unlink()
    with pytest.raises(RunError, match="start again with a lower learning rate"):
        train(again(run), prepare=partial(diverge, first=3))


@pytest.mark.parametrize("stop", [11, 13, 16, 20, 27, 33])
def test_a_stop_does_not_change_where_a_run_goes_back_to(stop: int) -> None:
    whole, events = train(new(train__keep=0), prepare=diverge)
    assert [event.step for event in events if isinstance(event, RolledBack)] == [10]
    run, _ = train(new(train__keep=0), stop, diverge)
    train(again(run), prepare=diverge)
    assert remains(run) == remains(whole)


def test_a_run_goes_back_although_the_clock_has_saved_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It goes back to the best evaluation, which is not the last, nor the last checkpoint."""
    monkeypatch.setattr(Trainer, "_validation_loss", _Losses([1.0, 1.1, 1.1, 1.1, 1.1, 1.1]))
    changes = {"train__keep": 0, "train__save_minutes": 1e-9}
    _, events = train(new(**changes), prepare=partial(diverge, first=24))
    assert [event.step for event in events if isinstance(event, RolledBack)] == [10]


# ---- pointers, pruning, temporary files


@pytest.mark.parametrize("content", ["{", "", '{"file": 5}', '{"file": "step-00000010.npz"}', None])
@pytest.mark.parametrize("which", ["best", "last"])
def test_a_damaged_pointer_is_mended_on_resume(which: str, content: str | None) -> None:
    whole, _ = train(new())
    run, _ = train(new(), 35)
    pointer = run / "checkpoints" / f"{which}.json"
    if content is None:
        pointer.unlink()
    else:
        pointer.write_text(content)
    session = again(run)
    train(session)
    assert remains(run) == remains(whole)
    assert any("best.json: was damaged" in note for note in session.notes) == (which == "best")


def test_where_the_best_checkpoint_is_lost_the_best_of_the_others_takes_its_place() -> None:
    run, _ = train(new(train__keep=9), 35)
    losses = {
        file: checkpoints.read(file).progress.evaluated_loss or 9.0
        for file in Run(run).checkpoints.files()[:-1]
    }
    best, second, *_ = sorted(losses, key=losses.__getitem__)
    best.write_bytes(b"rubbish")
    session = again(run, train__steps=36)
    with closing(session), session.trainer():
        assert sample_of(run, "best")["file"] == second.name
        assert session.checkpoint.progress.best_loss == losses[second]


def test_only_what_the_program_wrote_is_deleted() -> None:
    run, _ = train(new(train__keep=0), 15)
    names = ["step-00000010-backup.npz", "step-10.npz", "step-000000010.npz", "mine.npz"]
    mine = [run / "checkpoints" / name for name in names]
    mine += [run / ".notes.tmp-1", run / "samples" / ".mine.tmp-1-0123abcd", run / "a" / ".b.tmp-1"]
    ours = [run / ".run.json.tmp-1-0123abcd", run / "samples" / ".step-00000010.txt.tmp-7-0123abcd"]
    (run / "a").mkdir()
    for file in mine + ours:
        file.write_text("")
    train(again(run))
    assert all(file.exists() for file in mine)
    assert not any(file.exists() for file in ours)


# ---- a hitch between a checkpoint and run.json


def test_a_failed_write_of_run_json_does_not_bring_back_a_worse_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """best.json has moved by then, and must not move to a later checkpoint that is worse."""
    original, fails = RunWriter.update_info, [28, 28]

    def full(run: RunWriter, **changes: Any) -> None:
        if changes.get("step") == 20 and fails:
            raise OSError(fails.pop(), "No space left on device")
        original(run, **changes)

    monkeypatch.setattr(RunWriter, "update_info", full)
    monkeypatch.setattr(Trainer, "_validation_loss", _losses := _Losses([3.0, 1.0, 1.2, 1.1]))
    run, _ = train(new(train__keep=0))
    assert not fails
    assert _losses.given == 4
    assert sample_of(run, "best")["step"] == 20
    assert json.loads((run / "run.json").read_text())["best"]["step"] == 20
    best = run / "checkpoints" / sample_of(run, "best")["file"]
    assert checkpoints.read(best).progress.step == 20


def test_the_time_of_a_run_counts_on_in_its_next_session() -> None:
    run, _ = train(new(), 15)
    told = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(told | {"elapsed_s": 1000.0}))
    train(again(run))
    assert 1000 < (Run(run).info.elapsed_s or 0.0) < 1100
    assert Run(run).rows()[-1].elapsed_s > 1000
