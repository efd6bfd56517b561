"""A few rows times a matrix, whole and in blocks of columns: what ``grucli/nn/matmul.py`` gains.

``python -m benchmarks.products``; one thread, the contenders' turns interleaved.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

from benchmarks.page import table, write
from grucli.threads import limit_blas

ROWS, UNITS = (2, 8, 32, 64), (128, 256, 512, 1024)
SECONDS = 0.01
"""Of one turn, about."""


def contenders(rows: int, H: int) -> tuple[str, dict[str, Callable[[], object]]]:
    """What is multiplied at a time, and by name the ways to multiply (rows, H) by two (H, H)."""
    import numpy as np

    from grucli.nn.matmul import Blocks, best_width, blocks, rows_at_once

    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((rows, H), np.float32), rng.standard_normal((2, H, H), np.float32)
    a, b = rng.standard_normal((2, 2048, 2048), np.float32)
    out, square = np.empty((2, rows, H), np.float32), np.empty_like(a)
    n = best_width(rows, H, H)
    in_blocks = Blocks(blocks(W, n).copy()).bind(out)
    return f"{rows_at_once(rows, H, n) or rows} x {H} by {H} x {n}", {
        "whole": lambda: np.matmul(x, W, out=out),
        "blocks": lambda: in_blocks(x),
        "ceiling": lambda: np.matmul(a, b, out=square),
    }


def rate(product: Callable[[], object], operations: float) -> float:
    """Operations a second of a product repeated for a while, in units of 10^9."""
    times = max(1, round(SECONDS * 5e10 / operations))
    began = time.perf_counter()
    for _ in range(times):
        product()
    return times * operations / (time.perf_counter() - began) / 1e9


def row(rows: int, H: int, turns: int) -> list[str]:
    """One line of the table."""
    at_once, ways = contenders(rows, H)
    operations = {"whole": 4 * rows * H**2, "blocks": 4 * rows * H**2, "ceiling": 2 * 2048**3}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns + 1):
        for name, product in ways.items():
            rates[name].append(rate(product, operations[name]))
    speed = {name: median(all_of_it[1:]) for name, all_of_it in rates.items()}
    shares = [f"{speed[name] / speed['ceiling']:.0%}" for name in ("whole", "blocks")]
    return [
        f"{rows} x {H}",
        at_once,
        *shares,
        f"**{speed['blocks'] / speed['whole']:.2f}**",
    ]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    limit_blas(1)
    lines = []
    for rows in ROWS:
        for H in UNITS:
            lines.append(row(rows, H, arguments.turns))
            print(lines[-1], file=sys.stderr)
    header = ["rows x units", "at a time", "whole", "in blocks", "in blocks / whole"]
    note = (
        "Shares of what one thread reaches on 2048 x 2048 matrices in the same moments. Medians of "
        f"{arguments.turns} turns. Where a block has all the columns the two are the same product."
    )
    write("products", f"{table(header, lines)}\n\n{note}")


if __name__ == "__main__":
    main()
