"""Training throughput of grucli against PyTorch, and against what the processor can do.

Steps of all contenders are interleaved one by one. Needs the extra ``bench``:
``pip install ".[bench]"``, then ``python -m benchmarks.training``.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import geometric_mean
from typing import Any

from benchmarks.contenders import measure, serve

VOCABULARY = 65
EMBEDDING = 64
CONTENDERS = ("grucli", "float32", "bfloat16", "ceiling")


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


def grucli_step(size: Size, cores: int, cell: str = "gru") -> Callable[[], object]:
    """A step as ``grucli train`` does it."""
    from grucli.threads import limit_blas

    limit_blas(1)
    import numpy as np

    from grucli.config import resolve
    from grucli.data.corpus import Corpus
    from grucli.data.vocabulary import Vocabulary
    from grucli.training.plan import make_plan, start
    from grucli.training.step import TrainStep

    settings = resolve(
        [
            (
                "benchmark",
                {
                    "model.cell": cell,
                    "model.hidden": size.H,
                    "model.layers": size.L,
                    "model.dropout": 0.0,
                    "optim.weight_decay": 0.0,
                    "train.batch": size.B,
                    "train.window": size.T,
                    "train.workers": cores,
                },
            )
        ]
    )
    ids = np.random.default_rng(0).integers(0, VOCABULARY, 1_000_000).astype(np.uint8)
    vocabulary = Vocabulary("char", np.arange(32, 32 + VOCABULARY))
    plan = make_plan(settings, Corpus(ids, vocabulary, ("random",), "", len(ids)))
    return TrainStep(plan, start(plan))


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


def ceiling_step(cores: int) -> Callable[[], object]:
    """A product of square matrices: the most that the processor gives NumPy."""
    import numpy as np

    a, b = np.random.default_rng(0).standard_normal((2, 2048, 2048), np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def build(contender: str, size: Size, cores: int) -> Callable[[], object]:
    """The step of a contender."""
    if contender == "grucli":
        return grucli_step(size, cores)
    if contender == "ceiling":
        return ceiling_step(cores)
    return torch_step(size, cores, bfloat16=contender == "bfloat16")


# ---- the measurement -------------------------------------------------------------------------


def row(size: Size, result: dict[str, tuple[float, float]]) -> list[str]:
    """One line of the table."""
    seconds = {name: value[0] for name, value in result.items()}
    ceiling = 2 * 2048**3 / seconds["ceiling"]
    half = seconds.get("bfloat16")
    ours, theirs = (result[name][1] for name in ("grucli", "float32"))
    return [
        str(size),
        *(f"{seconds[name] * 1000:.0f} ms" for name in ("grucli", "float32")),
        f"{half * 1000:.0f} ms" if half else "-",
        f"**{seconds['float32'] / seconds['grucli']:.2f}**",
        f"{half / seconds['grucli']:.2f}" if half else "-",
        *(f"{size.flops / seconds[name] / ceiling:.0%}" for name in ("grucli", "float32")),
        f"{ours:.0f} / {theirs:.0f} MB = {ours / theirs:.2f}",
    ]


def report(results: dict[Size, dict[str, tuple[float, float]]], cores: int, steps: int) -> None:
    """Write the table."""
    from benchmarks.page import table, write

    header = ["B x T, size", "grucli", "PyTorch float32", "PyTorch bfloat16"]
    header += ["float32 / grucli", "bfloat16 / grucli", "grucli, share of ceiling"]
    header += ["PyTorch float32, share", "peak memory, grucli / float32"]
    mean = geometric_mean(r["float32"][0] / r["grucli"][0] for r in results.values())
    summary = (
        f"Geometric mean of the ratios to float32: {mean:.2f}. Medians of {steps} steps, before "
        f"each of which goes one that does not count; {cores} cores for each; the ceiling is a "
        "product of 2048 x 2048 matrices in the same minutes; memory is the sum over processes, "
        "what they share counted once. A processor without "
        "bfloat16 instructions only emulates it: no figure then."
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
    names = [name for name in CONTENDERS if name != "bfloat16" or not arguments.without_bfloat16]
    for size in GRID:
        case = json.dumps(asdict(size))
        results[size] = measure(
            "benchmarks.training", case, names, arguments.cores, arguments.steps
        )
        print(size, results[size], file=sys.stderr)
    report(results, arguments.cores, arguments.steps)


if __name__ == "__main__":
    main()
