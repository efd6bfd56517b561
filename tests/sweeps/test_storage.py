import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grucli.errors import RunError, UsageError
from grucli.files import Lock
from grucli.sweeps import storage
from grucli.sweeps.api import read_study
from grucli.sweeps.storage import (
    JournalLock,
    WaitingLock,
    journal,
    open_database,
    quietly,
    without_password,
)
from tests.conftest import Grucli
from tests.sweeps.helpers import write_file

HOLD = """
import sys, time
from pathlib import Path
from grucli.sweeps.storage import JournalLock
JournalLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_a_process_that_is_killed_leaves_no_lock_behind(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.touch()
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", HOLD, str(path)]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=root, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    began = time.monotonic()
    with JournalLock(path):
        assert time.monotonic() - began < 1


def test_a_lock_waits_for_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with WaitingLock(path):
        assert not Lock(path).acquire()
    with WaitingLock(path):
        pass


def test_a_torn_line_of_a_journal_is_removed(tmp_path: Path) -> None:
    with quietly(""):
        one = journal(tmp_path)
        one.create_new_study([1], "a")  # type: ignore[list-item]
    path = tmp_path / "study.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":0,"stu')
    with quietly(""):
        journal(tmp_path).create_new_study([1], "b")  # type: ignore[list-item]
        names = [one.study_name for one in journal(tmp_path).get_all_studies()]
    assert names == ["a", "b"]
    assert all(json.loads(line) for line in path.read_text().splitlines())


# ---- a database


needs_driver = pytest.mark.skipif(importlib.util.find_spec("psycopg") is None, reason="psycopg")


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
        open_database(url)
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


def test_a_lock_that_is_never_released_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PATIENCE", 0)
    said = f"process {os.getpid()} does not release this lock"
    with WaitingLock(tmp_path / "lock"), pytest.raises(RunError, match=said):
        WaitingLock(tmp_path / "lock").acquire()
