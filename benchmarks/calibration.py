"""Temperature scaling: what a factor of the logits, fitted on validation text, gains.

``python -m benchmarks.calibration RUN...`` judges the best weights of runs on their validation
text. The factor of the first columns is fitted on its first half, and judged on the second half.
"""

import argparse
from pathlib import Path

from benchmarks.page import network, table, write
from grucli.calibration import logit_scale
from grucli.evaluation import evaluate
from grucli.nn.model import Model
from grucli.nn.params import Ids
from grucli.run.run import Run
from grucli.threads import available_cores


def loss(model: Model, ids: Ids) -> float:
    """Nats per character of a text."""
    return evaluate(model, ids, available_cores()).loss


def judge(path: Path) -> list[str]:
    """A row of the table."""
    run = Run.open(path)
    model, val = run.checkpoint.model, run.part("val")
    first, second = val[: len(val) // 2], val[len(val) // 2 :]
    of_first, of_all = logit_scale(model, first), logit_scale(model, val)
    return [
        ", ".join(run.text_names),
        network(run),
        f"{run.checkpoint.progress.step:,}",
        f"{of_first:.3f}",
        f"{loss(model, second):.4f}",
        f"{loss(model.scaled(of_first), second):.4f}",
        f"{of_all:.3f}",
        f"{loss(model, val):.4f}",
        f"**{loss(model.scaled(of_all), val):.4f}**",
    ]


def main() -> None:
    """Judge, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    header = ["text", "network, dropouts", "step", "factor of the first half"]
    header += ["second half, nats", "scaled", "factor of all", "all, nats", "scaled"]
    write("calibration", table(header, [judge(path) for path in parser.parse_args().runs]))


if __name__ == "__main__":
    main()
