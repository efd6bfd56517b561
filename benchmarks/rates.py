"""Stacks of narrow layers at half, once and twice their default learning rate.

``python -m benchmarks.rates`` trains each network for 300 steps on the first 120,000 characters of
the Python reference, in one process, and writes the validation losses into docs/benchmarks.md.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

from benchmarks.page import table, write
from grucli.config import Model, Values
from grucli.data import builtin
from grucli.defaults import learning_rate
from grucli.training.preparation import prepare
from grucli.training.request import Request

CHARS, STEPS = 120_000, 300
FACTORS = (0.5, 1.0, 2.0)
BASE: Values = {"train.steps": STEPS, "train.workers": 1, "train.eval_every": 75} | {
    "sample.length": 0,
    "train.keep": 0,
}


def loss(text: Path, model: Model, factor: float, seed: int) -> float:
    """The validation loss at the end of a run."""
    network = {f"model.{key}": getattr(model, key) for key in ("cell", "layers", "hidden")}
    values = BASE | network | {"train.seed": seed, "optim.lr": factor * learning_rate(model)}
    session = prepare(Request(str(text), values=values, name="rates", runs_dir=text.parent))
    for _ in session.events():
        pass
    loss = session.checkpoint.progress.evaluated_loss
    assert loss is not None
    return loss


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "reference.txt")
        text.write_text("".join(builtin.chunks("python-reference"))[:CHARS], encoding="utf-8")
        for cell, layers, hidden in itertools.product(("gru", "lstm", "rnn"), (2, 3), given.units):
            model = Model(cell=cell, layers=layers, hidden=hidden)
            losses = [
                ", ".join(f"{loss(text, model, factor, seed):.3f}" for seed in range(given.seeds))
                for factor in FACTORS
            ]
            name, rate = f"{cell.upper()}, {layers} x {hidden}", f"{learning_rate(model):.3g}"
            rows.append([name, rate, *losses])
            print(rows[-1], flush=True)
    header = ["network", "default rate", *(f"{factor:g} times" for factor in FACTORS)]
    write("rates", table(header, rows))


if __name__ == "__main__":
    main()
