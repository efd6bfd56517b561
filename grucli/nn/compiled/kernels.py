"""The functions of ``nn/kernels``, compiled."""

from functools import partial
from typing import Any

import numpy as np

from grucli.nn.compiled import rows
from grucli.nn.compiled.gru import CompiledGRU
from grucli.nn.compiled.gru_after import CompiledGRUAfter
from grucli.nn.compiled.lstm import CompiledLSTM
from grucli.nn.compiled.rnn import CompiledRNN
from grucli.nn.kernels import Kernels
from grucli.nn.optim import adam_
from grucli.nn.params import Array, Ids


def softmax_cross_entropy_(
    c: Array, b_c: Array, targets: Ids, scale: float, db_c: Array
) -> float:
    return float(rows.softmax_cross_entropy_(c, b_c, _indices(targets), scale, db_c))


def score_rows(c: Array, b_c: Array, targets: Ids, log_probs: Array, correct: Any) -> None:
    rows.score_rows(c, b_c, _indices(targets), log_probs, correct)


def sum_rows(dW_x: Array, ids: Ids, da: Array, scratch: Array) -> None:
    for dW_xg, da_g in zip(dW_x, da, strict=True):
        rows.sum_rows(dW_xg, _indices(ids), da_g.reshape(-1, da_g.shape[-1]))


def _indices(ids: Ids) -> Ids:
    """A copy of one type: Numba compiles for each type of its arguments."""
    return ids.astype(np.int64)


COMPILED = Kernels(
    {
        "gru": CompiledGRU(),
        "gru-after": CompiledGRUAfter(),
        "lstm": CompiledLSTM(),
        "rnn": CompiledRNN(),
    },
    softmax_cross_entropy_,
    score_rows,
    sum_rows,
    partial(adam_, update_=rows.adam_),
)
