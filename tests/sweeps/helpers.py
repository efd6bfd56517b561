import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from grucli.sweeps.space import read_space
from grucli.sweeps.summary import Summary, SweepEvent
from grucli.sweeps.worker import ClaimedTrial, Worker
from tests.cli.helpers import usual_signals

TINY: dict[str, Any] = {
    "model.hidden": 8,
    "train.batch": 4,
    "train.window": 16,
    "train.steps": 20,
    "train.eval_every": 10,
    "train.log_every": 10,
    "train.workers": 1,
    "sample.length": 0,
    "optim.warmup": 0,
}
"""Settings with which a trial takes a moment."""

S = Path("runs/s")  # the folder of the studies that ``worker`` makes
LR = {"optim.lr": {"log": [1e-3, 1e-1]}}
LONG = {"train.steps": 600, "train.eval_every": 60, "train.log_every": 60}
"""A trial of about a second, with ten checkpoints."""


def worker(text: Path, settings: dict[str, Any], folder: Path | None = None) -> Worker:
    space = read_space(None, {**TINY, **LR, "sweep.trials": 4, **settings})
    return Worker(folder or S, None, space, [str(text)])


def train(
    text: Path, settings: dict[str, Any] | None = None, folder: Path | None = None
) -> Summary:
    one = worker(text, settings or {}, folder)
    events(one)
    return one.study.summary()


def claim(one: Worker) -> ClaimedTrial | None:
    return one.claim()


def events(one: Worker, stop: Callable[[], bool] = lambda: False) -> list[SweepEvent]:
    return list(one.events(stop))


def interrupt() -> None:
    raise KeyboardInterrupt


def write_file(settings: dict[str, Any], path: Path = Path("s.yaml")) -> Path:
    nested: dict[str, Any] = {}
    for key, value in {**TINY, **LR, "sweep.trials": 4, **settings}.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    path.write_text(yaml.safe_dump(nested), encoding="utf-8")
    return path


def start(*words: object) -> "subprocess.Popen[str]":
    """A worker in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "grucli", "sweep", *map(str, words)],
        preexec_fn=None if os.name == "nt" else usual_signals,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def wait_for(path: Path, process: "subprocess.Popen[str]", seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.01)


def kill(process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> tuple[str, str]:
    process.send_signal(number)
    return process.communicate(timeout=30)


def end(processes: Sequence["subprocess.Popen[str]"]) -> list[tuple[str, str]]:
    told = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), told
    return told
