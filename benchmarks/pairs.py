"""One row times a matrix, as real numbers and in pairs: what ``matmul.PAIRED`` gains.

``python -m benchmarks.pairs``; as many threads as ``grucli sample`` gives a product. Each way is a
process of its own, since a thread that has worked spins for a while and would slow the other way.
"""

import argparse
import json
import sys
from collections.abc import Callable
from itertools import cycle, islice

from benchmarks.contenders import measure, serve
from benchmarks.page import table, write
from grucli.sampling import product_threads

SIZES = ((128, 256), (256, 256), (512, 256), (384, 384), (768, 256), (512, 512), (1024, 384))
"""Columns and numbers in each."""

BYTES = 2**21
"""Of all matrices of one size, which are multiplied by in turn as the weights of a model are: more
than a core's own cache holds."""

PRODUCTS = 2000
"""In a turn."""


def build(way: str, case: str) -> Callable[[], object]:
    """The products of a row with each of several matrices in turn."""
    import numpy as np

    from grucli.nn import matmul

    N, K = json.loads(case)
    matmul.PAIRED = range(N * K + 1) if way == "pairs" else range(0)
    rng = np.random.default_rng(0)
    x, out = rng.standard_normal((1, K), np.float32), np.empty((1, 1, N), np.float32)
    matrices = rng.standard_normal((-(-BYTES // (4 * N * K)), 1, K, N), np.float32)
    each = [matmul.Blocks.view(W, 1).for_rows(1).bind(out) for W in matrices]

    def turn() -> None:
        for multiply in islice(cycle(each), PRODUCTS):
            multiply(x)

    return turn


def row(N: int, K: int, turns: int) -> list[str]:
    """One line of the table."""
    case, threads = json.dumps([N, K]), product_threads(1)
    result = measure("benchmarks.pairs", case, ("real", "pairs"), threads, turns)
    real, pairs = (1e6 * result[way][0] / PRODUCTS for way in ("real", "pairs"))
    return [f"{N} x {K} = {N * K:,}", f"{real:.1f}", f"{pairs:.1f}", f"**{real / pairs:.2f}**"]


def main() -> None:
    """Measure and write the table, or be a contender."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=2, metavar=("CONTENDER", "CASE"), help="internal")
    parser.add_argument("--cores", help="internal; what the environment says already")
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(build(*arguments.serve))
        return
    lines = []
    for N, K in SIZES:
        lines.append(row(N, K, arguments.turns))
        print(lines[-1], file=sys.stderr)
    header = ["matrix", "real, us", "in pairs, us", "real / in pairs"]
    note = f"{product_threads(1)} threads; medians of {arguments.turns} turns, interleaved."
    write("pairs", f"{table(header, lines)}\n\n{note}")


if __name__ == "__main__":
    main()
