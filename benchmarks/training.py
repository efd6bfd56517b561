"""Training throughput of grucli against PyTorch and JAX, and against what the processor can do.

Steps of all contenders are interleaved one by one. Needs the extra ``bench``:
``pip install ".[bench]"``, then ``python -m benchmarks.training``.
"""

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import geometric_mean
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import measure, serve

if TYPE_CHECKING:  # PyTorch's process has nothing of ours
    from grucli.training.plan import Plan
    from grucli.training.ranks import Ranks

VOCABULARY = 65
EMBEDDING = 64
OURS = ("grucli numpy float32", "grucli onednn float32", "grucli onednn bfloat16")
THEIRS = ("torch float32", "torch bfloat16", "jax float32", "jax bfloat16")
CEILINGS = (
    "ceiling numpy float32",
    "ceiling onednn float32",
    "ceiling onednn bfloat16",
    "ceiling torch float32",
    "ceiling torch bfloat16",
)


@dataclass(frozen=True)
class Size:
    """One point of the grid."""

    B: int
    T: int
    H: int
    L: int

    def __str__(self) -> str:
        return f"{self.B} x {self.T}, H {self.H}, L {self.L}"

    @property
    def flops(self) -> float:
        """Operations of a training step: forward once, backward twice; one-hot input is free."""
        per_char = self.L * 3 * self.H**2 + (self.L - 1) * 3 * self.H**2 + self.H * VOCABULARY
        return 3 * 2 * self.B * self.T * per_char


GRID = [
    Size(50, 50, 128, 2),
    Size(64, 128, 128, 1),
    Size(64, 128, 256, 1),
    Size(64, 128, 512, 1),
    Size(64, 128, 512, 2),
    Size(64, 128, 1024, 1),
]


# ---- contenders: each returns a function that does one step ----------------------------------


def plan_of(
    size: Size, workers: int, settings: dict[str, Any], ranks: "Ranks | None" = None
) -> "Plan":
    """The plan of a run of a size, on random text."""
    import numpy as np

    from grucli.config import resolve
    from grucli.data.corpus import Corpus, TextId
    from grucli.data.vocabulary import Vocabulary
    from grucli.training.plan import make_plan
    from grucli.training.ranks import ALONE

    values: dict[str, Any] = {
        "model.hidden": size.H,
        "model.layers": size.L,
        "model.dropout": 0.0,
        "optim.weight_decay": 0.0,
        "train.batch": size.B,
        "train.window": size.T,
        "train.workers": workers,
    }
    given = resolve([("benchmark", values | settings)])
    ids = np.random.default_rng(0).integers(0, VOCABULARY, 1_000_000).astype(np.uint8)
    vocabulary = Vocabulary(np.arange(32, 32 + VOCABULARY))
    corpus = Corpus(ids, vocabulary, ("random",), TextId("", len(ids)))
    return make_plan(given, corpus, ranks or ALONE)


def grucli_step(
    size: Size,
    cores: int,
    cell: str = "gru",
    products: str = "numpy",
    precision: str = "float32",
) -> Callable[[], object]:
    """A step as ``grucli train`` does it."""
    from grucli.threads import limit_blas
    from grucli.training.plan import start
    from grucli.training.step import TrainStep

    limit_blas(1)
    how = {"model.cell": cell, "train.products": products, "train.precision": precision}
    plan = plan_of(size, cores, how)
    step = TrainStep(plan, start(plan))
    return lambda: step.update(step.gradient())


