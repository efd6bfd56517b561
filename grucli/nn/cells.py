"""The recurrent cells, by name: what the rest of the program asks of one."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from grucli.nn import gru, gru_after, lstm, rnn
from grucli.nn.params import Array, Shapes
from grucli.nn.routes import Route


class Cell(Protocol):
    """A module of one layer's functions; ``gru`` says what each of them does.

    Its ``Weights`` have W_x (G, D, H), W_h and b (G, H) of G gates; its ``Cache`` has ``a``,
    ``steps``, ``h`` and the other parts of the state by their names; a step is a named tuple that
    has each part before it as ``h_prev`` and after it as ``h``. Forward and backward agree on
    everything else. A state is (B, S H), its S parts side by side; ``h``, which the layer above
    reads, is the first.
    """

    @property
    def STATE(self) -> tuple[str, ...]: ...  # noqa: N802, D102

    @property
    def ARRAYS(self) -> int: ...  # noqa: N802, D102

    @property
    def ROUTES(self) -> tuple[Route, ...]: ...  # noqa: N802, D102

    @property
    def Weights(self) -> Any: ...  # noqa: N802, D102

    def shapes(self, D: int, H: int) -> Shapes: ...  # noqa: D102

    def initialize(self, w: Any, rng: np.random.Generator, active: int) -> None: ...  # noqa: D102

    def by_gate(self, name: str, array: Array) -> Iterator[tuple[str, Array]]: ...  # noqa: D102

    def allocate(  # noqa: D102
        self, T: int, B: int, H: int, dtype: npt.DTypeLike, *, restarts: bool = False
    ) -> Any: ...

    def equations(self, w: Any, cache: Any) -> Callable[..., None]: ...  # noqa: D102

    def forward(self, w: Any, state: Array, cache: Any) -> Array: ...  # noqa: D102

    def backward(  # noqa: D102
        self, w_T: Any, dh: Array, dstate: Array, cache: Any, dw: Any
    ) -> Array: ...


CELLS: dict[str, Cell] = {"gru": gru, "gru-after": gru_after, "lstm": lstm, "rnn": rnn}


def basic() -> list[str]:
    """The names of cells, without those of their variants."""
    return [name for name in CELLS if "-" not in name]
