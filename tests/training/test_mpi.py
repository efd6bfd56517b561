"""One run over MPI, started by mpiexec; skipped where there is no MPI."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grucli.files import sha256
from grucli.run.run import Run
from tests.conftest import TINY
from tests.faults.ranks import MPIEXEC, ranks_of
from tests.faults.ranks import mpirun as begin
from tests.texts import prose

pytest.importorskip("mpi4py", reason="mpi4py is not installed")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="mpiexec is not installed")

GRUCLI = [sys.executable, "-m", "grucli"]
SLOW = [
    "--steps=4000",
    *TINY,
    "--set=optim.schedule=constant",
    "--set=train.save_minutes=0.005",
    "--set=train.eval_every=1000",
    "--set=model.dropout=0.3",  # and not what suits the number of steps
    "--set=model.weight_dropout=0.1",
]


@pytest.fixture
def text() -> str:
    Path("text.txt").write_text(prose(4000), encoding="utf-8")
    return "text.txt"


def mpirun(*arguments: object, ranks: int = 2) -> tuple[int, str, str]:
    process = begin(*arguments, ranks=ranks)
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def train(*arguments: object, ranks: int = 2) -> Path:
    code, out, err = mpirun("train", *arguments, "--mpi", "-q", ranks=ranks)
    assert code == 0, err
    return Path(out.strip())


def last(run: Path) -> str:
    """The hash of the last checkpoint."""
    return sha256(max((run / "checkpoints").glob("step-*.npz")))


def wait_for_checkpoint(process: "subprocess.Popen[str]") -> Path:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        for pointer in Path("runs").glob("*/checkpoints/last.json"):
            if '"step": 0,' not in pointer.read_text():
                return pointer.parents[1]
        time.sleep(0.02)
    raise AssertionError(process.communicate())


def test_two_ranks_train_one_run_and_equal_runs_are_equal(text: str) -> None:
    two = train(text, "--steps", 30, *TINY, "--set", "model.dropout=0.3", "--name", "a")
    again = train(text, "--steps", 30, *TINY, "--set", "model.dropout=0.3", "--name", "b")
    assert last(two) == last(again)
    assert Run(two).info.ranks == 2
    code, _, err = mpirun("eval", two, "--split", "val", ranks=1)
    assert code == 0, err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_a_rank_that_is_killed_stopped_or_silent_ends_all_and_the_run_goes_on(
    text: str, number: int
) -> None:
    process = begin("train", text, *SLOW, "--mpi", "-q", "--name", "stopped")
    run = wait_for_checkpoint(process)
    os.kill(ranks_of(process)[-1], number)
    began = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert process.returncode != 0
    if number == signal.SIGTERM:
        assert process.returncode == 128 + number
        assert f"mpiexec -n 2 grucli train --resume {run} --mpi" in err
    if number == signal.SIGSTOP:
        assert "rank 1 on" in err
        assert "has not answered" in err
    saved = Run(run).checkpoints.pointer("last")  # a kill can come before run.json is written
    assert saved is not None
    assert 0 < saved.step < 4000
    steps = str(saved.step + 40)
    code, _, err = mpirun("train", "--resume", run, "--steps", steps, "--mpi", "-q")
    assert code == 0, err
    whole = train(text, *SLOW, "--steps", steps, "--name", "whole")
    assert last(run) == last(whole)


def test_one_rank_alone_is_a_run_too(text: str) -> None:
    one = train(text, "--steps", 20, *TINY, "--set", "train.workers=1", ranks=1)
    command = [*GRUCLI, "train", text, "--steps", "20", *TINY, "--set", "train.workers=1", "-q"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert last(one) == last(Path(done.stdout.strip()))


def test_another_number_of_ranks_goes_on_and_says_so(text: str) -> None:
    run = train(text, "--steps", 20, *TINY)
    code, _, err = mpirun("train", "--resume", run, "--steps", 30, "--mpi", ranks=3)
    assert code == 0, err
    assert "the number of ranks was 2 and is 3" in " ".join(err.split())


def test_what_cannot_be_trained_is_refused_once(text: str) -> None:
    code, _, err = mpirun("train", text, *TINY)
    assert (code, err.count("error:")) == (2, 1)
    assert "--mpi" in err
    code, _, err = mpirun("train", text, "--wrong", "--mpi")
    assert (code, err.count("error:")) == (2, 1)
    code, _, err = mpirun("train", "missing.txt", "--mpi")
    assert code == 2
    assert err.count("error:") == 1
    code, _, err = mpirun("train", text, *TINY, "--mpi", ranks=5)
    assert (code, err.count("error:")) == (2, 1)
    assert "5 ranks cannot share 4 streams" in err
    alone = subprocess.run([*GRUCLI, "train", text, "--mpi"], capture_output=True, text=True)
    assert alone.returncode == 2
    assert "mpiexec -n 4 grucli train" in alone.stderr
    assert not Path("runs").exists()


def test_another_text_on_another_rank_is_refused(text: str) -> None:
    for name, content in (("one", prose(4000)), ("two", prose(5000))):
        Path(name).mkdir()
        Path(name, "text.txt").write_text(content, encoding="utf-8")
    command = [*GRUCLI, "train", "text.txt", *TINY, "--mpi"]
    parts = ["-n", "1", "-wdir", "one", *command, ":", "-n", "1", "-wdir", "two", *command]
    done = subprocess.run([str(MPIEXEC), *parts], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "rank 1 on" in done.stderr
    assert "SHA-256" in done.stderr
    assert not Path("one/runs").exists()


def run_script(text: str) -> "subprocess.CompletedProcess[str]":
    """Two ranks that run a script."""
    Path("script.py").write_text(text)
    return subprocess.run(
        [str(MPIEXEC), "-n", "2", sys.executable, "script.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_script_goes_on_in_rank_0_alone(text: str) -> None:
    done = run_script(
        "import grucli\n"
        "if __name__ == '__main__':\n"
        "    settings = {'train.batch': 4, 'train.window': 16, 'model.hidden': 8}\n"
        "    run = grucli.train('text.txt', steps=10, settings=settings, mpi=True)\n"
        "    print(run.info.ranks, run.info.step)\n"
        "    try:\n"
        "        grucli.train('text.txt', steps=10, mpi=True)\n"
        "    except Exception as error:\n"
        "        print(error)\n"
    )
    once = "the other ranks have ended with the first run: a script trains one run over MPI"
    assert (done.returncode, done.stdout) == (0, f"2 10\n{once}\n"), done.stderr


def test_a_run_that_a_script_leaves_open_is_saved_when_it_ends(text: str) -> None:
    done = run_script(
        "import grucli\n"
        "if __name__ == '__main__':\n"
        "    settings = {'train.batch': 4, 'train.window': 16, 'model.hidden': 8}\n"
        f"    events = grucli.train_events({text!r}, steps=4000, settings=settings, mpi=True)\n"
        "    for number, event in enumerate(events):\n"
        "        if number == 20:\n"
        "            break\n"
    )
    assert done.returncode == 0, done.stderr
    (path,) = Path("runs").iterdir()
    assert Run(path).status == "interrupted"
    assert Run(path).info.step


def test_a_run_of_some_minutes_is_resumed_at_any_step(text: str) -> None:
    sets = ["--set=model.hidden=8", "--set=train.batch=12", "--set=train.window=16"]
    sets += ["--set=train.workers=1", "--set=train.eval_every=7", "--set=data.val=0.2"]
    sets.append("--set=train.patience=0")
    run = train(text, "--minutes=0.03", *sets, "--name=timed")
    for minutes in (0.08, 0.14):
        code, _, err = mpirun("train", "--resume", run, f"--minutes={minutes}", "--mpi", "-q")
        assert code == 0, err
