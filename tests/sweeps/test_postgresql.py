import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grucli.errors import CheckpointError, UsageError
from grucli.sweeps.api import read_study
from grucli.sweeps.space import read_space
from grucli.sweeps.storage import database, without_password
from grucli.sweeps.worker import Worker
from tests.conftest import Grucli
from tests.sweeps.helpers import (
    LONG,
    LR,
    TINY,
    claim,
    end,
    events,
    kill,
    start,
    wait_for,
    write_file,
)
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
    here, there = (Worker(Path(name) / "apart", url, space, [str(text_file)]) for name in "ab")
    taken = claim(here)
    assert taken is not None
    taken._claim.release()  # as if its process had been killed
    assert [type(event).__name__ for event in there.events()][-2:] == ["TrialEnded", "Complete"]
    assert [one.status for one in there.study.trials()] == ["elsewhere", "done"]
    assert [one.status for one in here.study.trials()] == ["stopped", "done"]


@needs_driver
@needs_server
def test_a_study_that_is_not_in_the_database(url: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_study("runs/none", url)
    assert str(caught.value) == f"runs/none: there is no such study in {without_password(url)}"


@needs_driver
def test_a_database_that_does_not_answer() -> None:
    with pytest.raises(UsageError) as caught:
        read_study("runs/s", "postgresql://me:secret@127.0.0.1:1/none")
    message = str(caught.value)
    assert message == (
        "--storage postgresql://me:***@127.0.0.1:1/none: does not answer, or does not accept the "
        "user, the password or the database"
    )
    assert not Path("runs").exists()


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


SECRETS = [
    "me:SECRET@host/x",
    "postgresql:me:SECRET@host/x",
    "postgresql://me:SECRET",
    "postgresql://me:SECRET/x",
    "postgresql://me:5432a@SECRET@127.0.0.1:1/x",
    "postgresql://me/SECRET@127.0.0.1:1",
    "postgresql://127.0.0.1:1/x;password=SECRET",
    "postgresql://127.0.0.1:1/x?user=u&password=a@SECRET",
    "postgresql://127.0.0.1:1/x?user=u&%70assword=SECRET",
    "postgresql://127.0.0.1:1/x?SECRET=SECRET",
    "postgresql://me:SECRET@127.0.0.1:1SECRET/x",
    "postgresql://me:SECRET@[::1]:1/x",
    "postgresql://me:SECRET@\n127.0.0.1:1/x",
    "postgresql://me:SECRET@127.0.0.1:99999999/x",
    "postgresql+none://me:SECRET@127.0.0.1/x",
    "none://me:SECRET@127.0.0.1/x",
    "SECRET",
]


@needs_driver
@pytest.mark.parametrize("url", SECRETS)
def test_no_message_shows_a_password(url: str, text_file: Path, grucli: Grucli) -> None:
    write_file({})
    for words in (("s.yaml", text_file), ("--show", "s")):
        told = grucli("--debug", "sweep", *words, "--storage", url)
        assert told.code == 2
        assert "SECRET" not in told.out + told.err
        assert "error: --storage" in told.err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("url", "name", "package"),
    [
        ("postgresql://me:SECRET@h/x", "psycopg", "psycopg[binary]"),
        ("postgresql+psycopg2://me:SECRET@h/x", "psycopg2", "psycopg2"),
    ],
)
def test_a_missing_driver_is_named(
    url: str, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError) as caught:
        database(url)
    assert f"the driver {name} is not installed; install {package} with pip" in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://a:b@h/d", "postgresql://a:***@h/d"),
        ("postgresql+psycopg://a:b@[::1]:5/d", "postgresql+psycopg://a:***@[::1]:5/d"),
        ("postgresql://a:b@c@h/d", "postgresql://***"),
        ("postgresql://h:5/d?password=a@b", "postgresql://***"),
        ("postgresql://a@h:5/d", "postgresql://a@h:5/d"),
        ("postgresql:///d?user=a&password=b", "postgresql:///d"),
        ("postgresql:///d?host=/run", "postgresql:///d"),
        ("sqlite:////a/b c.db", "sqlite:////a/b c.db"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
