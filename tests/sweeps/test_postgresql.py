import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from grucli.errors import CheckpointError
from grucli.sweeps.api import read_study
from grucli.sweeps.space import read_space
from grucli.sweeps.storage import without_password
from grucli.sweeps.worker import Worker
from tests.conftest import Grucli
from tests.sweeps.helpers import LONG, LR, TINY, claim, end, kill, start, wait_for, write_file
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
    wait_for(saved.with_name("best.json"), first)
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
