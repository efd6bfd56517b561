"""How time and memory grow with the corpus, the width, the window, the layers and the workers.

``python -m benchmarks.growth`` runs ``grucli train`` as a person would, on real text repeated to
the length that is wanted, and fits an exponent to each column: 1 is linear growth.
"""

import csv
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.page import table, write

MEGABYTE = 10**6
STEPS = 12
SHORT = ["--set", "data.val=0", "--set", "sample.length=0", "--set", "model.dropout=0"]

AXES: dict[str, Sequence[int]] = {
    "model.hidden": (128, 256, 512, 1024),
    "train.window": (32, 64, 128, 256),
    "model.layers": (1, 2, 4),
    "train.workers": (1, 2),
}


def train(
    text: Path, steps: int, *sets: str, words: Sequence[str] = SHORT
) -> tuple[float, float, float]:
    """Run a training; seconds of the whole, median seconds of a step, and peak memory in MB.

    Memory is that of the first process, which holds the corpus.
    """
    command = [sys.executable, "-m", "grucli", "train", str(text), "--steps", str(steps), *words]
    command += [part for value in (*sets, "train.log_every=1") for part in ("--set", value)]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=text.parent, text=True
    )
    assert process.stdout is not None
    run = process.stdout.read().strip()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}")
    with open(text.parent / run / "metrics.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    per_step = int(rows[0]["chars"])
    step = median(per_step / float(row["chars_per_s"]) for row in rows[2:])
    return seconds, step, usage.ru_maxrss / 1000


def corpora(folder: Path, sizes: Sequence[int] = (1, 10, 100)) -> Iterator[tuple[int, Path]]:
    """Real text, repeated to so many MB."""
    command = [sys.executable, "-m", "grucli", "corpus", "python-reference", "-o", "source.txt"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    source = (folder / "source.txt").read_bytes().decode().encode("ascii", "ignore")
    for megabytes in sizes:
        path = folder / f"{megabytes}.txt"
        size = megabytes * MEGABYTE
        with open(path, "wb") as file:  # in pieces: a child's peak memory starts at its parent's
            for start in range(0, size, len(source)):
                file.write(source[: size - start])
        yield megabytes, path


def exponent(sizes: Sequence[float], values: Sequence[float]) -> str:
    """The slope of log value against log size."""
    slope = np.polyfit([math.log(size) for size in sizes], [math.log(v) for v in values], 1)[0]
    return f"exponent {slope:.2f}"


def by_corpus(folder: Path) -> list[list[str]]:
    """Rows of the table that measure the size of the corpus."""
    rows: list[list[str]] = []
    sizes, steps, first = [], [], 0.0
    for megabytes, path in corpora(folder):
        seconds, step, memory = train(path, STEPS, "model.hidden=128")
        first = first or memory
        note = f"{memory:.0f} MB"
        if rows:
            note += f", {(memory - first) / (megabytes - 1):.2f} bytes a character more"
        rows.append(
            [f"corpus of {megabytes} MB", f"{step * 1000:.0f} ms", f"{seconds:.1f} s", note]
        )
        sizes.append(megabytes)
        steps.append(step)
    return [*rows, ["", exponent(sizes, steps), "", ""]]


def by_setting(text: Path, key: str, values: Sequence[int]) -> list[list[str]]:
    """Rows of the table that measure one setting."""
    rows, steps = [], []
    for value in values:
        seconds, step, memory = train(text, STEPS, f"{key}={value}")
        rows.append(
            [f"{key} {value}", f"{step * 1000:.0f} ms", f"{seconds:.1f} s", f"{memory:.0f} MB"]
        )
        steps.append(step)
    return [*rows, ["", exponent(values, steps), "", ""]]


def main() -> None:
    """Measure and write the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = by_corpus(folder)
        for key, values in AXES.items():
            rows += by_setting(folder / "1.txt", key, values)
    header = ["what", "a training step", f"the whole command, {STEPS} steps", "peak memory"]
    note = (
        "Default settings but for the one named (the corpus: H 128), without dropout and "
        "validation. Memory is that of the first process."
    )
    write("growth", f"{table(header, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
