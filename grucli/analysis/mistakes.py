"""Mistakes in the backward pass, made on purpose to see the gradient check fail.

``mistakes.txt`` lists them. The tests make every mistake of every cell, and ``grucli gradcheck
--break`` makes one of them.
"""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from itertools import chain
from textwrap import dedent
from types import FunctionType, ModuleType
from typing import NamedTuple

import numpy as np

from grucli.errors import UsageError
from grucli.nn import functional, input_projection
from grucli.nn import model as model_module
from grucli.nn.cells import CELLS, Cell

SHARED = input_projection, model_module, functional  # what all cells use
ENTRY = r"^(.+)\n\? (.+)\n= (.+)\n! (.+)\n- (.+)\n\+ (.+)$"


class Mistake(NamedTuple):
    """A mistake: one place in the source of a module is replaced by something wrong."""

    name: str  # the derivative or the term that is wrong
    module: ModuleType
    right: str  # the place in the source
    wrong: str  # what replaces it
    meaning: str = ""  # a sentence
    formula: str = ""  # the right one
    wrong_formula: str = ""

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def mistakes(cell: str) -> list[Mistake]:
    """The mistakes that can be made with a cell: its own, and those of the whole model."""
    own = inspect.getmodule(type(CELLS[cell]))
    assert own is not None
    return [*_listed(own), *_biases(CELLS[cell]), *chain(*map(_listed, SHARED))]


def _listed(module: ModuleType) -> Iterator[Mistake]:
    listed = files("grucli.analysis").joinpath("mistakes.txt").read_text("utf-8")
    _, *sections = re.split(r"^== (.+)\n", listed, flags=re.MULTILINE)
    section = dict(zip(sections[::2], sections[1::2], strict=True)).get(module.__name__, "")
    for name, *words, right, wrong in re.findall(ENTRY, section, re.MULTILINE):
        yield Mistake(name, module, right, wrong, *words)


def _biases(cell: Cell) -> Iterator[Mistake]:
    """The bias of each gate left out."""
    right = "np.sum(dw.W_x, axis=1, out=dw.b)"
    for gate, (name, _) in enumerate(cell.by_gate("b", np.zeros(len(cell.GATES)))):
        formula = f"d{name} = sum over t of d{cell.GATES[gate] or 'a'}~_t"
        words = ("The gradient of this bias is left out.", formula, f"d{name} = 0")
        yield Mistake(name, input_projection, right, f"{right}; dw.b[{gate}] = 0", *words)


def find_mistake(cell: str, name: str) -> Mistake:
    """The mistake with a name, in full or as for a command line."""
    choices = mistakes(cell)
    for mistake in choices:
        if name in (mistake.name, mistake.slug):
            return mistake
    names = "\n".join(f"  {mistake.slug}" for mistake in choices)
    raise UsageError(f"there is no mistake {name!r} for the cell {cell}; there are:\n{names}")


@contextmanager
def make_mistake(mistake: Mistake) -> Iterator[None]:
    """Make a mistake in this process; at the end everything is right again."""
    function, namespace = _function_with(mistake), dict(vars(mistake.module))
    source = dedent(inspect.getsource(function))
    exec(source.replace(mistake.right, mistake.wrong), namespace)
    right, function.__code__ = function.__code__, namespace[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = right


def _function_with(mistake: Mistake) -> FunctionType:
    module, place = mistake.module, mistake.right
    found = inspect.getsource(module).count(place)
    assert found == 1, f"{place!r} occurs {found} times in the source"
    classes = [one for one in vars(module).values() if inspect.isclass(one)]
    functions = filter(
        inspect.isfunction, chain(*(vars(one).values() for one in (module, *classes)))
    )
    own = (one for one in functions if one.__code__.co_filename == module.__file__)
    return next(one for one in own if place in inspect.getsource(one))
