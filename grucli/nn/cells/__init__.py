"""The recurrent cells, by name."""

from grucli.nn.cells.base import Cache, Cell, Route, Weights
from grucli.nn.cells.gru import GRU
from grucli.nn.cells.gru_after import GRUAfter
from grucli.nn.cells.lstm import LSTM
from grucli.nn.cells.rnn import RNN

__all__ = ["CELLS", "Cache", "Cell", "Route", "Weights", "basic", "in_words"]

CELLS: dict[str, Cell] = {"gru": GRU(), "gru-after": GRUAfter(), "lstm": LSTM(), "rnn": RNN()}


def basic() -> list[str]:
    """The names of the cells, without variants such as ``gru-after``."""
    return [name for name in CELLS if "-" not in name]


def in_words(cell: str) -> str:
    """What texts and figures call a cell: LSTM; a cell of one's own has the name of its class."""
    return "GRU, reset after" if cell == "gru-after" else type(CELLS[cell]).__name__
