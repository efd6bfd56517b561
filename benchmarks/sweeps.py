"""Sweeps: two workers against one, with kills; TPE against random values.

``python -m benchmarks.sweeps speed TEXT --trials 12 --seconds 10`` starts one worker, and then two,
one of which is killed three times (SIGKILL) and started again. Each worker is bound to a core of
its own. ``--storage URL`` keeps the studies in a database. ``python -m benchmarks.sweeps samplers
TEXT`` trains 24 short trials for each sampler and seed, and shows the lowest losses.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.page import table, write
from grucli.sweeps.api import read_study
from grucli.sweeps.summary import Summary
from grucli.threads import available_cores

SPEED: dict[str, Any] = {
    "model": {"hidden": {"choice": [96, 128]}, "dropout": {"range": [0.0, 0.5]}},
    "optim": {"lr": {"log": [3e-3, 6e-2]}},
    "train": {"workers": 1, "batch": 32, "window": 64},
    "sample": {"length": 0},
}
SAMPLERS: dict[str, Any] = {
    "model": {
        "hidden": {"log": [16, 128]},
        "layers": {"range": [1, 2]},
        "dropout": {"range": [0.0, 0.6]},
    },
    "optim": {"lr": {"log": [1e-3, 0.3]}},
    "train": {"workers": 1, "batch": 16, "window": 64, "steps": 150},
    "sample": {"length": 0},
}

KINDS = ("tpe", "random")


class Worker:
    """A process that trains trials on one core.

    Args:
        words: the words after ``grucli sweep``.
        core: the core.
        log: the file for what it says.
    """

    def __init__(self, words: list[str], core: int, log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "grucli", "sweep", *words],
                stdout=subprocess.DEVNULL,
                stderr=file,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )


def file_of(settings: dict[str, Any], sweep: dict[str, Any], path: Path) -> Path:
    """Write a sweep file."""
    path.write_text(yaml.safe_dump({**settings, "sweep": sweep}), encoding="utf-8")
    return path


def seconds(words: list[str], logs: Path, *, workers: int, kills: int, every: float) -> float:
    """Train a study to its end, and kill the last worker some times; return the seconds."""
    began = time.monotonic()
    running = [Worker(words, core, logs / f"{core}.log") for core in range(workers)]
    for _ in range(kills):
        time.sleep(every)
        running[-1].process.kill()
        running[-1].process.wait()
        running[-1] = Worker(words, workers - 1, running[-1].log)
    for one in running:
        assert one.process.wait() == 0, one.log.read_text()
    return time.monotonic() - began


def account(summary: Summary, logs: Path) -> list[str]:
    """How many trials are done, how many went on from a checkpoint, how many began twice."""
    told = "".join(log.read_text() for log in logs.glob("*.log"))
    begun = re.findall(r"^trial (\d+) of .*?(continued from step [\d,]+)?$", told, re.MULTILINE)
    states = [one.status for one in summary.trials]
    fresh = [number for number, step in begun if not step]
    done, twice = states.count("done"), len(fresh) - len(set(fresh))
    return [f"{done} of {len(states)}", f"{len(begun) - len(fresh)}", f"{twice}"]


def study(text: Path, trials: int, each: float, workers: int, url: str | None) -> list[str]:
    """Train a study, two workers with three kills; the seconds, and the account."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep = {"trials": trials, "sampler": "random", "pruner": "none"}
        settings = {**SPEED, "train": {**SPEED["train"], "minutes": each / 60}}
        path = file_of(settings, sweep, folder / f"speed-{os.getpid()}-{workers}.yaml")
        words = [str(path), str(text), "--runs-dir", name]
        words += ["--storage", url] if url else []
        kills, every = 3 * (workers > 1), trials * each / 2 / 4
        took = seconds(words, folder, workers=workers, kills=kills, every=every)
        return [f"{took:.1f}", str(kills), *account(read_study(folder / path.stem, url), folder)]


def speed(text: Path, trials: int, each: float, storage: str | None) -> None:
    """Compare one worker with two, one of which is killed three times."""
    rows = []
    for name, url in [("journal", None), ("PostgreSQL", storage)][: 1 + bool(storage)]:
        found = [study(text, trials, each, workers, url) for workers in (1, 2)]
        one, two = (float(row[0]) for row in found)
        rows += [[name, "1", found[0][0], "", *found[0][1:]]]
        rows += [[name, "2", found[1][0], f"**{one / two:.2f}**", *found[1][1:]]]
    header = ["study in", "workers", "seconds", "times as fast", "kills", "done", "continued"]
    note = (
        f"{trials} trials of {each:g} s, each worker on one core. A worker that was killed is "
        "started again at once."
    )
    write("sweep-speed", table([*header, "begun twice"], rows) + f"\n\n{note}")


def samplers(text: Path, trials: int, seeds: int) -> None:
    """Compare the lowest losses of the samplers; both of a seed run at the same time."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for seed in range(seeds):
            running = []
            for core, sampler in enumerate(KINDS):
                sweep = {"trials": trials, "sampler": sampler, "pruner": "none", "seed": seed}
                path = file_of(SAMPLERS, sweep, Path(name) / f"{sampler}-{seed}.yaml")
                words = [str(path), str(text), "--runs-dir", name]
                log = Path(name) / f"{path.stem}.log"
                running.append(Worker(words, core % available_cores(), log))
            row = [str(seed)]
            for sampler, one in zip(KINDS, running, strict=True):
                assert one.process.wait() == 0, one.log.read_text()
                found = read_study(Path(name) / f"{sampler}-{seed}").trials
                losses = sorted(one.loss for one in found if one.loss is not None)
                row += [f"{losses[0]:.4f}", f"{statistics.median(losses):.4f}"]
            rows.append(row)
            print(row, flush=True)
    means = [statistics.fmean(float(row[column]) for row in rows) for column in range(1, 5)]
    rows.append(["mean", *(f"{mean:.4f}" for mean in means)])
    header = ["seed", *(f"{kind}, {what}" for kind in KINDS for what in ("best", "median"))]
    size, steps = text.stat().st_size, SAMPLERS["train"]["steps"]
    note = f"Validation losses of {trials} trials of {steps} steps on a text of {size:,} bytes."
    write("sweep-samplers", table(header, rows) + f"\n\n{note}")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "samplers"])
    parser.add_argument("text", type=Path)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--storage")
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.text, given.trials or 24, given.seconds, given.storage)
    else:
        samplers(given.text, given.trials or 24, given.seeds)


if __name__ == "__main__":
    main()
