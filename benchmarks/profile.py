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
from grucli.nn.products import NUMPY, Products
from grucli.threads import available_cores, limit_blas

ALL = (NUMPY, Products("onednn"), Products("onednn", "bfloat16"))
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


def kernels(size: Size, products: Products) -> Part:
    """Forward and backward of one process's streams."""
    import numpy as np

    from grucli.nn.model import Model

    rng = np.random.default_rng(0)
    model = Model(VOCABULARY, size.H, size.L, products=products)
    model.initialize(rng)
    x, targets = rng.integers(0, VOCABULARY, (2, size.T, size.B))
    state, room = model.zero_state(size.B), model.workspace(size.T, size.B)
    grads, packed = model.params.like(), model.packed(size.B)

    def run() -> None:
        model.loss_and_gradients(x, targets, state, room, grads, scale=1e-4, packed=packed)

    return run


def products_alone(size: Size, products: Products) -> Part:
    """The matrix products and activations of ``kernels``, in the order of the arrays there."""
    import numpy as np

    from grucli.nn.input_projection import STEPS_AT_ONCE
    from grucli.nn.matmul import activated_sum, add_multiplier, multiplier, multiply
    from grucli.nn.matmul import weight_gradient as gradient
    from grucli.nn.model import ROWS_AT_ONCE, Model
    from grucli.nn.params import chunks

    T, B, H, L, V = size.T, size.B, size.H, size.L, VOCABULARY
    model = Model(V, H, 2, products=products)
    model.params.flat[:] = 0.001  # what a product overwrites is a later factor, and must not grow
    packed = model.packed(B)
    layers = model.layers(model.params)
    (_, w), (_, w_T) = packed.forward(layers), packed.transposed(layers)
    h, a, scratch = (np.ones(shape, "f4") for shape in ((T, B, H), (3, T, B, H), (2, B, H)))
    c, dW, dW_hc = (np.ones((n, m), "f4") for n, m in ((T * B, V), (H, H), (H, V)))
    sum_two = activated_sum(w.W_h[:2], scratch, "sigmoid")
    sum_one = activated_sum(w.W_h[2], scratch[0], "tanh")
    multiply_n = multiplier(w_T.W_h[2], scratch[0])
    add_z, add_r = (add_multiplier(W, scratch[1], scratch[0]) for W in w_T.W_h[:2])
    rows, a_rows = h.reshape(T * B, H), a.reshape(3, T * B, H)
    from_gates = np.ones((3, STEPS_AT_ONCE * B, H), "f4")
    steps, logits = chunks(T * B, STEPS_AT_ONCE * B), chunks(T * B, ROWS_AT_ONCE)

    def run() -> None:
        for _ in range(L):
            for t, h_t in enumerate(h):
                sum_two(h_t, a[:2, t])
                sum_one(h_t, a[2, t])
            for h_t in h:
                multiply_n(h_t)
                add_z(h_t)
                add_r(h_t)
            for a_g in a_rows:
                gradient(w.W_h, rows, a_g, dW)
        for _ in range(L - 1):  # between layers: projection, its weights' gradient, its input's
            for some in steps:
                multiply(rows[some], w.W_x, out=a_rows[:, some])
            for a_g in a_rows:
                gradient(w.W_h, rows, a_g, dW)
            for some in steps:
                multiply(a_rows[:, some], w_T.W_x, out=from_gates[:, : some.stop - some.start])
        for some in logits:
            multiply(rows[some], packed.W_hc, out=c[some][None])
            gradient(packed.W_hc_T, rows[some], c[some], dW_hc)
            multiply(c[some], packed.W_hc_T, out=rows[some][None])

    return run


def softmax(size: Size) -> Part:
    """The softmax, the loss and their gradient."""
    import numpy as np

    from grucli.nn.functional import softmax_cross_entropy_
    from grucli.nn.model import ROWS_AT_ONCE
    from grucli.nn.params import chunks

    c = np.full((size.T * size.B, VOCABULARY), -4.0, np.float32)
    targets = np.zeros(len(c), np.intp)

    def run() -> None:
        for some in chunks(len(c), ROWS_AT_ONCE):
            softmax_cross_entropy_(c[some], targets[some], 1e-4)

    return run


def optimizer(size: Size, rows: int, products: Products) -> Part:
    """Clipping, Adam, and the packed weights for the next step."""
    import numpy as np

    from grucli.nn.model import Model
    from grucli.nn.optim import Moments, adam_, clip_

    model = Model(VOCABULARY, size.H, size.L, products=products)
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


def row(size: Size, products: Products, cores: int, turns: int) -> list[str]:
    """One line of the table."""
    own = Size(size.B // cores, size.T, size.H, size.L)
    ms = measure(
        {
            "step": grucli_step(size, cores, "gru", products.library, products.precision),
            "kernels": kernels(own, products),
            "products": products_alone(own, products),
            "softmax": softmax(own),
            "calls": kernels(Size(1, size.T, 2, size.L), products),
            "optimizer": optimizer(size, own.B, products),
        },
        turns,
    )
    explained = ms["products"] + ms["softmax"] + ms["calls"]
    shares = [ms["products"], ms["softmax"], ms["calls"], ms["kernels"] - explained]
    shares += [ms["optimizer"], ms["step"] - ms["kernels"] - ms["optimizer"]]
    cells = [f"{part:.1f} ms, {part / ms['step']:.0%}" for part in shares]
    return [str(size), str(products), f"{ms['step']:.1f} ms", *cells]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=available_cores())
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    limit_blas(1)
    rows = []
    for size in GRID:
        for products in ALL:
            rows.append(row(size, products, arguments.cores, arguments.turns))
            print(rows[-1], file=sys.stderr)
    note = (
        f"One of {arguments.cores} processes; each part by itself, medians of {arguments.turns} "
        "turns. A difference below zero says that parts by themselves met emptier caches, or that "
        "the machine changed its pace."
    )
    write("profile", f"{table(HEADER, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
