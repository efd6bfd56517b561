"""How the arrays of a layer stand in other programs: one table, for export and import.

The programs stack the matrices of the gates in an order of their own, transposed, since they
multiply columns. They have two biases where one would do. Their z KEEPS the old state, and here it
WRITES: theirs is 1 - z, so the weights of its argument have the other sign.
"""

from typing import Any, Literal

import numpy as np

from grucli.errors import UsageError
from grucli.nn.cells import CELLS
from grucli.nn.params import Array

Program = Literal["onnx", "torch", "keras"]

ORDER: dict[Program, dict[str, tuple[str, ...]]] = {
    "onnx": {"gru": (*"zrn",), "gru-after": (*"zrn",), "lstm": (*"iofg",), "rnn": ("",)},
    "torch": {"gru": (*"rzn",), "gru-after": (*"rzn",), "lstm": (*"ifgo",), "rnn": ("",)},
    "keras": {"gru": (*"zrn",), "gru-after": (*"zrn",), "lstm": (*"ifgo",), "rnn": ("",)},
}
"""Our names of a program's gates, in its order. For "gru" torch has no layer: the order is that of
the module that export writes for it."""

KEEPS = "z"  # the gate with the other sign


def stacked(program: Program, cell: str, array: Array) -> Array:
    """Matrices (G, D, H) or biases (G, H) as a program has them: (G H, D) or (G H,)."""
    ours = CELLS[cell].GATES
    parts = [_signed(gate, array[ours.index(gate)]) for gate in ORDER[program][cell]]
    return np.concatenate([part.T for part in parts])


def unstacked(program: Program, cell: str, array: Array) -> Array:
    order = ORDER[program][cell]
    parts = dict(zip(order, np.split(array, len(order)), strict=True))
    return np.stack([_signed(gate, parts[gate]).T for gate in CELLS[cell].GATES])


def _signed(gate: str, part: Array) -> Array:
    """The part of a gate. No zero is negative, so that a round trip gives the same bytes."""
    return (-part if gate == KEEPS else part) + part.dtype.type(0)


def layer_of(program: Program, cell: str, w: Any) -> list[Array]:
    """Input weights (G H, D), recurrent weights (G H, H), and their two biases (G H,)."""
    if cell not in ORDER[program]:
        raise UsageError(f"{program} has no layer like the cell {cell}")
    second = np.zeros_like(w.b)
    if cell == "gru-after":
        second[2] = w.b_u
    return [stacked(program, cell, array) for array in (w.W_x, w.W_h, w.b, second)]


def our_layer(
    program: Program, cell: str, W_x: Array, W_h: Array, first: Array, second: Array
) -> dict[str, Array]:
    """The inverse of ``layer_of``: the parameters of a layer by name."""
    arrays = (unstacked(program, cell, array) for array in (W_x, W_h, first, second))
    named = dict(zip(("W_x", "W_h", "b", "b_u"), arrays, strict=True))
    b_u = named.pop("b_u")
    if cell == "gru-after":
        named["b_u"] = b_u[2].copy()
        b_u[2] = 0
    named["b"] = named["b"] + b_u
    return named
