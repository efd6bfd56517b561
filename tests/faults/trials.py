"""Runs that meet an accident and are resumed, and what an undisturbed one leaves behind."""

import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from grucli import compilation
from grucli.sweeps.api import read_study

ROOT = Path(__file__).parents[2]
CLOCKS = ("chars_per_s", "elapsed_s")
TRAIN = (
    "train text.txt --steps {steps} --seed 3 -q --runs-dir {runs} --set train.workers=1 "
    "--set model.hidden=8 --set train.batch=4 --set train.window=16 --set train.eval_every=7 "
    "--set train.log_every=3 --set sample.length=12 --set train.keep=1 "
    "--set train.patience=0"
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}


STEPS, FEW_STEPS = 60, 16
"""Steps of the run that is killed at random, and of one whose operations can all be tried."""


GOES_BACK = (
    "--steps=120 --set optim.lr=6 --set optim.schedule=constant --set optim.warmup=40 "
    "--set optim.weight_decay=1"
).split()
"""What makes the run diverge at step 37 and again later, and go back each time."""


def words(runs: Path, steps: int = STEPS) -> list[str]:
    """The command line of the run that trials make, with its runs below ``runs``."""
    return [word.format(runs=runs, steps=steps) for word in TRAIN.split()]


Command = Callable[[Path], list[str]]
"""The command line of a run, by the directory that its run is made in."""


class Whole(NamedTuple):
    """What a run that nothing has disturbed leaves behind, and how long it takes."""

    remains: dict[str, object]
    seconds: float


def few(runs: Path) -> list[str]:
    """The command line of the run of few steps."""
    return words(runs, FEW_STEPS)


def going_back(runs: Path) -> list[str]:
    """The command line of a run that diverges and goes back."""
    kept = [word for word in words(runs) if word not in ("--steps", str(STEPS))]
    return [*kept, *GOES_BACK]


def undisturbed(runs: Path, command: Command = words) -> Whole:
    """Such a run, its directory below ``runs``."""
    compilation.select("auto", "gru")  # once, and not within the time of a run
    began = time.monotonic()
    grucli(*command(runs)).communicate()
    seconds = time.monotonic() - began
    (run,) = runs.iterdir()
    return Whole(remains(run), seconds)


def grucli(*arguments: object, fault: tuple[str, int] | None = None) -> subprocess.Popen[bytes]:
    """The program as a process, perhaps with an accident."""
    program = ["tests.faults.child", fault[0], str(fault[1])] if fault else ["grucli"]
    command = [sys.executable, "-m", *program, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, env=ENVIRONMENT)


def operations(runs: Path) -> int:
    """How many operations on files the undisturbed run of few steps has."""
    told = grucli(*words(runs, FEW_STEPS), fault=("count", 0)).communicate()[1].decode()
    found = re.search(r"operations: (\d+)", told)
    assert found, told
    return int(found[1])


