"""A cell of two units that reads two characters: every number of both passes, to check by hand.

``worked_example.yaml`` has the equations and the numbers. The equations are evaluated as they are
shown, and at the end their gradients are compared with those of ``Model``.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml

from grucli.arguments import checked
from grucli.errors import ArgumentError
from grucli.nn.cells import in_words
from grucli.nn.gradcheck import Window, gradients_of, loss_of, named, states
from grucli.nn.model import Model
from grucli.nn.params import Array
from grucli.threads import blas_limited_to

SYMBOLS = TEXT = "abc"  # the example reads "ab" and predicts "bc"
MOST_UNITS, LARGEST = 8, 10.0  # what can be checked by hand
NUDGE = 0.001  # step of the difference quotient in the last section
ROUNDING = 1e-12  # largest difference between equal gradients, relative to numbers above 1
MEANING = {
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "log": np.log,
    "softmax": lambda c: np.exp(c - c.max()) / np.exp(c - c.max()).sum(),
    "one_hot": np.eye(len(SYMBOLS)),
    "x_1": np.array([[1, 0, 0]]),
    "x_2": np.array([[0, 1, 0]]),
}


class Quantity(NamedTuple):
    """A quantity of the example."""

    symbol: str  # with the number of the step
    formula: str  # how it is computed; empty if it is given
    value: Array  # a number, a vector or a matrix


class WorkedExample:
    """The quantities of both passes by section, and a comparison with the program."""

    def __init__(self, cell: str, values: Mapping[str, Any]) -> None:
        h_0 = values["h_0"]
        units = min(len(h_0), MOST_UNITS) if isinstance(h_0, list) and h_0 else 1
        self.model = Model(len(SYMBOLS), units, 1, np.float64, cell)
        ids = np.array([SYMBOLS.index(symbol) for symbol in TEXT])[:, None]  # (T+1, B)
        state = np.zeros((1, 1, self.model.state_size))
        self.window = Window(ids[:-1], ids[1:], state, None)
        arrays = named(cell, [*self.model.params.items(), *states(state)])
        self.given = {name.partition(".")[2]: array for name, array in arrays}  # of the program
        if unknown := ", ".join(values.keys() - self.given.keys()):
            raise ArgumentError("numbers", f"names {unknown}; there are {', '.join(self.given)}")
        self.sections: list[tuple[str, list[Quantity]]] = []  # each with its title
        self.values: dict[str, Array] = {}  # by symbol
        self.difference = np.nan  # the largest between these gradients and the program's
        self.begin("given")
        for name, array in self.given.items():
            shape = array.shape[-1:] if "_0" in name else array.shape
            self.add(name, "", _numbers(name, values[name], shape))
            array[...] = self.values[name]

    def begin(self, title: str) -> None:
        self.sections.append((title, []))

    def add(self, symbol: str, formula: str, value: Any) -> None:
        array = np.asarray(value)
        self.sections[-1][1].append(Quantity(symbol, formula, array))
        self.values[symbol] = array

    def compute(self, title: str, equations: str, *steps: int) -> None:
        """Enter what equations define: at a step, or as sums over several steps."""
        self.begin(title)
        read, predicted = TEXT[steps[0] - 1], TEXT[steps[0]]
        for equation in equations.splitlines():
            symbol, term = equation.split(" = ")
            formula = " + ".join(_at(t, term) for t in steps)
            value = self._evaluate(formula, x=SYMBOLS.index(read), y=SYMBOLS.index(predicted))
            symbol = _at(steps[0], symbol).replace("from_1", "dh_0").replace("carry_1", "dc_0")
            shown = formula.replace("[x]", f"[{read}]").replace("[y]", f"[{predicted}]")
            self.add(symbol, shown, value if "W_" in symbol else value[0])

    def compare(self) -> None:
        """Compare the gradients with the program's, and one entry with a quotient of losses."""
        self.begin("check of one entry")
        name = next(name for name in self.given if name.startswith("W_h"))
        W_h, losses = self.given[name], []
        for sign, distance in (("+", NUDGE), ("-", -NUDGE)):
            W_h[0, 0] += distance
            losses.append(loss_of(self.model, self.window))
            self.add(f"L({sign})", f"L at {name}[1,1] {sign} {NUDGE}", losses[-1])
            W_h[0, 0] -= distance
        self.add("quotient", f"(L(+) - L(-)) / {2 * NUDGE}", (losses[0] - losses[1]) / (2 * NUDGE))
        self.add(f"d{name}[1,1]", "from above", self.values[f"d{name}"][0, 0])
        differences = [
            np.abs(array - self.values[f"d{full_name.partition('.')[2]}"]).max()
            / max(1.0, np.abs(array).max())
            for full_name, array in gradients_of(self.model, self.window).items()
        ]
        self.difference = float(np.max(differences))  # ``max`` would ignore nan

    def _evaluate(self, formula: str, **places: int) -> Array:
        """The value of a formula, in which vectors are matrices of one row."""
        python = formula.replace("^T", ".T").replace("^2", "**2").replace("~", "_arg")
        python = re.sub(r"(?<=[\w\]]) (?=[A-Za-z])", " @ ", python)
        python = re.sub(r"(y_\d)\[y\]", r"\1[:, y]", python)
        rows = {name.replace("~", "_arg"): np.atleast_2d(one) for name, one in self.values.items()}
        with np.errstate(divide="ignore", over="ignore"):  # log(0), and sigmoid(-1000), are right
            value: Array = eval(python, {**MEANING, **rows, **places})
        return value

    @property
    def task(self) -> str:
        """What the example is, and how its formulas are to be read."""
        size = f"{self.model.H}-unit {in_words(self.model.cell)}"
        return (
            f"This {size} reads 'ab' and predicts 'bc'. * multiplies elementwise, ^T transposes, "
            "and dx is the gradient of the loss L = L_1 + L_2 with respect to x."
        )

    @property
    def agrees(self) -> bool:
        return self.difference <= ROUNDING

    def to_dict(self) -> dict[str, Any]:
        sections = [
            {"title": title, "quantities": [one._asdict() for one in quantities]}
            for title, quantities in self.sections
        ]
        return {"sections": sections, "difference": self.difference, "agrees": self.agrees}


