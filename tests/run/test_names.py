"""Runs by short names."""

import os
from datetime import datetime
from pathlib import Path

import pytest

from grucli.errors import CheckpointError
from grucli.run.names import named_run
from grucli.run.run import runs

NAMES = ("20260101-000000-verse", "20260102-000000-verse-long", "20260103-000000-code")


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "run.json").touch()
    Path("runs", "20260104-000000-no-run").mkdir()
    Path("runs", "README.md").touch()


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("latest", f"runs/{NAMES[2]}"),
        ("verse", f"runs/{NAMES[0]}"),
        ("long", f"runs/{NAMES[1]}"),
        ("verse-long", f"runs/{NAMES[1]}"),
        (NAMES[2], f"runs/{NAMES[2]}"),
        ("erse", "erse"),
        ("no-run", "no-run"),
        ("other/verse", "other/verse"),
        ("runs", "runs"),
    ],
)
def test_a_word_names_a_run(word: str, found: str) -> None:
    assert named_run(Path(word)) == Path(found)


def test_the_latest_run_is_the_newest_also_without_a_time_in_its_name() -> None:
    for name, day in (("adapted", 4), ("old", 1)):
        make_run(name)
        overrides = Path("runs", name, "overrides.yaml")
        overrides.touch()
        written = datetime(2026, 1, day, 12).timestamp()
        os.utime(overrides, (written, written))
    assert named_run(Path("latest")) == Path("runs/adapted")
    make_run("20260105-000000-newer")
    assert named_run(Path("latest")) == Path("runs/20260105-000000-newer")
    Path("runs/20260106-000000-never-begun/checkpoints").mkdir(parents=True)
    assert named_run(Path("latest")) == Path("runs/20260105-000000-newer")
    names = [run.path.name for run in runs()]
    assert names[:3] == ["20260105-000000-newer", "adapted", NAMES[2]]
    assert names[3:5] == [NAMES[1], "old"]


def test_a_path_comes_before_a_name() -> None:
    Path("verse").touch()
    assert named_run(Path("verse")) == Path("verse")


def test_a_run_may_be_named_latest() -> None:
    Path("runs/20260101-000001-latest").mkdir()
    Path("runs/20260101-000001-latest/run.json").touch()
    assert named_run(Path("latest")) == Path("runs/20260101-000001-latest")


def make_run(name: str) -> None:
    Path("runs", name).mkdir()
    Path("runs", name, "run.json").touch()


def test_a_name_of_several_runs_is_refused_with_a_list_of_them() -> None:
    make_run("20260105-000000-code")
    with pytest.raises(CheckpointError) as refused:
        named_run(Path("code"))
    first, *others = str(refused.value).splitlines()
    assert first.startswith("code: 2 runs in runs have names that end so. Type the whole name")
    assert others == ["  20260105-000000-code", "  20260103-000000-code"]
    for day in range(10, 20):
        make_run(f"202601{day}-000000-code")
    with pytest.raises(
        CheckpointError, match=r"20260119-000000-code\n(.*\n){7}  and 4 older ones$"
    ):
        named_run(Path("code"))


def test_the_whole_name_after_the_time_comes_before_the_end_of_others() -> None:
    for name in ("20260105-000000-my-verse", "20260106-000000-end-of-a-verse", "verse-code"):
        make_run(name)
    assert named_run(Path("verse")) == Path(f"runs/{NAMES[0]}")
    assert named_run(Path("my-verse")) == Path("runs/20260105-000000-my-verse")
    assert named_run(Path("verse-code")) == Path("runs/verse-code")
    assert named_run(Path("code")) == Path(f"runs/{NAMES[2]}")
    make_run("20260107-000000-another-verse")
    Path("runs", NAMES[0]).rename("runs/20260101-000000-other")
    with pytest.raises(CheckpointError, match=r"a-verse\n  20260105-000000-my-verse$"):
        named_run(Path("verse"))


def test_without_runs_a_word_is_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("runs")
    assert named_run(Path("latest")) == Path("latest")


def test_of_runs_of_one_second_the_one_that_was_begun_last_is_the_latest() -> None:
    for number, name in enumerate(("b", "a")):
        run = Path(f"runs/20260109-000000-{name}")
        run.mkdir()
        for file in ("run.json", "overrides.yaml"):
            (run / file).write_text("{}")
        os.utime(run / "overrides.yaml", ns=(number, number))
    assert named_run(Path("latest")) == Path("runs/20260109-000000-a")
    assert [run.path.name[-1] for run in runs()[:2]] == ["a", "b"]
