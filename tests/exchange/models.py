"""Runs of models with random weights, for the tests of formats."""

from pathlib import Path
from typing import Any

import numpy as np

from grucli.config import Model
from grucli.exchange.description import members, of_stranger
from grucli.nn.model import shapes
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint
from grucli.run.run import Run
from grucli.run.writer import write_run

CELLS = ("gru", "gru-after", "lstm", "rnn")
VOCABULARIES: dict[str, list[Any]] = {
    "text": sorted("\n abcdefghijklmnopqrstuvwxyz.,'ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "two": ["a", "b"],
    "odd": sorted('\x00\r\n\u2028\u4f60\u597d\ufffd\U0001f600é\u0301"\\<'),
    "bytes": list(range(256)),
    "lines": sorted("\nanobtilry"),
}
"""The symbols of five models; that of "lines" is one of a list."""


def weights_of(model: Model, V: int, scale: float = 0.3) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    named = shapes(V, model.hidden, model.layers, model.variant)
    return {
        name: (scale * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in named.items()
    }


def checkpoint_of(cell: str = "gru", layers: int = 1, kind: str = "text") -> Checkpoint:
    name, _, after = cell.partition("-")
    model = Model(cell=name, reset="after" if after else "before", hidden=9, layers=layers)
    symbols = VOCABULARIES[kind]
    described = of_stranger(model, symbols)
    described["meta"]["settings"]["data"]["documents"] = "line" if kind == "lines" else None
    weights = weights_of(model, len(symbols))
    return checkpoints.from_members(Path("made"), members(described, weights))


def make_run(cell: str = "gru", layers: int = 1, kind: str = "text") -> Run:
    path = Path(f"{cell}-{layers}-{kind}")
    checkpoint = checkpoint_of(cell, layers, kind)
    write_run(
        [path], checkpoint, {"status": "done", "parameters": checkpoint.model.params.flat.size}
    )
    return Run(path)


def text_of(run: Run, N: int = 2000) -> Any:
    """Random ids to read and to predict, each (T, 1), and this program's log probabilities."""
    model = run.lm.model
    ids = np.random.default_rng(1).integers(0, model.V, N + 1)
    if model.separator is not None:
        ids[0] = model.separator
    x, targets = ids[:-1, None], ids[1:, None]
    own, *_ = model.score(x, targets, model.zero_state(1), model.workspace(N, 1))
    return x, targets, own


def log_probs(logits: Any, targets: Any) -> Any:
    logits = np.asarray(logits, np.float64)
    top = logits.max(-1, keepdims=True)
    normal = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    return np.take_along_axis(normal, targets[..., None], -1)[..., 0]