def _at(t: int, formula: str) -> str:
    """A formula at step ``t``; nothing comes from a step after the last one."""
    if t == 2:
        formula = re.sub(r" \+ \w+_next", "", formula)
    formula = formula.replace("_prev", f"_{t - 1}").replace("_next", f"_{t + 1}")
    return re.sub(r"_t\b", f"_{t}", formula)


@blas_limited_to(1)
@checked
def worked_example(
    cell: Literal["gru", "lstm", "rnn"] = "gru", numbers: Mapping[str, Any] | None = None
) -> WorkedExample:
    """Compute the example of a cell, with numbers by name, and as many units as h_0 has."""
    source = yaml.safe_load(files("grucli.analysis").joinpath("worked_example.yaml").read_text())
    equations = source[cell]
    example = WorkedExample(cell, equations["numbers"] | dict(numbers or {}))
    for t in (1, 2):
        title = f"forward, step {t}: reads {TEXT[t - 1]!r}, predicts {TEXT[t]!r}"
        example.compute(title, equations["forward"], t)
    for t in (2, 1):
        example.compute(f"backward, step {t}", equations["backward"], t)
    example.compute("gradients of the weights", equations["weights"], 1, 2)
    example.compare()
    return example


def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    with suppress(ValueError, TypeError, OverflowError):
        array = np.array(value, np.float64)
        if array.shape == shape and np.abs(array).max() <= LARGEST:
            return array
    wanted = " rows of ".join(map(str, shape))
    limits = f"numbers from {-LARGEST:g} to {LARGEST:g}"
    size = "; h_0 has as many numbers as there are units" * (name != "h_0")
    raise ArgumentError("numbers", f"{name} must be {wanted} {limits}, not {value!r}{size}")
