"""The functions of ``nn/kernels``, compiled."""

from functools import partial
from typing import Any

import numpy as np

from grucli.nn.cells import Cell
from grucli.nn.compiled import rows
from grucli.nn.compiled.gru import CompiledGRU
from grucli.nn.compiled.gru_after import CompiledGRUAfter
from grucli.nn.compiled.lstm import CompiledLSTM
from grucli.nn.compiled.rnn import CompiledRNN
from grucli.nn.kernels import Kernels
from grucli.nn.matmul import Blocks
from grucli.nn.optim import Moments, adam_
from grucli.nn.params import Array, Ids


def softmax_cross_entropy_(c: Array, b_c: Array, targets: Ids, scale: float, db_c: Array) -> float:
    return float(rows.softmax_cross_entropy_(c, b_c, _indices(targets, len(b_c)), scale, db_c))


def score_rows(c: Array, b_c: Array, targets: Ids, log_probs: Array, correct: Any) -> None:
    rows.score_rows(c, b_c, _indices(targets, len(b_c)), log_probs, correct)


def sum_rows(dW_x: Array, ids: Ids, da: Array) -> None:
    indices = _indices(ids, dW_x.shape[1])
    for dW_xg, da_g in zip(dW_x, da, strict=True):
        rows.sum_rows(dW_xg, indices, da_g.reshape(-1, da_g.shape[-1]))


def _indices(ids: Ids, V: int) -> Ids:
    """A copy of ids below V in one type: Numba compiles for each type, and checks no index."""
    indices = ids.astype(np.int64)
    if len(indices) and not (indices.min() >= 0 and indices.max() < V):
        raise IndexError(f"an id is not that of one of {V:,} symbols")
    return indices


CELLS: dict[str, Cell] = {
    "gru": CompiledGRU(),
    "gru-after": CompiledGRUAfter(),
    "lstm": CompiledLSTM(),
    "rnn": CompiledRNN(),
}
COMPILED = Kernels(
    CELLS, softmax_cross_entropy_, score_rows, sum_rows, partial(adam_, update_=rows.adam_)
)


def warm_up(name: str, dtype: str) -> None:
    """Use all functions of a cell once, so that they are compiled for numbers of this type."""
    T = B = D = H = 2
    cell = COMPILED.cells[name]
    shapes = cell.shapes(D, H)
    numbers: Array = np.zeros(H, dtype)
    w, dw = (cell.WEIGHTS(**{k: np.zeros(v, dtype) for k, v in shapes.items()}) for _ in range(2))
    w = w._replace(W_h=Blocks.view(w.W_h, B))
    cache, state = cell.allocate(T, B, H, numbers), np.zeros((B, H * len(cell.STATE)), dtype)
    cell.forward(w, state, cache)
    cell.backward(w, np.zeros((T, B, H), dtype), state, cache, dw)
    ids, c = np.zeros(B, np.int64), np.zeros((B, H), dtype)
    sum_rows(dw.W_x, np.zeros((T * B), np.int64), cache.a)
    softmax_cross_entropy_(c, numbers, ids, 1.0, numbers.copy())
    score_rows(c, numbers, ids, np.zeros(B, dtype), np.zeros(B, np.bool_))
    betas = 0.9, 0.99
    COMPILED.adam_(numbers, numbers, Moments.like(numbers), step=1, lr=0.1, betas=betas, eps=0.1)
