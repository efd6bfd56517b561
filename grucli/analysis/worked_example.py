"""A GRU of two units that reads two characters: every number of both passes, to check by hand.

The equations are those of ``grucli/nn/cells/gru.py``, written once more for row vectors, in plain
lines. At the end their gradients are compared with those of ``Model``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from grucli.nn.gradcheck import Window, gradients_of, loss_of, named
from grucli.nn.model import Model
from grucli.nn.params import Array
from grucli.threads import blas_limited_to

SYMBOLS = TEXT = "abc"  # the example reads "ab" and predicts "bc"
WEIGHTS: Mapping[str, Sequence[Any]] = {
    "W_xz": [[0.4, -0.2], [0.1, 0.6], [-0.3, 0.2]],
    "W_xr": [[-0.5, 0.3], [0.7, 0.1], [0.2, -0.4]],
    "W_xn": [[0.8, -0.6], [-0.9, 0.5], [0.3, 0.7]],
    "W_hz": [[0.5, -0.3], [0.2, 0.6]],
    "W_hr": [[-0.4, 0.9], [0.7, 0.3]],
    "W_hn": [[0.6, -0.8], [0.5, 0.4]],
    "b_z": [-0.1, 0.2],
    "b_r": [0.3, -0.2],
    "b_n": [0.1, -0.1],
    "W_hc": [[0.9, -0.5, 0.3], [-0.7, 0.8, 0.2]],
    "b_c": [0.1, 0.0, -0.1],
}
"""Weights in round numbers, by their names in the equations. Row 1 of W_x belongs to "a"."""
H_0 = [0.5, -0.4]  # the initial state
NUDGE = 0.001  # step of the difference quotient in the last section
ROUNDING = 1e-12  # largest difference between equal gradients


class Quantity(NamedTuple):
    """A quantity of the example."""

    symbol: str  # with the number of the step
    formula: str  # how it is computed; empty if it is given
    value: Array  # a number, a vector or a matrix


class WorkedExample:
    """The quantities of both passes by section, and a comparison with the program."""

    def __init__(self) -> None:
        self.sections: list[tuple[str, list[Quantity]]] = []  # each with its title
        self.values: dict[str, Array] = {}  # by symbol
        self.difference = np.nan  # the largest between these gradients and the program's

    def begin(self, title: str) -> None:
        self.sections.append((title, []))

    def add(self, symbol: str, formula: str, value: Any) -> Array:
        """Enter a quantity, and return its value."""
        array = np.asarray(value)
        self.sections[-1][1].append(Quantity(symbol, formula, array))
        self.values[symbol] = array
        return array

    @property
    def gradients(self) -> dict[str, Array]:
        """The gradients of the weights and of the initial state, by symbol."""
        return {name: self.values[f"d{name}"] for name in (*WEIGHTS, "h_0")}

    @property
    def agrees(self) -> bool:
        return self.difference <= ROUNDING

    def to_dict(self) -> dict[str, Any]:
        sections = [
            {
                "title": title,
                "quantities": [one._asdict() | {"value": one.value.tolist()} for one in quantities],
            }
            for title, quantities in self.sections
        ]
        return {"sections": sections, "difference": self.difference, "agrees": self.agrees}


@blas_limited_to(1)
def worked_example() -> WorkedExample:
    """Compute the example."""
    example = WorkedExample()
    example.begin("given")
    for name, value in (*WEIGHTS.items(), ("h_0", H_0)):
        example.add(name, "", value)
    for t in (1, 2):
        example.begin(f"forward, step {t}: reads {TEXT[t - 1]!r}, predicts {TEXT[t]!r}")
        _forward(example, t)
    for t in (2, 1):
        example.begin(f"backward, step {t}")
        _backward(example, t)
    example.begin("gradients of the weights")
    _gradients_of_weights(example)
    example.begin("check of one entry")
    _compare(example)
    return example


def _forward(example: WorkedExample, t: int) -> None:
    """Step t, forward: (1) to (6)."""
    values, add, prev = example.values, example.add, f"h_{t - 1}"
    h_prev, read = values[prev], TEXT[t - 1]

    def before_activation(gate: str, state: str) -> Array:
        product = values[state] @ values[f"W_h{gate}"]
        a = product + values[f"W_x{gate}"][SYMBOLS.index(read)] + values[f"b_{gate}"]
        return add(f"{gate}~_{t}", f"{state} W_h{gate} + W_x{gate}[{read}] + b_{gate}", a)

    for gate in "zr":
        a = before_activation(gate, prev)
        add(f"{gate}_{t}", f"sigmoid({gate}~_{t})", 1 / (1 + np.exp(-a)))
    z, r = values[f"z_{t}"], values[f"r_{t}"]
    add(f"rh_{t}", f"r_{t} * {prev}", r * h_prev)
    n = np.tanh(before_activation("n", f"rh_{t}"))
    add(f"n_{t}", f"tanh(n~_{t})", n)
    h = add(f"h_{t}", f"(1 - z_{t}) * {prev} + z_{t} * n_{t}", (1 - z) * h_prev + z * n)
    c = add(f"c_{t}", f"h_{t} W_hc + b_c", h @ values["W_hc"] + values["b_c"])
    y = add(f"y_{t}", f"softmax(c_{t})", np.exp(c) / np.exp(c).sum())
    add(f"L_{t}", f"-log y_{t}[{TEXT[t]}]", -np.log(y[SYMBOLS.index(TEXT[t])]))


def _backward(example: WorkedExample, t: int) -> None:
    """Step t, backward: the derivatives of the lines of ``_forward``."""
    values, add, prev = example.values, example.add, f"h_{t - 1}"
    h_prev, z, r, n = (values[name] for name in (prev, f"z_{t}", f"r_{t}", f"n_{t}"))
    target = np.eye(len(SYMBOLS))[SYMBOLS.index(TEXT[t])]
    dc = add(f"dc_{t}", f"y_{t} - one-hot of {TEXT[t]!r}", values[f"y_{t}"] - target)
    if t == 2:
        dh = add("dh_2", "dc_2 W_hc^T", dc @ values["W_hc"].T)
    else:
        dh = add("dh_1", "dc_1 W_hc^T + from_2", dc @ values["W_hc"].T + values["from_2"])
    dn = add(f"dn_{t}", f"dh_{t} * z_{t}", dh * z)
    dz = add(f"dz_{t}", f"dh_{t} * (n_{t} - {prev})", dh * (n - h_prev))
    dn_ = add(f"dn~_{t}", f"dn_{t} * (1 - n_{t}^2)", dn * (1 - n**2))
    dz_ = add(f"dz~_{t}", f"dz_{t} * z_{t} (1 - z_{t})", dz * z * (1 - z))
    drh = add(f"drh_{t}", f"dn~_{t} W_hn^T", dn_ @ values["W_hn"].T)
    dr = add(f"dr_{t}", f"drh_{t} * {prev}", drh * h_prev)
    dr_ = add(f"dr~_{t}", f"dr_{t} * r_{t} (1 - r_{t})", dr * r * (1 - r))
    direct = add("direct", f"dh_{t} * (1 - z_{t})", dh * (1 - z))
    update = add("update", f"dz~_{t} W_hz^T", dz_ @ values["W_hz"].T)
    candidate = add("candidate", f"drh_{t} * r_{t}", drh * r)
    reset = add("reset", f"dr~_{t} W_hr^T", dr_ @ values["W_hr"].T)
    symbol = "dh_0" if t == 1 else f"from_{t}"
    add(symbol, "sum of the four routes", direct + update + candidate + reset)


def _gradients_of_weights(example: WorkedExample) -> None:
    """Sums over the steps, since both steps use the weights."""
    values, add = example.values, example.add
    x = np.eye(len(SYMBOLS))[[SYMBOLS.index(symbol) for symbol in TEXT[:2]]]  # (T, V)

    def both(*symbols: str) -> Array:
        return np.stack([values[symbol] for symbol in symbols])  # (T, ...)

    for gate, first, second in (("z", "h_0", "h_1"), ("r", "h_0", "h_1"), ("n", "rh_1", "rh_2")):
        one, two = f"d{gate}~_1", f"d{gate}~_2"
        da = both(one, two)
        add(f"dW_h{gate}", f"{first}^T {one} + {second}^T {two}", both(first, second).T @ da)
        add(f"dW_x{gate}", f"x_1^T {one} + x_2^T {two}", x.T @ da)
        add(f"db_{gate}", f"{one} + {two}", da.sum(axis=0))
    dc = both("dc_1", "dc_2")
    add("dW_hc", "h_1^T dc_1 + h_2^T dc_2", both("h_1", "h_2").T @ dc)
    add("db_c", "dc_1 + dc_2", dc.sum(axis=0))


def _compare(example: WorkedExample) -> None:
    """Compare the gradients with those of the program, and one entry with a quotient of losses."""
    values, add = example.values, example.add
    model = Model(len(SYMBOLS), 2, 1, np.float64)
    weights = dict(named(model.cell, model.params.items()))
    for name, array in weights.items():
        array[:] = values[name.partition(".")[2]]
    ids = np.array([SYMBOLS.index(symbol) for symbol in TEXT])[:, None]  # (T+1, B)
    window = Window(ids[:-1], ids[1:], np.array(H_0)[None, None], None)
    W_hz, losses = weights["layer1.W_hz"], []
    for sign, distance in (("+", NUDGE), ("-", -NUDGE)):
        W_hz[0, 0] += distance
        losses.append(add(f"L({sign})", f"L at W_hz[1,1] {sign} {NUDGE}", loss_of(model, window)))
        W_hz[0, 0] -= distance
    quotient = (losses[0] - losses[1]) / (2 * NUDGE)
    add("quotient", f"(L(+) - L(-)) / {2 * NUDGE}", quotient)
    add("dW_hz[1,1]", "from above", values["dW_hz"][0, 0])
    differences = [
        np.abs(array - example.gradients[name.partition(".")[2]]).max()
        for name, array in gradients_of(model, window).items()
    ]
    example.difference = float(np.max(differences))  # ``max`` would ignore nan