def torch_step(size: Size, cores: int, *, bfloat16: bool) -> Callable[[], object]:
    """The same net in PyTorch, as people write it, with its fastest optimizer."""
    import torch
    from torch import nn

    torch.set_num_threads(cores)
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
            self.gru = nn.GRU(EMBEDDING, size.H, size.L)
            self.output = nn.Linear(size.H, VOCABULARY)

        def forward(self, x: Any, h: Any) -> tuple[Any, Any]:
            outputs, h = self.gru(self.embedding(x), h)
            return self.output(outputs), h

    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3, fused=True)
    text = torch.randint(0, VOCABULARY, (size.T + 1, size.B))
    state = torch.zeros(size.L, size.B, size.H)

    def step() -> None:
        nonlocal state
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            logits, last = net(text[:-1], state)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), text[1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        state = last.detach().float()

    return step


def ceiling_step(
    cores: int, products: str = "numpy", precision: str = "float32"
) -> Callable[[], object]:
    """A product of square matrices: the most that a library gives on all cores."""
    if products == "torch":
        return torch_product(cores, precision)
    import numpy as np

    a, b = np.random.default_rng(0).standard_normal((2, 2048, 2048), np.float32)
    out = np.empty_like(a)
    if products == "numpy":
        return lambda: np.matmul(a, b, out=out)
    from grucli.nn.onednn_matrix import layout

    form = layout(2048 // cores, 2048, 2048, precision)  # type: ignore[arg-type]
    packed = form.matrix([np.zeros(form.numbers, np.float32)])
    packed.pack(b[None])
    edges = [2048 * number // cores for number in range(cores + 1)]
    parts = [(packed.bind(out[lo:hi]), a[lo:hi]) for lo, hi in pairwise(edges)]
    pool = ThreadPoolExecutor(cores)
    return lambda: list(pool.map(lambda part: part[0](part[1]), parts))


def torch_product(cores: int, precision: str) -> Callable[[], object]:
    """The same product by PyTorch."""
    import torch

    torch.set_num_threads(cores)
    a, b = torch.randn(2, 2048, 2048).to(getattr(torch, precision))
    out = torch.empty_like(a)
    return lambda: torch.matmul(a, b, out=out)


def build(contender: str, size: Size, cores: int) -> Callable[[], object]:
    """The step of a contender."""
    kind, *how = contender.split()
    if kind == "grucli":
        return grucli_step(size, cores, "gru", *how)
    if kind == "ceiling":
        return ceiling_step(cores, *how)
    if kind == "jax":
        from benchmarks.jax_gru import jax_step

        return jax_step(size, VOCABULARY, EMBEDDING, *how)
    return torch_step(size, cores, bfloat16=how == ["bfloat16"])


# ---- the measurement -------------------------------------------------------------------------


Results = dict[str, tuple[float, float]]
"""Seconds of a step and MB of memory, by contender."""


def ratio(result: Results, theirs: str, ours: str) -> float | None:
    """How many times as long their step takes; None if one was not measured."""
    return result[theirs][0] / result[ours][0] if theirs in result and ours in result else None


def share(size: Size, result: Results, ours: str) -> float | None:
    """Our share of the best rate of any library in this precision."""
    precision = ours.rpartition(" ")[2]
    best = [result[name][0] for name in CEILINGS if name in result and name.endswith(precision)]
    if not best or ours not in result:
        return None
    return size.flops / result[ours][0] / (2 * 2048**3 / min(best))


def row(size: Size, result: Results) -> list[str]:
    """One line of the table."""
    best = min((name for name in OURS[:2] if name in result), key=lambda name: result[name][0])
    ours, theirs = result[best][1], result["torch float32"][1]
    ratios = ratio(result, "torch float32", best), ratio(result, "torch bfloat16", OURS[2])
    shares = share(size, result, best), share(size, result, OURS[2])
    return [
        str(size),
        *(f"{1000 * result[name][0]:.0f} ms" if name in result else "-" for name in OURS + THEIRS),
        *("-" if one is None else f"**{one:.2f}**" for one in ratios),
        *("-" if one is None else f"{one:.0%}" for one in shares),
        f"{ours:.0f} / {theirs:.0f} MB = {ours / theirs:.2f}",
    ]


def report(results: dict[Size, Results], cores: int, steps: int) -> None:
    """Write the table."""
    from benchmarks.page import table, write

    header = ["B x T, size", "NumPy", "oneDNN float32", "oneDNN bfloat16"]
    header += ["PyTorch float32", "PyTorch bfloat16", "JAX float32", "JAX bfloat16"]
    header += ["float32: PyTorch / grucli"]
    header += ["bfloat16: PyTorch / grucli", "share of ceiling, float32", "bfloat16"]
    header += ["peak memory, grucli / PyTorch, float32"]
    singles = [
        max(filter(None, (ratio(r, "torch float32", name) for name in OURS[:2])))
        for r in results.values()
    ]
    halves = [one for r in results.values() if (one := ratio(r, "torch bfloat16", OURS[2]))]
    means = f"Geometric means of the ratios: {geometric_mean(singles):.2f} in float32"
    means += f", {geometric_mean(halves):.2f} in bfloat16" if halves else ""
    summary = (
        f"{means}. In float32, grucli is the faster of its two columns. Medians of {steps} steps, "
        f"before each of which goes one that does not count; {cores} cores for each. The ceiling "
        "is a product of 2048 x 2048 matrices, by the fastest library, in the same minutes. Memory "
        "is the sum over processes, what they share counted once. A processor without bfloat16 "
        "instructions only emulates it: no figure then."
    )
    rows = [row(size, result) for size, result in results.items()]
    write("training", f"{table(header, rows)}\n\n{summary}")


def main() -> None:
    """Measure, or be a contender."""
    from grucli.threads import available_cores

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=2, metavar=("CONTENDER", "SIZE"), help="internal")
    parser.add_argument("--cores", type=int, default=available_cores())
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument(
        "--without-bfloat16", action="store_true", help="for processors that only emulate it"
    )
    arguments = parser.parse_args()
    if arguments.serve:
        name, size = arguments.serve
        serve(build(name, Size(**json.loads(size)), arguments.cores))
        return
    results = {}
    every = [*OURS, *THEIRS, *CEILINGS]
    names = [n for n in every if not (arguments.without_bfloat16 and n.endswith("bfloat16"))]
    for size in GRID:
        case = json.dumps(asdict(size))
        results[size] = measure(
            "benchmarks.training", case, names, arguments.cores, arguments.steps
        )
        print(size, results[size], file=sys.stderr)
    report(results, arguments.cores, arguments.steps)


if __name__ == "__main__":
    main()
