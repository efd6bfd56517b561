"""Quality a minute: what each settings file reaches on a text, in the time it takes.

``python -m benchmarks.quality TEXT`` trains with the settings under configs/ and judges the best
checkpoint of each run in two protocols; ``--runs RUN...`` judges runs that there are already.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.page import table, write
from grucli.evaluation import evaluate
from grucli.run.run import Run
from grucli.threads import available_cores

BUDGETS = {"small": 3, "medium": 15, "large": 60}
"""Minutes that each settings file is made for."""
CONTEXT = 256


def train(text: Path, name: str, minutes: float) -> Path:
    """Train with a settings file; the run's directory."""
    config = Path(__file__).parents[1] / "configs" / f"{name}.yaml"
    command = [sys.executable, "-m", "grucli", "train", str(text), "--config", str(config)]
    command += ["--minutes", f"{minutes:g}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


def judge(path: Path) -> list[str]:
    """A row of the table."""
    run = Run(path)
    checkpoint = run.checkpoint
    model, settings = checkpoint.model, checkpoint.settings
    val = run.part("val")
    carried = evaluate(model, val, available_cores()).loss
    shape = settings.model
    return [
        f"{shape.layers} x {shape.hidden}, dropout {shape.dropout:g}, "
        f"recurrent {shape.weight_dropout:g}, lr {settings.optim.lr:g}, "
        f"weight decay {settings.optim.weight_decay:g}",
        f"{model.params.flat.size:,}",
        f"{(run.info.elapsed_s or 0.0) / 60:.1f} min",
        f"**{carried:.4f}**",
        f"{evaluate(model, val, available_cores(), context=CONTEXT).loss:.4f}",
    ]


def report(rows: Sequence[Sequence[str]], text: str, section: str) -> None:
    """Write the table."""
    header = ["model", "parameters", "time", "state carried, nats", "256 from zero state, nats"]
    note = f"Validation loss on the last tenth of {text}; one run each."
    write(section, f"{table(header, rows)}\n\n{note}")


def main() -> None:
    """Train or not, judge, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, nargs="?", default=Path("tinyshakespeare.txt"))
    parser.add_argument("--settings", nargs="*", choices=BUDGETS, default=list(BUDGETS))
    parser.add_argument("--runs", nargs="*", type=Path, help="judge these instead of training")
    parser.add_argument("--section", default="quality", help="of docs/benchmarks.md")
    arguments = parser.parse_args()
    runs = arguments.runs or [
        train(arguments.text, name, BUDGETS[name]) for name in arguments.settings
    ]
    report([judge(run) for run in runs], arguments.text.name, arguments.section)


if __name__ == "__main__":
    main()
