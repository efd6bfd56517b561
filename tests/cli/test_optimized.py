"""Python without asserts (-O) and without docstrings (-OO) runs the same program."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY, snapshot


def run(*arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("optimization", ["-O", "-OO"])
def test_a_run_is_the_same(optimization: str, text_file: Path) -> None:
    grucli = ["-m", "grucli"]
    train = [*grucli, "train", text_file, "--steps=20", "--seed=1", "--set=train.workers=2", *TINY]
    runs = [Path(run(*train).strip()), Path(run(optimization, *train).strip())]
    ours, plain = (
        {Path(path).name: content for path, content in snapshot(one).items()} for one in runs
    )
    for clock in ("run.json", "metrics.csv", "report.html", "lock"):
        assert ours.pop(clock)
        assert plain.pop(clock)
    assert ours == plain
    for words in (["sample", runs[0], "--seed=1"], ["eval", runs[0], text_file, "--json"]):
        assert run(optimization, *grucli, *words) == run(*grucli, *words)
