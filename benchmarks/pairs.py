"""One row times a matrix, as real numbers and in pairs: what ``products.PAIRED`` gains.

``python -m benchmarks.pairs``; as many threads as ``grucli sample`` gives a product, the ways'
turns interleaved.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

from benchmarks.page import table, write
from grucli.cores import limit_product_threads, product_threads

SIZES = ((128, 256), (256, 256), (512, 256), (384, 384), (768, 256), (512, 512), (1024, 384))
"""Columns and numbers in each."""

BYTES = 2**21
"""Of all matrices of one size, which are multiplied by in turn as the weights of a model are: more
than a core's own cache holds."""


def ways(N: int, K: int) -> dict[str, list[Callable[[], object]]]:
    """By name the products of a row with each of several matrices (K, N)."""
    import numpy as np

    from grucli.nn import products

    rng = np.random.default_rng(0)
    x, out = rng.standard_normal((1, K), np.float32), np.empty((1, 1, N), np.float32)
    number = -(-BYTES // (4 * K * N))
    matrices = [
        products.for_one_row(rng.standard_normal((1, 1, K, N), np.float32)) for _ in range(number)
    ]

    def all_of_them(paired: range) -> list[Callable[[], object]]:
        products.PAIRED = paired
        each = [products.multiplier(W, out) for W in matrices]
        return [lambda multiply=multiply: multiply(x) for multiply in each]

    return {"real": all_of_them(range(0)), "pairs": all_of_them(range(BYTES))}


def microseconds(many: list[Callable[[], object]]) -> float:
    """What one of several products takes."""
    times = 300 // len(many) + 1
    began = time.perf_counter()
    for _ in range(times):
        for product in many:
            product()
    return 1e6 * (time.perf_counter() - began) / (times * len(many))


def row(N: int, K: int, turns: int) -> list[str]:
    """One line of the table."""
    both = ways(N, K)
    taken: dict[str, list[float]] = {name: [] for name in both}
    for _ in range(turns + 1):
        for name, many in both.items():
            taken[name].append(microseconds(many))
    real, pairs = (median(taken[name][1:]) for name in ("real", "pairs"))
    return [f"{N} x {K} = {N * K:,}", f"{real:.1f}", f"{pairs:.1f}", f"**{real / pairs:.2f}**"]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    limit_product_threads(product_threads(1))
    lines = []
    for N, K in SIZES:
        lines.append(row(N, K, arguments.turns))
        print(lines[-1], file=sys.stderr)
    header = ["matrix", "real, us", "in pairs, us", "real / in pairs"]
    note = f"{product_threads(1)} threads; medians of {arguments.turns} turns."
    write("pairs", f"{table(header, lines)}\n\n{note}")


if __name__ == "__main__":
    main()