def remains(run: Path) -> dict[str, object]:
    """What must be the same whatever has happened: all but the clocks."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in CLOCKS} for row in csv.DictReader(file)]
    files = [*(run / "samples").iterdir(), *(run / "checkpoints").iterdir()]
    return {"metrics": rows} | {f"{p.parent.name}/{p.name}": p.read_bytes() for p in files}


def differences(run: Path, whole: dict[str, object]) -> list[str]:
    """What of a run is not as an undisturbed one left it."""
    found = remains(run)
    return [name for name in sorted({*found, *whole}) if found.get(name) != whole.get(name)]


def finish(runs: Path, command: Command = words, patience: int = 20) -> Path:
    """Resume what there is, or start again where there is no run yet, until the run is done."""
    for _ in range(patience):
        for run in runs_below(runs):
            process = grucli("train", "--resume", run, "-q")
            told = process.communicate()[1].decode()
            assert process.returncode == 0 or "has used its budget" in told, told
            assert '"status": "done"' in (run / "run.json").read_text(encoding="utf-8"), told
            return run
        grucli(*command(runs / "again")).communicate()
        runs = runs / "again"
    raise AssertionError(f"{runs}: does not come to an end")


def met(runs: Path, fault: str, at: int) -> tuple[int, str, Path]:
    """A run of few steps with an accident, brought to its end: its exit code and words, the run."""
    process = grucli(*words(runs, FEW_STEPS), fault=(fault, at))
    told = process.communicate(timeout=120)[1].decode()
    assert "Traceback" not in told, told
    return process.returncode, told, finish(runs, few)


# ---- two workers of a sweep

SWEEP = """\
sweep: {{trials: {trials}, sampler: random, pruner: none}}
optim: {{lr: {{log: [1e-3, 1e-1]}}, warmup: 0}}
model: {{hidden: 8}}
train: {{batch: 4, window: 16, steps: 60, eval_every: 20, keep: 1, workers: 1, products: numpy}}
sample: {{length: 0}}
"""


class Swept(NamedTuple):
    """What a sweep leaves behind: its results by trial, and the remains of its runs."""

    results: dict[int, tuple[object, ...]]
    remains: dict[str, dict[str, object]]


def worker(runs: Path) -> subprocess.Popen[bytes]:
    """A worker of the sweep in sweep.yaml, whose locks fail while ``no-locks`` is in ``runs``."""
    ENVIRONMENT["NO_LOCKS"] = str(runs / "no-locks")
    return grucli("sweep", "sweep.yaml", "text.txt", "--runs-dir", runs, fault=("locks", 0))


def undisturbed_sweep(runs: Path, trials: int = 30) -> Swept:
    """A sweep of one worker, and its file sweep.yaml for others."""
    Path("sweep.yaml").write_text(SWEEP.format(trials=trials), encoding="utf-8")
    told = worker(runs).communicate()[1].decode()
    assert "best of" in told, told
    return swept(runs)


def swept(runs: Path) -> Swept:
    """What is left of a sweep that is complete."""
    trials = read_study(runs / "sweep").trials
    results = {one.number: (one.status, one.loss, one.step, one.values) for one in trials}
    return Swept(results, {one.run: remains(runs / "sweep" / one.run) for one in trials})


def disturbed_sweep(runs: Path, rng: random.Random, most: int) -> int:
    """Two workers that are killed and whose locks fail; started again until all is complete.

    Returns:
        The number of such events, at most ``most``.
    """
    workers, events, ended, begun = [worker(runs), worker(runs)], 0, list[int](), 0
    while len(ended) < 100:
        time.sleep(rng.uniform(0.1, 0.5))
        trials = len(list(runs.glob("sweep/trial-*")))
        if events < most and trials > begun + 1:  # both workers train, or one has just begun
            events, begun = events + 1, trials
            if rng.random() < 0.4:
                rng.choice(workers).kill()
            else:
                (runs / "no-locks").touch()
                time.sleep(rng.uniform(0.5, 3.0))
                (runs / "no-locks").unlink()
        for number, one in enumerate(workers):
            if one.poll() is not None:
                told = one.communicate()[1].decode()
                assert one.returncode in (0, 1, -signal.SIGKILL), told
                assert "Traceback" not in told, told
                assert one.returncode != 1 or "cannot be locked: No locks" in told, told
                ended.append(one.returncode)
                workers[number] = worker(runs)
        if ended[-2:] == [0, 0]:
            break
    for one in workers:
        told = one.communicate(timeout=300)[1].decode()
        assert one.returncode == 0, told
    return events


def runs_below(runs: Path) -> list[Path]:
    """The runs that can be resumed."""
    found = runs.iterdir() if runs.is_dir() else []
    return [run for run in found if (run / "run.json").is_file()]


def ended_at_random(
    runs: Path,
    rng: random.Random,
    longest: float,
    *,
    how: signal.Signals = signal.SIGKILL,
    command: Command = words,
) -> tuple[int, Path]:
    """A run that gets signals at random moments, then is left to end: their number, the run."""
    kills, arguments = 0, command(runs)
    for _ in range(rng.randint(1, 5)):
        process = grucli(*arguments)
        time.sleep(rng.uniform(0.2, longest))
        alive = process.poll() is None
        process.send_signal(how)
        process.communicate()
        kills += alive
        found = runs_below(runs)
        if not alive or not found:
            break
        arguments = ["train", "--resume", str(found[0]), "-q"]
    return kills, finish(runs, command)
