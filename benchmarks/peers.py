"""The loss after some minutes, beside what people would pick instead, in turn on the same cores.

``python -m benchmarks.peers TEXT --minutes 1 3`` trains with grucli's defaults; ``nn.GRU`` of
PyTorch with as many units, the same windows, optimizer and schedule; and a transformer with the
settings that nanoGPT's README gives for a CPU. Each reads the same characters, and is judged on the
last tenth of the text. A GRU carries its state through it; the transformer reads windows of its
own length.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import grucli
from benchmarks.page import table, write
from benchmarks.training import EMBEDDING
from grucli.config import Optim, Train
from grucli.run.run import Run
from grucli.threads import available_cores
from grucli.training.schedules import learning_rate

STREAMS, STEPS = Train().batch, Train().window  # of the GRU, as grucli's defaults
RATES = (0.005, 0.01, 0.02)  # learning rates of nn.GRU, of which the best counts
HEADS, LAYERS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12  # of the transformer: nanoGPT, README
OF_GPT = Optim(lr=1e-3, warmup=100, final_lr=0.1, weight_decay=0.1)

Batch = tuple[torch.Tensor, torch.Tensor]


class GRU(nn.Module):
    """A network of recurrent layers, as people write it."""

    def __init__(self, V: int, H: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, EMBEDDING)
        self.gru = nn.GRU(EMBEDDING, H)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(H, V)
        self.state: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> Any:
        """Logits (T, B, V) of ids (T, B); the state is carried."""
        h, last = self.gru(self.embedding(x), self.state)
        self.state = last.detach()
        return self.output(self.dropout(h))


class Block(nn.Module):
    """One layer of a transformer: attention to earlier characters, then a network of each."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = (nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.attention = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.back = nn.Linear(WIDTH, WIDTH, bias=False)
        self.wide = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> Any:
        """One layer's output (B, T, WIDTH)."""
        B, T, _ = x.shape
        heads = self.attention(self.before(x)).view(B, T, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.back(seen.transpose(1, 2).reshape(B, T, WIDTH))
        return x + self.narrow(nn.functional.gelu(self.wide(self.between(x))))


class GPT(nn.Module):
    """A transformer, whose input and output share their weights."""

    def __init__(self, V: int) -> None:
        super().__init__()
        self.characters, self.positions = nn.Embedding(V, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, weights in self.named_parameters():
            if weights.ndim == 2:
                last = "back" in name or "narrow" in name
                nn.init.normal_(weights, std=0.02 / (math.sqrt(2 * LAYERS) if last else 1))

    def forward(self, x: torch.Tensor) -> Any:
        """Logits (B, T, V) of ids (B, T)."""
        h = self.characters(x) + self.positions(torch.arange(x.shape[1]))
        return self.norm(self.blocks(h)) @ self.characters.weight.T


def streams(ids: torch.Tensor) -> Iterator[Batch]:
    """Windows of parallel streams, each after the other, as grucli reads them."""
    S = (len(ids) - 1) // STREAMS
    x, y = (ids[k : k + STREAMS * S].view(STREAMS, S).T.contiguous() for k in (0, 1))
    while True:
        for lo in range(0, S - STEPS + 1, STEPS):
            yield x[lo : lo + STEPS], y[lo : lo + STEPS]


def anywhere(ids: torch.Tensor) -> Iterator[Batch]:
    """Windows at random positions, as nanoGPT reads them."""
    while True:
        starts = torch.randint(len(ids) - CONTEXT, (BATCH, 1)) + torch.arange(CONTEXT)
        yield ids[starts], ids[starts + 1]


def train(net: nn.Module, batches: Iterator[Batch], optim: Optim, minutes: float) -> None:
    """Train for some minutes; the time determines the learning rate."""
    decayed = [one for one in net.parameters() if one.ndim == 2]
    others = [one for one in net.parameters() if one.ndim != 2]
    groups = [
        {"params": decayed, "weight_decay": optim.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, betas=optim.betas, fused=True)
    began, step, used = time.perf_counter(), 0, 0.0
    while used < 1:
        x, y = next(batches)
        for group in adam.param_groups:
            group["lr"] = learning_rate(optim, step, used)
        adam.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(net(x).flatten(0, 1), y.flatten()).backward()
        nn.utils.clip_grad_norm_(net.parameters(), optim.clip)
        adam.step()
        step, used = step + 1, (time.perf_counter() - began) / (60 * minutes)


@torch.no_grad()
def loss_of(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """The mean loss of a text in windows, (N, T) or (T, 1), one by one, in nats."""
    net.eval()
    nats = sum(
        float(nn.functional.cross_entropy(net(a).flatten(0, 1), b.flatten(), reduction="sum"))
        for a, b in zip(x, y, strict=True)
    )
    return nats / y.numel()


def torch_gru(ids: torch.Tensor, val: torch.Tensor, H: int, dropout: float, minutes: float) -> Any:
    """The lowest loss of all rates, and what it was."""
    losses = []
    for lr in RATES:
        torch.manual_seed(0)
        net = GRU(int(ids.max()) + 1, H, dropout)
        train(net, streams(ids), Optim(lr=lr), minutes)
        net.state = None
        N = (len(val) - 1) // STEPS * STEPS
        x, y = (val[k : k + N].view(-1, STEPS, 1) for k in (0, 1))
        losses.append((loss_of(net, x, y), f"1 x {H}, dropout {dropout:g}, lr {lr:g}"))
        print("nn.GRU", *losses[-1], flush=True)
    return min(losses)


def gpt(ids: torch.Tensor, val: torch.Tensor, minutes: float) -> Any:
    """The loss of the transformer, and what it is."""
    torch.manual_seed(0)
    net = GPT(int(ids.max()) + 1)
    train(net, anywhere(ids), OF_GPT, minutes)
    N = (len(val) - 1) // CONTEXT * CONTEXT
    x, y = (val[k : k + N].view(-1, 1, CONTEXT) for k in (0, 1))
    return loss_of(net, x, y), f"{LAYERS} x {WIDTH}, windows of {CONTEXT}"


def own(text: Path, minutes: float) -> tuple[float, str, Any]:
    """The loss with grucli's defaults, what the network is, and its settings."""
    with tempfile.TemporaryDirectory() as runs:
        done = grucli.train(
            text, settings={"sample.length": 0}, runs_dir=runs, minutes=minutes, seed=0
        )
        run = Run(done.path)
        model, loss = run.settings.model, run.info.best.loss
    assert loss is not None
    rates = f"dropout {model.dropout:g}, weight dropout {model.weight_dropout:g}"
    return loss, f"{model.layers} x {model.hidden}, {rates}", model


def compared(text: Path, minutes: float) -> Iterator[list[str]]:
    """The rows of one budget."""
    written = text.read_text(encoding="utf-8")
    symbols = {one: i for i, one in enumerate(sorted(set(written)))}
    everything = torch.from_numpy(np.array([symbols[one] for one in written]))
    begin = round(0.9 * len(everything))
    ids, val = everything[:begin], everything[begin:]
    loss, words, model = own(text, minutes)
    contenders: dict[str, Callable[[], tuple[float, str]]] = {
        "grucli": lambda: (loss, words),
        "PyTorch, nn.GRU": partial(torch_gru, ids, val, model.hidden, model.dropout, minutes),
        "PyTorch, nanoGPT's settings for a CPU": partial(gpt, ids, val, minutes),
    }
    for name, run in contenders.items():
        result, what = run()
        print(minutes, name, result, what, flush=True)
        yield [f"{minutes:g}", name, what, f"{result:.4f}"]


def main() -> None:
    """Train, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 3, 15])
    parser.add_argument("--section", default="peers", help="of docs/benchmarks.md")
    given = parser.parse_args()
    torch.set_num_threads(available_cores())
    rows: Sequence[Sequence[str]] = [
        row for minutes in given.minutes for row in compared(given.text, minutes)
    ]
    header = ["minutes", "program", "network", "validation loss, nats"]
    note = (
        f"Validation loss on the last tenth of {given.text.name}; one run each, in turn. For "
        f"nn.GRU, the best of the learning rates {', '.join(map(str, RATES))}."
    )
    write(given.section, f"{table(header, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
