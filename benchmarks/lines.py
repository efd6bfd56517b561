"""Seconds to score 100,000 lines of 10 to 30 characters, together and one by one, and memory.

``python -m benchmarks.lines``. The model has random weights, which take as long as trained ones.
"""

import argparse
import random
import resource
import string
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

import numpy as np

from benchmarks.page import table, write
from grucli.config import Data
from grucli.data.documents import LINE_END
from grucli.data.vocabulary import Vocabulary
from grucli.language_model import LanguageModel
from grucli.nn.model import Model

LETTERS = "\n" + string.ascii_letters + string.digits + "_-."
LINES, ALONE = 100_000, 2_000


def model(H: int) -> LanguageModel:
    """A model of a list."""
    vocabulary = Vocabulary(np.array(sorted(map(ord, LETTERS))))
    network = Model(len(LETTERS), H, 1, separator=vocabulary.id_of(LINE_END))
    network.initialize(np.random.default_rng(0))
    counts = np.ones(len(LETTERS), np.int64)
    return LanguageModel(network, vocabulary, counts, Data(documents="line"), library="auto")


def lines(count: int) -> Iterator[str]:
    """Random lines."""
    draw = random.Random(0)
    for _ in range(count):
        yield "".join(draw.choices(LETTERS[1:], k=draw.randint(10, 30)))


def seconds(work: Callable[[], object]) -> float:
    """The time of one turn."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    turns = parser.parse_args().turns
    texts, rows = list(lines(LINES)), []
    for H in (128, 256):
        lm = model(H)
        numpy = replace(lm, library="numpy")
        alone = [f"{line}\n" for line in texts[:ALONE]]

        def one_by_one(lm: LanguageModel = lm, alone: list[str] = alone) -> None:
            for line in alone:
                lm.score(line)

        works = (lambda lm=lm: lm.score_lines(texts), lambda lm=numpy: lm.score_lines(texts))
        lm.score_lines(texts[:1000])
        taken = [[seconds(work) for work in (*works, one_by_one)] for _ in range(turns)]
        own, without, single = map(median, zip(*taken, strict=True))
        single *= LINES / ALONE
        figures = [f"{own:.1f}", f"{without:.1f}", f"{single:.0f}", f"**{single / own:.0f}**"]
        rows.append([f"H {H}", *figures])
        print(rows[-1], flush=True)
    for _ in model(256).line_scores(lines(10 * LINES // 4)):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    header = ["seconds", "oneDNN, or NumPy", "NumPy", "one by one", "one by one / together"]
    note = (
        f"Medians of {turns} turns, interleaved. One by one: {ALONE:,} lines, times "
        f"{LINES // ALONE}. Peak memory of the process, with {LINES:,} lines in a list and "
        f"{10 * LINES // 4:,} lines from a generator: {peak:.0f} MB."
    )
    write("lines", f"{table(header, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
