import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from grucli.errors import CheckpointError, UsageError
from grucli.sweeps.optuna_storage import without_password
from grucli.sweeps.space import read_space
from grucli.sweeps.study import Study
from grucli.sweeps.worker import Worker
from tests.conftest import Grucli
from tests.sweeps.helpers import LONG, LR, TINY, end, kill, start, wait_for, write_file
from tests.sweeps.postgresql import server, why_not

needs_server = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
needs_driver = pytest.mark.skipif(importlib.util.find_spec("psycopg") is None, reason="psycopg")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server() as address:
        yield address


@needs_driver
@needs_server
def test_two_workers_one_of_them_killed(text_file: Path, url: str, grucli: Grucli) -> None:
    path = write_file({"sweep.trials": 3, **LONG}, Path("pg.yaml"))
    first, second = (start(path, text_file, "--storage", url) for _ in range(2))
    saved = Path("runs/pg/trial-0000/checkpoints/last.json")
    wait_for(saved, first)
    pid = int((saved.parents[1] / "lock").read_text())
    victim, other = (first, second) if first.pid == pid else (second, first)
    kill(victim)
    step = json.loads(saved.read_text())["step"]
    ((_, err),) = end([other])
    assert "trial 0 of 3: optim.lr" in err
    assert f"continued from step {step:,}" in err
    shown = grucli("--debug", "sweep", "--show", "pg", "--storage", url, "--json")
    trials = json.loads(shown.out)["trials"]
    assert {(one["number"], one["status"]) for one in trials} == {(n, "done") for n in range(3)}
    assert len(list(Path("runs/pg").glob("trial-*"))) == 3
    assert not Path("runs/pg/study.journal").exists()
    for file in Path("runs").rglob("*"):
        assert file.is_dir() or b"secret" not in file.read_bytes(), file


@needs_driver
@needs_server
def test_a_worker_with_another_folder_takes_no_trials_of_this_one(
    text_file: Path, url: str
) -> None:
    space = read_space(None, {**TINY, **LR, "sweep.trials": 2, "sweep.sampler": "random"})
    here, there = (
        Worker(Study(Path(name) / "apart", url), space, [str(text_file)]) for name in "ab"
    )
    taken = here._taker.take()
    assert taken is not None
    taken._claim.release()  # as if its process had been killed
    assert [type(event).__name__ for event in there.events()][-2:] == ["TrialEnded", "Complete"]
    assert [one.status for one in there.study.trials()] == ["elsewhere", "done"]
    assert [one.status for one in here.study.trials()] == ["stopped", "done"]


@needs_driver
@needs_server
def test_a_study_that_is_not_in_the_database(url: str) -> None:
    study = Study(Path("runs/none"), url)
    with pytest.raises(CheckpointError) as caught:
        study.load()
    assert str(caught.value) == f"runs/none: there is no such study in {without_password(url)}"


@needs_driver
def test_a_database_that_does_not_answer() -> None:
    with pytest.raises(UsageError) as caught:
        Study(Path("runs/s"), "postgresql://me:secret@127.0.0.1:1/none")
    message = str(caught.value)
    assert message.startswith("--storage postgresql://me:***@127.0.0.1:1/none: ")
    assert "\n" not in message
    assert not Path("runs").exists()


@pytest.mark.parametrize("url", ["sqlite:///a.db", "runs/a", "mysql://a/b", "postgresql"])
def test_another_kind_of_storage(url: str) -> None:
    with pytest.raises(UsageError, match="write a URL such as postgresql://user@host/database"):
        Study(Path("runs/s"), url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://a:b@h/d", "postgresql://a:***@h/d"),
        ("postgresql://a:b@c@h/d", "postgresql://a:***@h/d"),
        ("postgresql://a@h:5/d", "postgresql://a@h:5/d"),
        ("postgresql:///d?user=a&password=b", "postgresql:///d?***"),
        ("postgresql:///d?host=/run", "postgresql:///d?host=/run"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
