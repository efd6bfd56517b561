"""Starts of runs with long budgets, cut short: ``python -m tests.faults.long_budgets``.

Each run has eight hours, and is stopped after some seconds; half of them are also stopped and
resumed before that. None may end by itself, and none may stay at the frequencies of its characters.
The options choose the number of starts and the seconds; two run at a time, with one process each.
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.page import machine, table
from grucli.data import builtin
from grucli.evaluation import guessed
from grucli.run import checkpoint as checkpoints
from grucli.run.run import Run
from grucli.training.divergence import FIRST_STEPS, LEARNED
from tests.faults import trials

MINUTES = 480
SIZES = {"reference": (20_000, 100_000, 300_000), "stdlib": (1_000_000, 5_000_000)}
"""Characters of the texts that are made of each built-in corpus."""

NETWORKS = tuple(
    itertools.product(
        (1, 2, 3), (64, 256, 32, 128), ("model.cell=gru", "model.cell=lstm", "model.cell=rnn")
    )
)
"""Layers, units and cell of the networks."""

Row = list[str]


def texts() -> list[Path]:
    """Write the texts into the working directory."""
    made = []
    for name, sizes in SIZES.items():
        text = "".join(itertools.islice(builtin.chunks(f"python-{name}"), 2000))
        for size in sizes:
            made.append(Path(f"{name}-{size // 1000}k.txt"))
            assert len(text) >= size, (name, len(text))
            made[-1].write_text(text[:size], encoding="utf-8")
    return made


def train(arguments: list[str], seconds: float) -> tuple[int, str]:
    """Train until a signal after some seconds; the exit code and what was told."""
    process = trials.grucli("train", *arguments, "-q")
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
    told = process.communicate()[1].decode()
    return process.returncode, told


def trial(number: int, text: Path, seconds: float) -> Row:
    """One start, as a row of the table: its network, what became of it, and its loss.

    Raises:
        AssertionError: it has ended by itself, or has learned nothing.
    """
    rng = random.Random(number)
    layers, hidden, cell = NETWORKS[number * 7 % len(NETWORKS)]
    runs = Path(f"start-{number}")
    settings = [f"model.layers={layers}", f"model.hidden={hidden}", cell, "train.workers=1"]
    arguments = [str(text), f"--minutes={MINUTES}", f"--seed={number}", f"--runs-dir={runs}"]
    arguments += [f"--set={one}" for one in settings]
    first = rng.uniform(0.1, 0.7) * seconds if number % 2 else seconds
    code, told = train(arguments, first)
    if number % 2 and code == 128 + signal.SIGTERM:
        (path,) = runs.iterdir()
        code, again = train(["--resume", str(path)], seconds - first)
        told += again
    name = f"{text.stem}, {layers} x {hidden}, {cell.removeprefix('model.cell=').upper()}"
    assert code == 128 + signal.SIGTERM, (name, number, code, told)
    return [name, *standing(name, next(runs.iterdir()), resumed=bool(number % 2))]


def standing(name: str, path: Path, *, resumed: bool) -> Row:
    """What became of a run: its returns, its steps, and its last loss beside a guess.

    Raises:
        AssertionError: it has learned nothing.
    """
    run = Run(path)
    last = checkpoints.read(run.checkpoints.find("last"))
    guess, progress = guessed(last.counts, last.counts), last.progress
    loss = progress.loss_sum / progress.chars if progress.chars else progress.train_loss
    stuck = progress.step >= FIRST_STEPS and loss > LEARNED * guess
    assert not stuck, (name, progress)
    factor = f"{progress.lr_factor:g}" if run.info.went_back else ""
    evaluated = f"{progress.evaluated_step or 'none'}"
    return [
        "yes" if resumed else "",
        f"{progress.step:,}",
        evaluated,
        factor,
        f"{loss:.2f}",
        f"{guess:.2f}",
    ]


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="the number of the first start")
    parser.add_argument("--seconds", type=float, default=120.0)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        made = texts()
        with ThreadPoolExecutor(2) as pool:
            pending = [
                pool.submit(trial, number, made[number % len(made)], given.seconds)
                for number in range(given.first, given.first + given.starts)
            ]
            problems = [str(one.exception()) for one in pending if one.exception()]
            rows = [one.result() for one in pending if not one.exception()]
        os.chdir(trials.ROOT)
    header = ["start", "resumed", "steps", "last evaluation", "rate times", "loss", "guess"]
    print(table(header, rows), *problems, sep="\n")
    seconds = time.monotonic() - began
    print(f"{len(rows)} passed, {len(problems)} failed, {seconds:.0f} s, {machine()}")
    raise SystemExit(bool(problems))


if __name__ == "__main__":
    main()
