import errno
from pathlib import Path

import pytest

from grucli import files
from grucli.errors import RunError, SettingsError, UsageError
from grucli.sweeps.api import read_study
from grucli.sweeps.space import read_space
from grucli.sweeps.worker import Worker
from tests.conftest import refused_locks, snapshot
from tests.sweeps.helpers import LR, TINY, S, events, train, worker


def test_another_file_or_text_is_refused(text_file: Path, tmp_path: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    changes = {"optim.lr": {"log": [1e-3, 1]}, "train.batch": 5, "sweep.sampler": "random"}
    with pytest.raises(SettingsError) as caught:
        worker(text_file, changes)
    message = str(caught.value)
    assert 'settings: optim.lr: was {"low": 0.001, "high": 0.1,' in message
    assert "settings: train.batch: was 4, and is 5" in message
    assert 'settings: sweep.sampler: was "tpe", and is "random"' in message
    assert f"(the study {S} cannot change, except for sweep.trials and sweep.minutes" in message
    other = tmp_path / "other.txt"
    other.write_text(text_file.read_text() + "more")
    with pytest.raises(SettingsError, match="the text is another one"):
        worker(other, {})


def test_settings_without_an_effect_may_differ(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    changed = {"train.workers": 2, "train.keep": 0, "sample.length": 5, "train.products": "numpy"}
    assert len(train(text_file, {"sweep.trials": 2, **changed}).trials) == 2


# ---- its folder


OTHER = {"optim.lr": {"log": [1e-5, 1e-4]}, "sweep.trials": 3}


def test_a_study_without_its_journal_leaves_its_directory_to_nobody_else(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 3})
    (S / "study.journal").unlink()
    before = snapshot(S)
    for settings in (OTHER, {"sweep.trials": 3}):
        with pytest.raises(UsageError, match="runs/s: belongs to a study that is not in runs/s/st"):
            train(text_file, settings)
    assert snapshot(S) == before


def test_a_journal_of_another_study_does_not_take_the_runs(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    other = train(text_file, OTHER, Path("runs/other"))
    (S / "study.journal").write_bytes((other.path / "study.journal").read_bytes())
    with pytest.raises(UsageError, match="belongs to a study that is not in"):
        train(text_file, OTHER)
    with pytest.raises(UsageError, match="there is no such study"):
        read_study(S)


def test_a_study_in_another_database(text_file: Path) -> None:
    space = read_space(None, {**TINY, **LR, "sweep.trials": 1})
    for _ in range(2):
        events(Worker(Path("runs/s"), "sqlite:///a.db", space, [str(text_file)]))
    (trial,) = read_study("runs/s", "sqlite:///a.db").trials
    assert trial.status == "done"
    for storage, error in (("sqlite:///b.db", UsageError), (None, UsageError)):
        with pytest.raises(error, match="belongs to a study that is not in"):
            Worker(Path("runs/s"), storage, space, [str(text_file)])
    Path("a.db").unlink()
    with pytest.raises(UsageError, match="not in sqlite:///a"):
        Worker(Path("runs/s"), "sqlite:///a.db", space, [str(text_file)])


def test_a_file_system_without_locks_is_refused(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(files, "_try_lock", lambda *_, **__: True)
        with pytest.raises(UsageError, match="its file system has no locks"):
            worker(text_file, {})
    with refused_locks(monkeypatch, errno.ENOSYS), pytest.raises(UsageError, match="cannot be lo"):
        worker(text_file, {})


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "[]",
        "1",
        "null",
        '{"op_code":99,"worker_id":"a"}',
        '{"op_code":-1,"worker_id":"a"}',
        '{"op_code":4,"worker_id":"a"}',
        "[" * 100_000,
        '{"op_code":8,"worker_id":"a","trial_id":0,"user_attr":{"grucli":{"sessions":["a"]}}}',
        '{"op_code":8,"worker_id":"a","trial_id":0,"user_attr":{"grucli":{"loss":NaN}}}',
        '{"op_code":8,"worker_id":"a","trial_id":0,"user_attr":{"grucli":{"other":1}}}',
        '{"op_code":2,"worker_id":"a","study_id":0,"user_attr":{"grucli":[]}}',
        '{"op_code":2,"worker_id":"a","study_id":0,"user_attr":{"grucli":{"parameters":{"a":1}}}}',
    ],
)
def test_a_damaged_journal_is_one_message(text_file: Path, line: str) -> None:
    one = worker(text_file, {"sweep.trials": 1})
    events(one, stop=iter([False] * 12 + [True] * 99).__next__)
    with (S / "study.journal").open("a") as file:
        file.write(f"{line}\n")
        file.write('{"op_code":3,"worker_id":"a","study_id":0,"system_attr":{"a":1}}\n')
    for command in (lambda: read_study(S), lambda: train(text_file, {"sweep.trials": 1})):
        with pytest.raises(RunError) as caught:
            command()
        message = "runs/s/study.journal: damaged, or not a study of Optuna and grucli"
        assert str(caught.value) == message


def test_a_run_is_no_folder_of_a_study(text_file: Path) -> None:
    S.mkdir(parents=True)
    (S / "run.json").write_text("{}")
    before = snapshot(S)
    with pytest.raises(UsageError, match="runs/s: is a run; choose another name with --name"):
        worker(text_file, {})
    assert snapshot(S) == before
