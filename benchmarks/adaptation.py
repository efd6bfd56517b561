"""Dynamic evaluation: what learning from the text gains, and the time that it takes.

``python -m benchmarks.adaptation RUN FILE...`` judges the validation text of a run and other texts,
whose unknown characters are charged for. The rate and the decay are chosen as ``grucli eval
--adapt`` does.
"""

import argparse
import time
from pathlib import Path

from benchmarks.page import table, write
from grucli.data.corpus import Corpus
from grucli.nn.params import Ids
from grucli.run.adapted import choose_rates
from grucli.run.run import Run

CONTEXT = 256


def judge(run: Run, name: str, text: Ids | Corpus, split: str | None = None) -> list[str]:
    """A row of the table."""
    lm, began = run.lm, time.process_time()
    rates = choose_rates(run, split)
    chosen = time.process_time()
    adapted = lm.adapt(text, rate=rates.rate, decay=rates.decay, unknown="floor")
    seconds = time.process_time() - chosen
    static, score = adapted.static, adapted.score
    windows = lm.evaluate(text, unknown="floor", context=CONTEXT)
    return [
        name,
        f"{static.chars:,}",
        f"{windows.loss:.4f}",
        f"{static.loss:.4f}",
        f"**{score.loss:.4f}**",
        f"{static.loss - score.loss:.3f}",
        f"{rates.rate:g}, {rates.decay:g}",
        f"{chosen - began:.0f} s",
        f"{seconds / static.chars * 1e5:.1f} s",
    ]


def main() -> None:
    """Judge, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("files", nargs="*")
    given = parser.parse_args()
    run = Run.open(given.run)
    rows = [judge(run, "its validation text", run.part("val"), "val")]
    for file in given.files:
        rows.append(judge(run, Path(file).name, run.lm.read(file, unknown="floor")))
    header = ["text", "characters", f"{CONTEXT} from zero state, nats", "state carried, nats"]
    header += ["adapted, nats", "lower by", "rate, decay", "choice", "per 100,000 characters"]
    model, text = run.settings.model, ", ".join(run.text_names)
    note = (
        f"A model of {model.layers} x {model.hidden} units, trained on {text}. Times are seconds "
        "of one core: for the choice of rate and decay, and for reading in both ways."
    )
    write("adaptation", f"{table(header, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
