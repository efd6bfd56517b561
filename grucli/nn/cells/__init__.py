"""The recurrent cells, by name."""

from grucli.nn.cells.base import Cache, Cell, Route, Weights
from grucli.nn.cells.gru import GRU
from grucli.nn.cells.gru_after import GRUAfter
from grucli.nn.cells.lstm import LSTM
from grucli.nn.cells.rnn import RNN

__all__ = ["CELLS", "Cache", "Cell", "Route", "Weights", "basic"]

CELLS: dict[str, Cell] = {"gru": GRU(), "gru-after": GRUAfter(), "lstm": LSTM(), "rnn": RNN()}


def basic() -> list[str]:
    """The names of the cells, without variants such as ``gru-after``."""
    return [name for name in CELLS if "-" not in name]
