import errno
import json
import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from grucli.config import resolve
from grucli.data.corpus import read as read_corpus
from grucli.errors import RunError, UsageError
from grucli.run.checkpoint import Checkpoint
from grucli.run.records import Metrics
from grucli.run.run import Run
from grucli.run.writer import CheckpointWriter, RunWriter, new_name, new_paths, write_run
from grucli.training.plan import make_plan, start
from tests.texts import prose

ROW = Metrics(10, 0.5, 640, "val", 1.23456789, 1.78, 0.01, 0.3, 0.0, 2.5)


@pytest.fixture
def checkpoint() -> Checkpoint:
    Path("t.txt").write_text(prose(500), encoding="utf-8")
    settings = resolve([("", {"model.hidden": 5})])
    return start(make_plan(settings, read_corpus(["t.txt"], settings.data)))


@pytest.fixture
def run(checkpoint: Checkpoint) -> RunWriter:
    return RunWriter.create(Path("runs"), "a", checkpoint, {"model.hidden": 5}, {"step": 0})


def test_a_new_run_has_a_name_of_its_own_and_can_be_read(
    run: RunWriter, checkpoint: Checkpoint
) -> None:
    made = RunWriter.create(Path("runs"), "a/b *", checkpoint, {}, {}, timed=False)
    again = RunWriter.create(Path("runs"), "a/b *", checkpoint, {}, {}, timed=False)
    assert (made.path.name, again.path.name) == ("a-b", "a-b-2")
    assert run.path.name.endswith("-a")
    names = ["-.", "\u00e9" * 40, "a" * 63 + "\u00e9"]
    assert [new_name(one, timed=False) for one in names] == ["run", "\u00e9" * 32, "a" * 63]
    opened = Run(run.path)
    assert (opened.settings, opened.info.step) == (checkpoint.settings, 0)
    assert (run.path / "overrides.yaml").read_text() == "model.hidden: 5\n"
    assert opened.rows() == opened.samples() == []
    Path("file").touch()
    with pytest.raises(FileExistsError):
        RunWriter.create(Path("file"), "a", checkpoint, {}, {})


def test_what_is_written_is_read(run: RunWriter) -> None:
    run.append_metrics(ROW)
    run.append_metrics(ROW)
    (row, _) = Run(run.path).rows()
    assert (row.step, row.split, row.loss) == (10, "val", 1.23457)
    run.write_sample(10, b"text")
    run.write_sample(20, b"later")
    assert [step for step, _ in Run(run.path).samples()] == [10, 20]
    run.update_info(status="running", mine=[1])
    assert Run(run.path).info.to_dict() == {"step": 0, "status": "running", "mine": [1]}
    run.drop_after(9)
    assert Run(run.path).rows() == Run(run.path).samples() == []


def test_a_run_takes_the_first_free_name_even_if_another_process_is_faster(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "run.json").touch()
    paths = [Path("runs", name) for name in "abc"]
    monkeypatch.setattr("os.path.lexists", lambda path: path.name == "a")
    assert write_run(paths, checkpoint, {"status": "merged"}) == paths[2]
    assert Run(paths[2]).status == "merged"
    assert sorted(path.name for path in Path("runs").iterdir()) == ["a", "b", "c"]
    with pytest.raises(UsageError, match="exists already"):
        write_run(paths[:1], checkpoint, {})


def test_runs_are_not_made_in_a_file(checkpoint: Checkpoint) -> None:
    Path("file").touch()
    with pytest.raises(UsageError, match=r"cannot be written: File exists"):
        write_run(islice(new_paths(Path("file"), "a"), 3), checkpoint, {})


def test_metrics_that_were_moved_away_begin_again_with_their_names(run: RunWriter) -> None:
    run.append_metrics(ROW)
    (run.path / "metrics.csv").rename("moved.csv")
    run.append_metrics(ROW)
    assert (run.path / "metrics.csv").read_bytes() == Path("moved.csv").read_bytes()


def test_an_error_that_may_pass_is_no_lost_lock(
    run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr("os.stat", fail)
        assert not run._lock.is_lost()
    (run.path / "lock").unlink()
    assert run._lock.is_lost()


def test_who_has_lost_the_lock_writes_nothing(run: RunWriter, checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError, match="is training this run"):
        RunWriter(run.path).lock()
    (run.path / "lock").unlink()
    for write in (
        lambda: run.append_metrics(ROW),
        lambda: run.write_sample(1, b""),
        lambda: run.write_report(""),
        lambda: run.update_info(step=1),
        lambda: run.drop_after(0),
        lambda: run.checkpoints.save(checkpoint, best=True, keep=1),
        lambda: run.checkpoints.drop_after(0),
    ):
        with pytest.raises(RunError, match="was deleted or replaced during training"):
            write()
    assert not run.checkpoints.pointer("best")


def test_its_own_run_json_counts_while_it_is_locked(run: RunWriter) -> None:
    (run.path / "run.json").write_text("{", encoding="utf-8")
    assert run.info.step == 0
    run.update_info(step=5)
    assert json.loads((run.path / "run.json").read_text(encoding="utf-8")) == {"step": 5}


def test_a_lost_pointer_to_the_best_checkpoint_is_made_anew(checkpoint: Checkpoint) -> None:
    Path("checkpoints").mkdir()
    folder, where = CheckpointWriter(Path("checkpoints"), lambda: None), checkpoint.progress
    for step, loss in [(10, 0.5), (20, 0.0), (30, 0.25)]:
        where.step = step
        folder.save(checkpoint, best=where.note_evaluation(loss), keep=3)
    Path("checkpoints", "best.json").unlink()
    where.best_step = where.best_loss = 999  # to be found anew
    (note,) = folder.mend_pointers(folder.file_of(30), checkpoint)
    assert note.endswith("it names step-00000020.npz now")
    assert (where.best_step, where.best_loss) == (20, 0.0)
    pointer = folder.pointer("best")
    assert pointer is not None
    assert (pointer.step, pointer.loss) == (20, 0.0)


@pytest.mark.parametrize("problem", [KeyboardInterrupt, UnicodeEncodeError("utf-8", "", 0, 1, "")])
def test_a_run_that_could_not_begin_leaves_nothing(
    checkpoint: Checkpoint, problem: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr("grucli.run.writer.CheckpointWriter.save", fail)
    with pytest.raises((KeyboardInterrupt, UnicodeEncodeError)):
        RunWriter.create(Path("runs"), "a", checkpoint, {}, {})
    assert not [*Path("runs").iterdir()]
