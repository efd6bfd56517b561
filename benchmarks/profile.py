"""Where the time of a training step goes: ``python -m benchmarks.profile``.

Each part is run by itself, over the same arrays as in the step: its products, its exponentials,
its optimizer. What calling NumPy costs is the time of the same step with next to no numbers in it.
The parts are interleaved; medians. What no part explains, elementwise operations and the traffic
between the caches and memory, is the difference.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median

from benchmarks.page import table, write
from benchmarks.training import GRID, VOCABULARY, Size, grucli_step
from grucli.threads import available_cores, limit_blas

Part = Callable[[], object]
HEADER = (
    "B x T, size",
    "step",
    "products",
    "exp and tanh",
    "calls of NumPy",
    "elementwise and memory",
    "optimizer",
    "sharing and waiting",
)


def kernels(size: Size) -> Part:
    """Forward and backward of one process's streams."""
    import numpy as np

    from grucli.nn.model import Model

    rng = np.random.default_rng(0)
    model = Model(VOCABULARY, size.H, size.L)
    model.initialize(rng)
    x, targets = rng.integers(0, VOCABULARY, (2, size.T, size.B))
    state, room = model.zero_state(size.B), model.workspace(size.T, size.B)
    grads, packed = model.params.like(), model.packed(size.B)

    def run() -> None:
        model.loss_and_gradients(x, targets, state, room, grads, scale=1e-4, packed=packed)

    return run


def products(size: Size) -> Part:
    """The matrix products of ``kernels``, with the arrays that they follow each other on."""
    import numpy as np

    from grucli.nn.input_projection import STEPS_AT_ONCE
    from grucli.nn.matmul import best_width, blocks, multiplier, multiply
    from grucli.nn.model import ROWS_AT_ONCE
    from grucli.nn.params import chunks

    T, B, H, L = size.T, size.B, size.H, size.L
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return rng.standard_normal(shape, np.float32)

    W, h, a, scratch = numbers(3, H, H), numbers(T, B, H), numbers(3, T, B, H), numbers(2, B, H)
    W *= 0.01  # what a product overwrites is the next one's factor, and must not grow
    cut = blocks(W, best_width(B, H, H)).copy()
    multiply_two, multiply_one = multiplier(cut[:2], scratch), multiplier(cut[2], scratch[0])
    rows, a_rows, dW = h.reshape(T * B, H), a.reshape(3, T * B, H), numbers(H, H)
    W_hc, W_hc_T = numbers(H, VOCABULARY), numbers(VOCABULARY, H)
    c = numbers(T * B, VOCABULARY)
    W_hc_T *= 0.01
    from_gates = numbers(3, STEPS_AT_ONCE * B, H)
    steps, logits = chunks(T * B, STEPS_AT_ONCE * B), chunks(T * B, ROWS_AT_ONCE)

    def run() -> None:
        for _ in range(L):
            for _ in range(2):  # forward, and the same backward
                for h_t in h:
                    multiply_two(h_t)
                    multiply_one(h_t)
            for a_g in a_rows:
                np.matmul(rows.T, a_g, out=dW)
        for _ in range(L - 1):  # between layers: projection, its weights' gradient, its input's
            for some in steps:
                multiply(rows[some], cut, out=a_rows[:, some])
            for a_g in a_rows:
                np.matmul(rows.T, a_g, out=dW)
            for some in steps:
                multiply(a_rows[:, some], cut, out=from_gates[:, : some.stop - some.start])
        for some in logits:
            multiply(rows[some], W_hc[None], out=c[some])
            np.matmul(rows[some].T, c[some])
            multiply(c[some], W_hc_T[None], out=rows[some])

    return run


def functions(size: Size) -> Part:
    """The exponentials and hyperbolic tangents of ``kernels``."""
    import numpy as np

    gates, n = np.full((2, size.B, size.H), 0.5, np.float32), np.full((size.B, size.H), 0.5, "f")
    c, out = np.full((size.B, VOCABULARY), -4.0, np.float32), np.empty_like(gates)

    def run() -> None:
        for _ in range(size.T):
            for _ in range(size.L):
                np.tanh(gates, out=out)
                np.tanh(n, out=out[0])
            np.exp(c)

    return run


def optimizer(size: Size, rows: int) -> Part:
    """Clipping, Adam, and the packed weights for the next step."""
    import numpy as np

    from grucli.nn.model import Model
    from grucli.nn.optim import Moments, adam_, clip_

    model = Model(VOCABULARY, size.H, size.L)
    params, packed = model.params, model.packed(rows)
    gradient = np.full_like(params.flat, 1e-3)
    moments = Moments.like(params.flat)

    def run() -> None:
        clip_(gradient, 1.0)
        adam_(params.flat, gradient, moments, step=9, lr=1e-3, betas=(0.9, 0.99), eps=1e-8)
        packed.update()

    return run


def measure(parts: Mapping[str, Part], turns: int) -> dict[str, float]:
    """Median milliseconds of each part, after two turns that do not count."""
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(turns + 2):
        for name, part in parts.items():
            began = time.perf_counter()
            part()
            taken[name].append(1000 * (time.perf_counter() - began))
    return {name: median(times[2:]) for name, times in taken.items()}


def row(size: Size, cores: int, turns: int) -> list[str]:
    """One line of the table."""
    own = Size(size.B // cores, size.T, size.H, size.L)
    ms = measure(
        {
            "step": grucli_step(size, cores),
            "kernels": kernels(own),
            "products": products(own),
            "functions": functions(own),
            "calls": kernels(Size(1, size.T, 2, size.L)),
            "optimizer": optimizer(size, own.B),
        },
        turns,
    )
    explained = ms["products"] + ms["functions"] + ms["calls"]
    shares = [ms["products"], ms["functions"], ms["calls"], ms["kernels"] - explained]
    shares += [ms["optimizer"], ms["step"] - ms["kernels"] - ms["optimizer"]]
    cells = [f"{part:.1f} ms, {part / ms['step']:.0%}" for part in shares]
    return [str(size), f"{ms['step']:.1f} ms", *cells]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=available_cores())
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    limit_blas(1)
    rows = []
    for size in GRID:
        rows.append(row(size, arguments.cores, arguments.turns))
        print(rows[-1], file=sys.stderr)
    note = (
        f"One of {arguments.cores} processes; each part by itself, medians of {arguments.turns} "
        "turns. A difference below zero says that parts by themselves met emptier caches, or that "
        "the machine changed its pace."
    )
    write("profile", f"{table(HEADER, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
