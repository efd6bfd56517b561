"""Training steps of the cells, and the share of the processor's ceiling that each reaches.

``python -m benchmarks.cells``; the steps of all cells are interleaved in one run.
"""

import argparse
import json
import sys
from dataclasses import asdict

from benchmarks.contenders import measure, serve
from benchmarks.page import table, write
from benchmarks.training import VOCABULARY, Size, ceiling_step, grucli_step

GATES = {"gru": 3, "lstm": 4, "rnn": 1}
CONTENDERS = ("ceiling", *(f"grucli {cell}" for cell in GATES))
SIZES = [Size(64, 128, 128, 1), Size(64, 128, 256, 1), Size(64, 128, 512, 1)]


def flops(size: Size, cell: str) -> float:
    """Operations of a training step of one layer: forward once, backward twice."""
    return 3 * 2 * size.B * size.T * (GATES[cell] * size.H**2 + size.H * VOCABULARY)


def rows(size: Size, result: dict[str, tuple[float, float]]) -> list[str]:
    """One line of the table."""
    ceiling = 2 * 2048**3 / result["ceiling"][0]
    shares = {cell: flops(size, cell) / result[f"grucli {cell}"][0] / ceiling for cell in GATES}
    cells = [
        f"{1000 * result[f'grucli {cell}'][0]:.0f} ms, {share:.0%}"
        for cell, share in shares.items()
    ]
    ratios = [f"{shares[cell] / shares['gru']:.2f}" for cell in ("lstm", "rnn")]
    return [str(size), *cells, *ratios]


def main() -> None:
    """Measure, or be a contender."""
    from grucli.threads import available_cores

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=2, metavar=("CONTENDER", "SIZE"), help="internal")
    parser.add_argument("--cores", type=int, default=available_cores())
    parser.add_argument("--steps", type=int, default=15)
    arguments = parser.parse_args()
    if arguments.serve:
        name, case = arguments.serve
        size, cores = Size(**json.loads(case)), arguments.cores
        cell = name.removeprefix("grucli ")
        serve(ceiling_step(cores) if name == "ceiling" else grucli_step(size, cores, cell))
        return
    lines = []
    for size in SIZES:
        case = json.dumps(asdict(size))
        result = measure("benchmarks.cells", case, CONTENDERS, arguments.cores, arguments.steps)
        lines.append(rows(size, result))
        print(lines[-1], file=sys.stderr)
    header = ["B x T, size", *(cell.upper() for cell in GATES), "LSTM / GRU", "RNN / GRU"]
    note = (
        "A step, and its share of the ceiling (a product of 2048 x 2048 matrices in the same "
        f"minutes); last the shares beside the GRU's. Medians of {arguments.steps} steps."
    )
    write("cells", f"{table(header, lines)}\n\n{note}")


if __name__ == "__main__":
    main()
