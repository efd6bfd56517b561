"""Defaults for a text and a budget: the measurements behind them, and what they gain.

``python -m benchmarks.defaults grid TEXT UNITS,DROPOUT,WEIGHT_DROPOUT,STEPS...`` trains networks on
a text for some steps. ``python -m benchmarks.defaults before TEXT... --minutes 1`` trains with the
defaults, and with those that depended on the length of the text alone, in turn, or ``--together``.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import grucli
from benchmarks.page import network, table, write
from grucli.run.run import Run

Values = dict[str, Any]

# the defaults before they knew the budget: maximum characters, units, dropout, weight dropout, lr
BEFORE = (
    (100e3, 256, 0.5, 0.4, 0.04),
    (400e3, 256, 0.4, 0.2, 0.04),
    (3e6, 256, 0.3, 0.1, 0.04),
    (30e6, 384, 0.0, 0.0, 0.027),
    (float("inf"), 512, 0.0, 0.0, 0.012),
)


def best(text: Path, settings: Values, **options: Any) -> tuple[float, str]:
    """The lowest validation loss of a run, and its network: units, dropout, weight dropout."""
    with tempfile.TemporaryDirectory() as runs:
        finished = grucli.train(
            text, settings={"sample.length": 0} | settings, runs_dir=runs, **options
        )
        run = Run(finished.path)
        loss = run.info.best.loss
        return float("nan") if loss is None else loss, network(run)


def grid(text: Path, cases: Sequence[str]) -> str:
    """A table of losses for networks and steps."""
    rows = []
    for case in cases:
        units, dropout, weight_dropout, steps = case.split(",")
        settings = {
            "model.hidden": int(units),
            "model.dropout": float(dropout),
            "model.weight_dropout": float(weight_dropout),
            "train.eval_every": max(1, int(steps) // 5),
        }
        loss, _ = best(text, settings, steps=int(steps))
        rows.append([text.name, units, dropout, weight_dropout, steps, f"{loss:.4f}"])
        print(*rows[-1], flush=True)
    header = ["text", "units", "dropout", "weight dropout", "steps", "validation loss, nats"]
    return table(header, rows)


def both(
    text: Path, two: tuple[Values, Values], minutes: float, *, together: bool
) -> list[tuple[float, str]]:
    """``best`` with either settings: in turn, or at the same time, each on a core of its own."""
    if not together:
        return [best(text, settings, minutes=minutes) for settings in two]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        runs = [
            pool.submit(_best_on, core, text, settings, minutes)
            for core, settings in zip(sorted(os.sched_getaffinity(0))[-2:], two, strict=True)
        ]
        return [run.result() for run in runs]


def _best_on(core: int, text: Path, settings: Values, minutes: float) -> tuple[float, str]:
    os.sched_setaffinity(0, {core})
    return best(text, settings, minutes=minutes)


def compared(text: Path, minutes: float, *, together: bool) -> list[str]:
    """A row: the losses with the defaults of before and of now."""
    chars = len(text.read_text(encoding="utf-8"))
    units, dropout, weight_dropout, lr = next(row[1:] for row in BEFORE if chars <= row[0])
    old = {
        "model.hidden": units,
        "model.dropout": dropout,
        "model.weight_dropout": weight_dropout,
        "optim.lr": lr,
        "optim.recurrent_lr": 1.0,
        "optim.input_lr": 1.0,
        "train.patience": 10 if chars <= 400e3 else 0,
        "train.most_epochs": None,
    }
    (before, _), (now, chosen) = both(text, (old, {}), minutes, together=together)
    row = [text.name, f"{chars:,}", f"{minutes:g}", f"{before:.4f}", f"{now:.4f}"]
    return [*row, f"{now - before:+.4f}", chosen]


def main() -> None:
    """Train, print and write a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("grid")
    one.add_argument("text", type=Path)
    one.add_argument("cases", nargs="+")
    two = kinds.add_parser("before")
    two.add_argument("texts", type=Path, nargs="+")
    two.add_argument("--minutes", type=float, nargs="+", default=[1.0])
    two.add_argument("--together", action="store_true", help="at the same time, on one core each")
    arguments = parser.parse_args()
    if arguments.kind == "grid":
        print(grid(arguments.text, arguments.cases))
        return
    rows = []
    for minutes in arguments.minutes:
        for text in arguments.texts:
            rows.append(compared(text, minutes, together=arguments.together))
            print(*rows[-1], flush=True)
    header = ["text", "characters", "minutes", "before", "now", "difference", "network, dropouts"]
    write("defaults-before", table(header, rows))


if __name__ == "__main__":
    main()
