"""Sixty short runs at rates from 1e-4 to 1000: no right gradient is called wrong, no mistake right.

``python -m tests.faults.alarms`` trains a run of each cell, number of layers and rate, checks it
with ``gradcheck RUN --products``, and then makes mistakes of the list with the same weights. A
computation in extended precision tells whether the gradients are right.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from grucli.analysis.gradient_checks import Report, check_run, window_of
from grucli.analysis.mistakes import make_mistake, mistakes
from grucli.nn import gradcheck
from grucli.nn.gradcheck import Window, gradients_of
from grucli.nn.model import Model
from grucli.run.run import Run
from grucli.threads import limit_blas
from tests.texts import prose

CELLS, LAYERS = ("gru", "gru-after", "lstm", "rnn"), (1, 2, 3)
RATES = (1e-4, 0.02, 1.0, 30.0, 1000.0)
WIDTHS = (8, 16, 32, 64, 128, 256)
RUNS = [
    (cell, layers, WIDTHS[number % len(WIDTHS)], rate)
    for number, (cell, layers, rate) in enumerate(product(CELLS, LAYERS, RATES))
]
MISTAKES = 6
"""Mistakes for each run; together the runs make all of them several times."""

UNSEEN = {"gradient of the last state", "dropout"}
"""Mistakes in what a window of a run's text has not: a later window, and masks."""


def trained(number: int, text: Path, home: Path) -> Path | None:
    """A run of a few dozen steps, or until it diverges; None if it has no checkpoint."""
    cell, layers, hidden, rate = RUNS[number]
    settings = {
        "model.cell": cell.removesuffix("-after"),
        "model.reset": "after" if cell.endswith("after") else "before",
        "model.layers": layers,
        "model.hidden": hidden,
        "model.dropout": 0.2 * (number % 3 == 0),
        "model.weight_dropout": 0.2 * (number % 4 == 0),
        "optim.lr": rate,
        "optim.warmup": 2,
        "train.batch": 16,
        "train.window": 32,
        "train.workers": 1 + (number % 5 == 0),
        "train.eval_every": 2,
        "sample.length": 0,
    }
    command = [sys.executable, "-m", "grucli", "train", str(text), "--steps=40", "-q"]
    command += [f"--set={key}={value}" for key, value in settings.items()]
    subprocess.run([*command, f"--runs-dir={home / str(number)}"], capture_output=True, check=False)
    found = [path.parent for path in (home / str(number)).glob("*/checkpoints/best.json")]
    return found[0].parent if found else None


def agrees(model: Model, window: Window) -> bool:
    """Whether gradients in float64 are those of extended precision."""
    exact = gradients_of(
        model.astype(np.longdouble),
        Window(window.x, window.targets, window.state.astype(np.longdouble), None),
    )
    return all(
        np.linalg.norm((gradient - exact[name]).astype(float))
        <= 1e-6 * max(float(np.linalg.norm(exact[name].astype(float))), gradcheck.FLOOR)
        for name, gradient in gradients_of(model, window).items()
    )


def missed(model: Model, window: Window, cell: str, number: int) -> list[str]:
    """Mistakes that are called right."""
    known = [one for one in mistakes(cell) if one.name not in UNSEEN]
    known = [one for one in known if model.L > 1 or "of a higher layer" not in one.name]
    some = [known[(number * MISTAKES + k) % len(known)] for k in range(MISTAKES)]
    found = []
    for mistake in some:
        with make_mistake(mistake), np.errstate(all="ignore"):
            rows = gradcheck.check_trained(model, window, entries=8)
            if all(row.verdict == "right" for _, row in rows):
                found.append(mistake.name)
    return found


def verdict(report: Report) -> str:
    """The verdict of a report in a word, with the arrays that are wrong."""
    if report.wrong:
        return f"WRONG {' '.join(report.wrong)}"
    return f"{len(report.undecided)} undecided" if report.undecided else "right"


def check(number: int, text: Path, home: Path, library: str) -> list[str]:
    """The row of a run in the table."""
    cell, layers, hidden, rate = RUNS[number]
    shown = [cell, f"{layers} x {hidden}", f"{rate:g}"]
    run = trained(number, text, home)
    if run is None:
        return [*shown, "no checkpoint"]
    with np.errstate(all="ignore"):
        report = check_run(run, products=library)  # type: ignore[arg-type]
        opened = Run.open(run)
        model = opened.lm.model.astype(np.float64)
        window = window_of(opened.ids(), opened.checkpoint.state)
        exact = "agrees" if agrees(model, window) else "differs"
    largest = float(np.abs(model.params.flat).max())
    lost = ", ".join(missed(model, window, cell, number)) or "all seen"
    return [*shown, f"{largest:.0e}", verdict(report), exact, lost]


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the runs, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", default="onednn")
    parser.add_argument("numbers", nargs="*", type=int, default=range(len(RUNS)))
    asked = parser.parse_args(arguments)
    limit_blas(1)
    home = Path(tempfile.mkdtemp())
    text = home / "text.txt"
    text.write_text(prose(20_000), "utf-8")
    print("cell | size | rate | largest weight | gradcheck | extended precision | mistakes")
    for number in asked.numbers:
        print(" | ".join(check(number, text, home, asked.products)), flush=True)


if __name__ == "__main__":
    main()
