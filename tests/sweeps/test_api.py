import subprocess
import sys
from pathlib import Path

import pytest

import grucli as library
from grucli.errors import UsageError
from tests.sweeps.helpers import LR, TINY, write_file

ROOT = Path(__file__).parents[2]


def test_the_library(text_file: Path) -> None:
    settings = {**TINY, **LR, "sweep.trials": 2}
    summary = library.sweep(text_file, settings=settings, name="mine", runs_dir="here")
    assert summary.path == Path("here/mine")
    assert summary.best is not None
    assert summary.best.loss == min(one.loss for one in summary.trials if one.loss)
    for name in ("a/b", "..", ".x"):
        with pytest.raises(UsageError, match="must be the name of a directory"):
            library.sweep(text_file, settings=settings, name=name)


BLOCKED = """
import sys
sys.modules["optuna"] = None
from grucli.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("words", [("s.yaml", "TEXT"), ("--show", "s")])
def test_without_optuna_one_message_tells_how_to_get_it(
    words: tuple[str, ...], text_file: Path
) -> None:
    write_file({})
    given = [str(text_file) if one == "TEXT" else one for one in words]
    told = subprocess.run(
        [sys.executable, "-c", BLOCKED, "sweep", *given],
        env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 2
    assert told.stderr == (
        'error: a sweep needs Optuna: in the clone of grucli, pip install ".[sweep]"; all other '
        "commands work without it\n"
    )
    assert not Path("runs").exists()


def test_help_needs_no_optuna() -> None:
    words = [sys.executable, "-c", BLOCKED, "sweep", "--help"]
    told = subprocess.run(words, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert told.returncode == 0
    assert b"--storage" in told.stdout


def test_nothing_else_imports_optuna(text_file: Path) -> None:
    program = (
        "import sys, grucli.cli, grucli\n"
        f"grucli.train({str(text_file)!r}, steps=2, settings={TINY | {'train.steps': 2}!r})\n"
        "import grucli.cli.sweep\n"
        "from grucli.sweeps import api, summary\n"
        "assert grucli.sweep is api.sweep\n"
        "sys.exit(bool({'optuna', 'sqlalchemy'} & set(sys.modules)))\n"
    ).replace("steps=2, ", "")
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 0
