"""A GRU of two units that reads two characters: every number of both passes, to check by hand.

The equations are those of ``grucli/nn/cells/gru.py``, written once more for row vectors, in plain
lines. At the end their gradients are compared with those of ``Model``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grucli.nn.gradcheck import Window, gradients_of, loss_of
from grucli.nn.model import Model
from grucli.nn.params import Array
from grucli.threads import blas_limited_to

SYMBOLS = "abc"
TEXT = "abc"
"""The example reads "ab" and predicts "bc"."""

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

H_0 = [0.5, -0.4]
"""The initial state."""

NUDGE = 0.001
"""Step of the difference quotient in the last section."""


ROUNDING = 1e-12
"""Largest difference between equal gradients."""


@dataclass(frozen=True)
class Quantity:
    """A quantity of the example.

    Attributes:
        symbol: its symbol, with the number of the step.
        formula: how it is computed; empty if it is given.
        value: a number, a vector or a matrix.
    """

    symbol: str
    formula: str
    value: Array


@dataclass(frozen=True)
class WorkedExample:
    """The quantities of both passes, and comparisons with the program.

    Attributes:
        sections: for each part of the example, its title and its quantities in order.
        gradients: the gradients of the example, by symbol.
        difference: the largest difference between them and the program's backward pass.
    """

    sections: Sequence[tuple[str, Sequence[Quantity]]]
    gradients: Mapping[str, Array]
    difference: float

    @property
    def agrees(self) -> bool:
        """Whether the gradients are the same up to rounding."""
        return self.difference <= ROUNDING

    def to_dict(self) -> dict[str, Any]:
        """Return the quantities as a dict for JSON."""
        sections = [
            {
                "title": title,
                "quantities": [
                    {"symbol": one.symbol, "formula": one.formula, "value": one.value.tolist()}
                    for one in quantities
                ],
            }
            for title, quantities in self.sections
        ]
        return {"sections": sections, "difference": self.difference, "agrees": self.agrees}


@blas_limited_to(1)
def worked_example() -> WorkedExample:
    """Compute the example."""
    w = {name: np.array(values) for name, values in WEIGHTS.items()}
    given = [Quantity(name, "", value) for name, value in w.items()]
    given.append(Quantity("h_0", "", np.array(H_0)))
    known: dict[str, Array] = {"h_0": np.array(H_0)}
    sections = [("given", given)]
    for t in (1, 2):
        title = f"forward, step {t}: reads {TEXT[t - 1]!r}, predicts {TEXT[t]!r}"
        sections.append((title, list(_into(known, _forward(t, w, known)))))
    known["from_3"] = np.zeros(2)
    for t in (2, 1):
        sections.append((f"backward, step {t}", list(_into(known, _backward(t, w, known)))))
    sections.append(("gradients of the weights", list(_into(known, _weights(known)))))
    model, window = _as_model(w)
    sections.append(("check of one entry", list(_check(model, window, known))))
    gradients = {name: known[f"d{name}"] for name in (*w, "h_0")}
    return WorkedExample(sections, gradients, _difference(model, window, gradients))


def _into(known: dict[str, Array], quantities: Iterator[Quantity]) -> Iterator[Quantity]:
    """Yield quantities, and enter each into ``known``, since later ones depend on it."""
    for one in quantities:
        known[one.symbol] = one.value
        yield one


def _sigmoid(a: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-a))
    return result


def _forward(t: int, w: Mapping[str, Array], known: Mapping[str, Array]) -> Iterator[Quantity]:
    """Step t, forward: (1) to (6)."""
    x, target, h_prev = SYMBOLS.index(TEXT[t - 1]), SYMBOLS.index(TEXT[t]), known[f"h_{t - 1}"]
    h, X = f"h_{t - 1}", f"W_x?[{TEXT[t - 1]}]"
    for gate in "zr":
        a = h_prev @ w[f"W_h{gate}"] + w[f"W_x{gate}"][x] + w[f"b_{gate}"]
        yield Quantity(f"{gate}~_{t}", f"{h} W_h{gate} + {X.replace('?', gate)} + b_{gate}", a)
        yield Quantity(f"{gate}_{t}", f"sigmoid({gate}~_{t})", _sigmoid(a))
    rh = known[f"r_{t}"] * h_prev
    yield Quantity(f"rh_{t}", f"r_{t} * {h}", rh)
    a = rh @ w["W_hn"] + w["W_xn"][x] + w["b_n"]
    yield Quantity(f"n~_{t}", f"rh_{t} W_hn + {X.replace('?', 'n')} + b_n", a)
    yield Quantity(f"n_{t}", f"tanh(n~_{t})", np.tanh(a))
    z, n = known[f"z_{t}"], known[f"n_{t}"]
    yield Quantity(f"h_{t}", f"(1 - z_{t}) * {h} + z_{t} * n_{t}", (1 - z) * h_prev + z * n)
    c = known[f"h_{t}"] @ w["W_hc"] + w["b_c"]
    yield Quantity(f"c_{t}", f"h_{t} W_hc + b_c", c)
    yield Quantity(f"y_{t}", f"softmax(c_{t})", np.exp(c) / np.exp(c).sum())
    yield Quantity(f"L_{t}", f"-log y_{t}[{TEXT[t]}]", -np.log(known[f"y_{t}"][target]))


def _backward(t: int, w: Mapping[str, Array], known: Mapping[str, Array]) -> Iterator[Quantity]:
    """Step t, backward; the number of the differentiated line of the forward pass is the same."""
    h_prev, z, r, n = (known[f"{name}_{number}"] for name, number in _read_by(t))
    prev = f"h_{t - 1}"
    target = np.eye(len(SYMBOLS))[SYMBOLS.index(TEXT[t])]
    dc = known[f"y_{t}"] - target
    yield Quantity(f"dc_{t}", f"y_{t} - one-hot of {TEXT[t]!r}", dc)
    dh = dc @ w["W_hc"].T + known[f"from_{t + 1}"]
    later = f" + from_{t + 1}" if t == 1 else ""
    yield Quantity(f"dh_{t}", f"dc_{t} W_hc^T{later}", dh)
    yield Quantity(f"dn_{t}", f"dh_{t} * z_{t}", dh * z)
    yield Quantity(f"dz_{t}", f"dh_{t} * (n_{t} - {prev})", dh * (n - h_prev))
    dn_ = dh * z * (1 - n**2)
    yield Quantity(f"dn~_{t}", f"dn_{t} * (1 - n_{t}^2)", dn_)
    dz_ = known[f"dz_{t}"] * z * (1 - z)
    yield Quantity(f"dz~_{t}", f"dz_{t} * z_{t} (1 - z_{t})", dz_)
    drh = dn_ @ w["W_hn"].T
    yield Quantity(f"drh_{t}", f"dn~_{t} W_hn^T", drh)
    yield Quantity(f"dr_{t}", f"drh_{t} * {prev}", drh * h_prev)
    dr_ = drh * h_prev * r * (1 - r)
    yield Quantity(f"dr~_{t}", f"dr_{t} * r_{t} (1 - r_{t})", dr_)
    routes = {"direct": dh * (1 - z), "update": dz_ @ w["W_hz"].T}
    routes |= {"candidate": drh * r, "reset": dr_ @ w["W_hr"].T}
    formulas = f"dh_{t} * (1 - z_{t})", f"dz~_{t} W_hz^T", f"drh_{t} * r_{t}", f"dr~_{t} W_hr^T"
    for formula, (name, route) in zip(formulas, routes.items(), strict=True):
        yield Quantity(name, formula, route)
    symbol = "dh_0" if t == 1 else f"from_{t}"
    yield Quantity(symbol, "sum of the four routes", sum(routes.values(), np.zeros(2)))


def _read_by(t: int) -> list[tuple[str, int]]:
    return [("h", t - 1), ("z", t), ("r", t), ("n", t)]


def _weights(known: Mapping[str, Array]) -> Iterator[Quantity]:
    """The gradients of the weights, which both steps use: sums over the steps."""
    x = np.eye(len(SYMBOLS))[[SYMBOLS.index(symbol) for symbol in TEXT[:2]]]  # (T, V)
    read = {"z": ("h_0", "h_1"), "r": ("h_0", "h_1"), "n": ("rh_1", "rh_2")}
    for gate, names in read.items():
        da = np.stack([known[f"d{gate}~_1"], known[f"d{gate}~_2"]])  # (T, H)
        first, second = names
        formula = f"{first}^T d{gate}~_1 + {second}^T d{gate}~_2"
        yield Quantity(f"dW_h{gate}", formula, np.stack([known[name] for name in names]).T @ da)
        yield Quantity(f"dW_x{gate}", f"x_1^T d{gate}~_1 + x_2^T d{gate}~_2", x.T @ da)
        yield Quantity(f"db_{gate}", f"d{gate}~_1 + d{gate}~_2", da.sum(axis=0))
    h, dc = (np.stack([known[f"{name}_{t}"] for t in (1, 2)]) for name in ("h", "dc"))
    yield Quantity("dW_hc", "h_1^T dc_1 + h_2^T dc_2", h.T @ dc)
    yield Quantity("db_c", "dc_1 + dc_2", dc.sum(axis=0))


def _as_model(w: Mapping[str, Array]) -> tuple[Model, Window]:
    """Return the same network as a ``Model``, and the example's text as a window."""
    model = Model(len(SYMBOLS), 2, 1, np.float64)
    for name, array in model.params.items():
        owner, _, group = name.partition(".")
        if owner == "output":
            array[:] = w[group]
        else:
            array[:] = [
                w[f"{group}_{gate}" if group == "b" else f"{group}{gate}"] for gate in "zrn"
            ]
    ids = np.array([SYMBOLS.index(symbol) for symbol in TEXT])[:, None]  # (T+1, B)
    return model, Window(ids[:-1], ids[1:], np.array(H_0)[None, None], None)


def _check(model: Model, window: Window, known: Mapping[str, Array]) -> Iterator[Quantity]:
    """One entry of a gradient, and the quotient of losses that are computed forward only."""
    W_hz = dict(model.params.items())["layer1.W_h"][0]
    losses = []
    for sign, distance in (("+", NUDGE), ("-", -NUDGE)):
        W_hz[0, 0] += distance
        losses.append(np.array(loss_of(model, window)))
        W_hz[0, 0] -= distance
        yield Quantity(f"L({sign})", f"L at W_hz[1,1] {sign} {NUDGE}", losses[-1])
    quotient = (losses[0] - losses[1]) / (2 * NUDGE)
    yield Quantity("quotient", f"(L(+) - L(-)) / {2 * NUDGE}", quotient)
    yield Quantity("dW_hz[1,1]", "from above", known["dW_hz"][0, 0])


def _difference(model: Model, window: Window, gradients: Mapping[str, Array]) -> float:
    """Return the largest difference between gradients and those of the program."""
    found = {name.partition(".")[2]: array for name, array in gradients_of(model, window).items()}
    differences = [np.abs(found[name] - gradients[name]).max() for name in gradients]
    return float(np.max(differences))  # ``max`` would ignore nan
