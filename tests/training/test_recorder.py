import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grucli.run import checkpoint as checkpoints
from grucli.run.writer import CheckpointWriter, RunWriter
from grucli.training.events import (
    NotWritten,
    Saved,
)
from grucli.training.plan import start
from grucli.training.trainer import Trainer
from tests.conftest import snapshot
from tests.training.trainers import (
    follow,
    last,
    plan_for,
    rows,
    trainer_for,
)


def test_the_files_of_a_run(text: str) -> None:
    trainer = trainer_for(plan_for(text, train__steps=10, train__keep=0))
    follow(trainer)
    files = {
        str(p.relative_to(trainer.run.path)) for p in trainer.run.path.rglob("*") if p.is_file()
    }
    assert {file.replace("\\", "/") for file in files} == {
        "config.yaml",
        "overrides.yaml",
        "run.json",
        "lock",
        "metrics.csv",
        "samples/step-00000010.txt",
        "checkpoints/step-00000000.npz",
        "checkpoints/step-00000010.npz",
        "checkpoints/best.json",
        "checkpoints/last.json",
    }


@pytest.mark.parametrize("keep", [0, 1, 3, 5, 99])
def test_best_and_last_always_exist_and_keep_limits_the_others(text: str, keep: int) -> None:
    plan = plan_for(text, train__steps=60, train__keep=keep, train__eval_every=5)
    trainer = trainer_for(plan)
    follow(trainer)
    first, *files = sorted(path.name for path in trainer.run.checkpoints.path.glob("*.npz"))
    pointed = {trainer.run.checkpoints.pointer(which).file for which in ("best", "last")}  # type: ignore[union-attr, arg-type]
    assert first == "step-00000000.npz"
    assert pointed <= set(files)
    assert len(set(files) - pointed) == min(keep, 12 - len(pointed))


def test_checkpoints_are_also_written_by_time(text: str) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    plan = plan_for(text, train__eval_every=1000, train__save_minutes=0.2)
    run = RunWriter.create(Path("runs"), "saves", start(plan), {}, {})
    run.write_info({})
    saved = [
        e for e in Trainer(plan, start(plan), run, clock=clock).train() if isinstance(e, Saved)
    ]
    assert len(saved) > 2


@pytest.mark.parametrize("what", ["metrics", "samples", "checkpoints"])
def test_a_disk_that_is_full_for_a_while_loses_nothing(
    text: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, part = trainer_for(plan_for(text)), trainer_for(plan_for(text))
    follow(whole)
    owner, name = {
        "metrics": (RunWriter, "append_metrics"),
        "samples": (RunWriter, "write_sample"),
        "checkpoints": (CheckpointWriter, "save"),
    }[what]
    original = getattr(owner, name)

    def full(run: object, *arguments: Any, **named: Any) -> object:
        if 10 < part.checkpoint.progress.step < 24:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(run, *arguments, **named)

    monkeypatch.setattr(owner, name, full)
    told = [event for event in follow(part) if isinstance(event, NotWritten)]
    assert told
    assert all(event.safe_step == 10 for event in told)
    clock = ("chars_per_s", "elapsed_s")
    assert rows(part, *clock) == rows(whole, *clock)
    for sample in (whole.run.path / "samples").iterdir():
        assert (part.run.path / "samples" / sample.name).read_bytes() == sample.read_bytes()
    assert checkpoints.read(part.run.checkpoints.find("last")).progress.step == 24
    parameters = [
        checkpoints.read(t.run.checkpoints.find("last")).model.params.flat for t in (part, whole)
    ]
    np.testing.assert_array_equal(*parameters)


@pytest.mark.parametrize(("keep", "best"), [(0, 16), (1, 40), (3, 20)])
def test_after_a_full_disk_the_same_checkpoints_are_kept(
    text: str, keep: int, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"train__keep": keep, "train__steps": 40, "train__eval_every": 4}
    plan = plan_for(text, **changes)
    whole, part = trainer_for(plan), trainer_for(plan)
    for trainer in (whole, part):
        where = trainer.checkpoint.progress
        monkeypatch.setattr(
            trainer, "_validation_loss", lambda where=where: 1.0 + 0.001 * abs(where.step - best)
        )
    original = checkpoints.write

    def full(path: Path, checkpoint: Any) -> None:
        if 10 < part.checkpoint.progress.step < 39:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, checkpoint)

    follow(whole)
    monkeypatch.setattr(checkpoints, "write", full)
    assert any(isinstance(event, NotWritten) for event in follow(part))
    assert len(part.recorder.unwritten) == 0
    assert snapshot(part.run.path / "checkpoints") == {
        name.replace(str(whole.run.path), str(part.run.path)): content
        for name, content in snapshot(whole.run.path / "checkpoints").items()
    }


def test_an_error_of_writing_that_will_not_pass_ends_the_run(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_for(plan_for(text))
    follow(trainer, 12)

    def denied(*_: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(RunWriter, "append_metrics", denied)
    with pytest.raises(OSError, match="Permission denied"):
        follow(trainer)


def test_a_checkpoint_is_read_back_before_it_takes_its_place(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_for(plan_for(text))
    follow(trainer, 3)
    before = last(trainer)
    original = np.savez

    def bad_memory(file: Any, **arrays: np.ndarray) -> None:
        original(file, **arrays)
        file.seek(len(arrays["meta"]) + 2000)
        file.write(b"\0\1\2\3")

    monkeypatch.setattr(np, "savez", bad_memory)
    with pytest.raises(OSError, match="the file read back is not the file that was written"):
        follow(trainer, 4)
    assert last(trainer) == before
    assert not list(trainer.run.checkpoints.path.glob(".*"))


def test_a_checkpoint_that_was_not_written_is_tried_again_after_a_minute(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    plan = plan_for(text, train__save_minutes=5.0)
    run = RunWriter.create(Path("runs"), "full", start(plan), {}, {})
    run.write_info({})
    recorder = Trainer(plan, start(plan), run, clock=lambda: now[0]).recorder

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "write", full)
    now[0] = 301.0
    assert recorder.save_is_due
    assert [type(event) for event in recorder.save(best=False)] == [NotWritten]
    due = []
    for now[0] in (302.0, 360.0, 362.0):
        due.append(recorder.save_is_due)
    assert due == [False, False, True]
