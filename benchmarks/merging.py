"""Merged runs: the validation loss of runs of one text, and of all that can be merged of them.

``python -m benchmarks.merging RUN RUN...``. The losses of single runs are calibrated, too: an older
run is evaluated with a factor of its logits.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

from benchmarks.calibration import loss
from benchmarks.page import network, table, write
from grucli.calibration import logit_scale
from grucli.run.merged import merge
from grucli.run.run import Run


def alone(run: Run) -> float:
    """The loss of a run's best weights with the factor of their logits, nats per character."""
    val, model = run.split("val"), run.checkpoint.model
    return loss(model.scaled(logit_scale(model, val)), val)


def together(runs: tuple[Run, ...]) -> float:
    """The loss of several runs, merged."""
    with tempfile.TemporaryDirectory() as folder:
        merged = merge(*[run.path for run in runs], runs_dir=Path(folder)).info.best.loss
    return float("nan") if merged is None else merged


def name_of(run: Run) -> str:
    """The network, its dropouts and the steps of its training."""
    return f"{network(run)}, step {run.checkpoint.progress.step:,}"


def main() -> None:
    """Merge, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    runs = [Run.open(path) for path in parser.parse_args().runs]
    rows = []
    for size in range(1, len(runs) + 1):
        for some in itertools.combinations(runs, size):
            nats = together(some) if size > 1 else alone(*some)
            minutes = sum(run.info.elapsed_s or 0.0 for run in some) / 60
            rows.append([" + ".join(map(name_of, some)), f"{minutes:.0f}", f"{nats:.4f}"])
            print(*rows[-1], flush=True)
    write("merging", table(["runs", "minutes together", "validation loss, nats"], rows))


if __name__ == "__main__":
    main()
