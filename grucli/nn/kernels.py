"""The functions that a step of training is made of: those of NumPy, or the same compiled."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from grucli.nn.cells import CELLS, Cell
from grucli.nn.functional import score_rows, softmax_cross_entropy_
from grucli.nn.input_projection import sum_rows
from grucli.nn.optim import adam_


class Kernels(NamedTuple):
    """Equal functions in another form; they differ by rounding."""

    cells: Mapping[str, Cell]
    softmax_cross_entropy_: Callable[..., float]
    score_rows: Callable[..., None]
    sum_rows: Callable[..., None]
    adam_: Callable[..., None]


PLAIN = Kernels(CELLS, softmax_cross_entropy_, score_rows, sum_rows, adam_)
