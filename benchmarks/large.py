"""A text of a gigabyte against one of a megabyte: time to encode it, memory, training speed.

``python -m benchmarks.large`` needs 4 GB of disk for a while. Steps on either text are interleaved,
each in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.contenders import measure, serve
from benchmarks.growth import MEGABYTE, corpora, train
from benchmarks.page import table, write
from grucli.threads import available_cores, limit_blas

STEPS = 12
CONTENDERS = ("grucli 1", "grucli 1000")
SETTINGS = {"model.hidden": 256, "model.dropout": 0.0, "data.val": 0.01, "train.steps": 1}


def build(contender: str, case: str, cores: int) -> Callable[[], object]:
    """A training step on one of the texts, as ``grucli train`` makes it."""
    del cores
    limit_blas(1)
    from grucli.config import resolve
    from grucli.data.corpus import read
    from grucli.training.plan import make_plan, start
    from grucli.training.step import TrainStep

    settings = resolve([("benchmark", dict(SETTINGS))])
    text = Path(case) / f"{contender.split()[1]}.txt"
    plan = make_plan(settings, read([str(text)], settings.data))
    step = TrainStep(plan, start(plan))
    return lambda: step.update(step.gradient())


def reading(text: Path) -> float:
    """Seconds from starting the program to having read the text, and no more."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "grucli", "train", str(text), "--dry-run", "-q"]
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def rows(folder: Path, turns: int) -> list[list[str]]:
    """The table."""
    small, large = (path for _, path in corpora(folder, (1, 1000)))
    start = reading(small)
    first, again = reading(large) - start, reading(large) - start
    sets = [f"{key}={value}" for key, value in SETTINGS.items() if key != "train.steps"]
    memory = [train(text, STEPS, *sets, words=[])[2] for text in (small, large)]
    steps = measure("benchmarks.large", str(folder), CONTENDERS, available_cores(), turns)
    seconds = [steps[name][0] for name in CONTENDERS]
    speed = large.stat().st_size / MEGABYTE
    return [
        ["encoding it", "", f"{first:.1f} s, {speed / first:.0f} MB/s", ""],
        ["finding it again", "", f"{again:.1f} s, {speed / again:.0f} MB/s", ""],
        [
            "peak memory",
            *(f"{used:.0f} MB" for used in memory),
            f"{memory[1] - memory[0]:+.0f} MB",
        ],
        [
            "a training step",
            *(f"{1000 * one:.1f} ms" for one in seconds),
            f"{seconds[1] / seconds[0] - 1:+.1%}",
        ],
    ]


def main() -> None:
    """Measure and write the table, or be a contender."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=2, metavar=("CONTENDER", "CASE"), help="internal")
    parser.add_argument("--cores", type=int, default=available_cores())
    parser.add_argument("--turns", type=int, default=41)
    arguments = parser.parse_args()
    if arguments.serve:
        name, case = arguments.serve
        serve(build(name, case, arguments.cores))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRUCLI_CACHE"] = str(Path(folder) / "cache")
        made = rows(Path(folder), arguments.turns)
    header = ["", "1 MB of text", "1,000 MB of text", "difference"]
    note = (
        f"1 x 256 units; peak memory of the first process in {STEPS} steps, with validation and a "
        f"sample; medians of {arguments.turns} interleaved steps."
    )
    write("large", f"{table(header, made)}\n\n{note}")


if __name__ == "__main__":
    main()
