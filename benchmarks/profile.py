"""Where the time of a training step goes: ``python -m benchmarks.profile``.

Each part is run by itself, over the same arrays as in the step: its products, its softmax, its
optimizer. What calls cost is the time of the same step with next to no numbers in it.
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
from grucli.nn.backend import NUMPY, Backend
from grucli.threads import available_cores, limit_blas

ALL = (NUMPY, Backend("onednn"), Backend("onednn", "bfloat16"))
Part = Callable[[], object]
HEADER = (
    "B x T, size",
    "products of",
    "step",
    "products, sigmoid, tanh",
    "softmax",
    "calls",
    "elementwise and memory",
    "optimizer",
    "sharing and waiting",
)


def kernels(size: Size, backend: Backend) -> Part:
    """Forward and backward of one process's streams."""
    import numpy as np

    from grucli.nn.model import Model

    rng = np.random.default_rng(0)
    model = Model(VOCABULARY, size.H, size.L, backend=backend)
    model.initialize(rng)
    x, targets = rng.integers(0, VOCABULARY, (2, size.T, size.B))
    state, room = model.zero_state(size.B), model.workspace(size.T, size.B)
    grads, packed = model.params.like(), model.packed(size.B)

    def run() -> None:
        model.loss_and_gradients(x, targets, state, room, grads, scale=1e-4, packed=packed)

    return run


def products_alone(size: Size, backend: Backend) -> Part:
    """The matrix products of ``kernels``, in the order of the arrays there."""
    import numpy as np

    from grucli.nn.input_projection import STEPS_AT_ONCE
    from grucli.nn.model import ROWS_AT_ONCE, Model
    from grucli.nn.params import chunks

    T, B, H, L, V = size.T, size.B, size.H, size.L, VOCABULARY
    model = Model(V, H, 2, backend=backend)
    model.params.flat[:] = 0.001  # what a product overwrites is a later factor, and must not grow
    packed = model.packed(B)
    (_, w), W_hc = model.layers(packed), model.output(packed).W_hc
    h, a, scratch = (np.ones(shape, "f4") for shape in ((T, B, H), (3, T, B, H), (2, B, H)))
    c, dW, dW_hc = (np.ones((n, m), "f4") for n, m in ((T * B, V), (H, H), (H, V)))
    multiply_zr = w.W_h[:2].bind(scratch)
    multiply_n, multiply_n_T = w.W_h[2].bind(scratch[0]), w.W_h.T[2].bind(scratch[0])
    add_z, add_r = (W_T.bind_add(scratch[1], scratch[0]) for W_T in w.W_h.T[:2])
    rows, a_rows = h.reshape(T * B, H), a.reshape(3, T * B, H)
    from_gates = np.ones((3, STEPS_AT_ONCE * B, H), "f4")
    steps, logits = chunks(T * B, STEPS_AT_ONCE * B), chunks(T * B, ROWS_AT_ONCE)

    def run() -> None:
        for _ in range(L):
            for h_t in h:
                multiply_zr(h_t)
                multiply_n(h_t)
            for h_t in h:
                multiply_n_T(h_t)
                add_z(h_t)
                add_r(h_t)
            for a_g in a_rows:
                w.W_h[0].gradient(rows, a_g, dW)
        for _ in range(L - 1):  # between layers: projection, its weights' gradient, its input's
            for some in steps:
                w.W_x.multiply(rows[some], a_rows[:, some])
            for a_g in a_rows:
                w.W_h[0].gradient(rows, a_g, dW)
            for some in steps:
                w.W_x.T.multiply(a_rows[:, some], from_gates[:, : some.stop - some.start])
        for some in logits:
            W_hc.multiply(rows[some], c[some])
            W_hc.gradient(rows[some], c[some], dW_hc)
            W_hc.T.multiply(c[some], rows[some])

    return run


def softmax(size: Size) -> Part:
    """The softmax, the loss and their gradient."""
    import numpy as np

    from grucli.nn.functional import softmax_cross_entropy_
    from grucli.nn.model import ROWS_AT_ONCE
    from grucli.nn.params import chunks

    c = np.full((size.T * size.B, VOCABULARY), -4.0, np.float32)
    targets, (b_c, db_c) = np.zeros(len(c), np.intp), np.zeros((2, VOCABULARY), np.float32)

    def run() -> None:
        for some in chunks(len(c), ROWS_AT_ONCE):
            softmax_cross_entropy_(c[some], b_c, targets[some], 1e-4, db_c)

    return run


def optimizer(size: Size, rows: int, backend: Backend) -> Part:
    """Clipping, Adam, and the packed weights for the next step."""
    import numpy as np

    from grucli.nn.model import Model
    from grucli.nn.optim import Moments, adam_, clip_

    model = Model(VOCABULARY, size.H, size.L, backend=backend)
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


def row(size: Size, backend: Backend, cores: int, turns: int) -> list[str]:
    """One line of the table."""
    own = Size(size.B // cores, size.T, size.H, size.L)
    ms = measure(
        {
            "step": grucli_step(size, cores, "gru", backend.library, backend.precision),
            "kernels": kernels(own, backend),
            "products": products_alone(own, backend),
            "softmax": softmax(own),
            "calls": kernels(Size(1, size.T, 2, size.L), backend),
            "optimizer": optimizer(size, own.B, backend),
        },
        turns,
    )
    explained = ms["products"] + ms["softmax"] + ms["calls"]
    shares = [ms["products"], ms["softmax"], ms["calls"], ms["kernels"] - explained]
    shares += [ms["optimizer"], ms["step"] - ms["kernels"] - ms["optimizer"]]
    cells = [f"{part:.1f} ms, {part / ms['step']:.0%}" for part in shares]
    return [str(size), str(backend), f"{ms['step']:.1f} ms", *cells]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=available_cores())
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    limit_blas(1)
    rows = []
    for size in GRID:
        for backend in ALL:
            rows.append(row(size, backend, arguments.cores, arguments.turns))
            print(rows[-1], file=sys.stderr)
    note = (
        f"One of {arguments.cores} processes; each part by itself, medians of {arguments.turns} "
        "turns. A difference below zero says that parts by themselves met emptier caches, or that "
        "the machine changed its pace."
    )
    write("profile", f"{table(HEADER, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
