"""What keeping a run safe costs: ``python -m benchmarks.saving``.

A training with the default settings for a megabyte of text, as ``grucli train`` does it, in which
every save and every wait for the disk is timed; and how long Ctrl-C takes to bring the prompt back.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.growth import corpora
from benchmarks.page import table, write
from grucli.threads import limit_blas

EPOCHS = 3


class Timed:
    """A function that remembers how long its calls took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.seconds = function, list[float]()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        began = time.perf_counter()
        try:
            return self.function(*args, **kwargs)
        finally:
            self.seconds.append(time.perf_counter() - began)


def train(text: Path, folder: Path) -> dict[str, list[float]]:
    """Seconds of the whole training, of its steps, saves, and waits for the disk in a save."""
    from grucli.config import resolve
    from grucli.data.corpus import read
    from grucli.run.writer import RunWriter
    from grucli.training.events import Stepped
    from grucli.training.plan import make_plan, start
    from grucli.training.trainer import Trainer

    settings = resolve([("benchmark", {"train.epochs": float(EPOCHS)})])
    plan = make_plan(settings, read([str(text)], settings.data))
    run = RunWriter.create(folder, "saving", settings, {}, {})
    trainer = Trainer(plan, start(plan), run)
    run.checkpoints.save = save = Timed(run.checkpoints.save)  # type: ignore[method-assign]
    before = os.fsync
    os.fsync = sync = Timed(os.fsync)  # type: ignore[assignment]
    began = time.perf_counter()
    steps = [event for event in trainer.train() if isinstance(event, Stepped)]
    whole = time.perf_counter() - began
    os.fsync = before
    trainer.close()
    chars = plan.windows.B * plan.windows.T
    step = [chars / event.chars_per_s for event in steps]
    return {"whole": [whole], "step": step, "save": save.seconds, "sync": sync.seconds}


def interrupt(text: Path, folder: Path, turns: int) -> list[float]:
    """Seconds from Ctrl-C to the end of the process, at moments of any kind."""
    seconds = []
    for turn in range(turns):
        command = [sys.executable, "-m", "grucli", "train", str(text), "--epochs", "50"]
        process = subprocess.Popen(
            [*command, "--set", "train.log_every=1"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        steps = (line for line in process.stderr if line.startswith("step "))
        for _ in range(3):
            next(steps)
        time.sleep(0.05 * turn)
        began = time.perf_counter()
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        if process.wait() != 130:
            raise SystemExit(f"grucli train: exit {process.returncode} after Ctrl-C")
        seconds.append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    limit_blas(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ((_, text),) = corpora(folder, (1,))
        seconds = train(text, folder)
        stops = interrupt(text, folder, arguments.turns)
    step, save = median(seconds["step"]), median(seconds["save"])
    share = sum(seconds["save"]) / seconds["whole"][0]
    longest = max(seconds["sync"])
    rows = [
        ["saving, of all time", f"{share:.2%}"],
        ["a save (write, wait for the disk, read back, rename, pointers)", f"{1000 * save:.0f} ms"],
        ["a step", f"{1000 * step:.0f} ms"],
        ["longest wait for the disk", f"{1000 * longest:.1f} ms = {longest / step:.2f} steps"],
        ["Ctrl-C to the end of the process", f"{1000 * median(stops):.0f} ms"],
        ["the longest of them", f"{1000 * max(stops):.0f} ms"],
        ["two steps and a save", f"{1000 * (2 * step + save):.0f} ms"],
    ]
    note = (
        f"1 MB of text, 1 x 256 units, {EPOCHS} epochs of {len(seconds['step']) // EPOCHS} steps, "
        f"{len(seconds['save'])} saves; {arguments.turns} times Ctrl-C."
    )
    write("saving", f"{table(['what', 'measured'], rows)}\n\n{note}")


if __name__ == "__main__":
    main()
