"""Mistakes in the backward pass, made on purpose to see the gradient check fail.

``mistakes.txt`` lists them. The tests make every mistake of every cell, and ``grucli gradcheck
--break`` makes one of them.
"""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from types import FunctionType, ModuleType
from typing import NamedTuple

import numpy as np

from grucli.errors import UsageError
from grucli.nn import input_projection
from grucli.nn import model as model_module
from grucli.nn.cells import CELLS, Cell


class Mistake(NamedTuple):
    """A mistake: one place in the source of a module is replaced by something wrong."""

    name: str  # the derivative or the term that is wrong
    module: ModuleType
    right: str  # the place in the source
    wrong: str  # what replaces it

    @property
    def slug(self) -> str:
        """The name for a command line."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def mistakes(cell: str) -> list[Mistake]:
    """The mistakes that can be made with a cell: its own, and those of the whole model."""
    own = inspect.getmodule(type(CELLS[cell]))
    assert own is not None
    biases = _biases(CELLS[cell])
    return [*_listed(own), *biases, *_listed(input_projection), *_listed(model_module)]


def _listed(module: ModuleType) -> Iterator[Mistake]:
    listed = files("grucli.analysis").joinpath("mistakes.txt").read_text("utf-8")
    _, *sections = re.split(r"^== (.+)\n", listed, flags=re.MULTILINE)
    section = dict(zip(sections[::2], sections[1::2], strict=True)).get(module.__name__, "")
    for name, right, wrong in re.findall(r"^(.+)\n- (.+)\n\+ (.+)$", section, re.MULTILINE):
        yield Mistake(name, module, right, wrong)


def _biases(cell: Cell) -> Iterator[Mistake]:
    """The bias of each gate left out."""
    right = "np.sum(dw.W_x, axis=1, out=dw.b)"
    for gate, (name, _) in enumerate(cell.by_gate("b", np.zeros(len(cell.GATES)))):
        yield Mistake(name, input_projection, right, f"{right}; dw.b[{gate}] = 0")


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
    functions, wrong = _functions(mistake.module), _functions(_copy_with(mistake))
    right = {name: function.__code__ for name, function in functions.items()}
    try:
        for name, function in functions.items():
            function.__code__ = wrong[name].__code__
        yield
    finally:
        for name, function in functions.items():
            function.__code__ = right[name]


def _copy_with(mistake: Mistake) -> ModuleType:
    """A copy of a module with the mistake in its source."""
    module, source = mistake.module, inspect.getsource(mistake.module)
    found = source.count(mistake.right)
    assert found == 1, f"{mistake.right!r} occurs {found} times in the source"
    copy = ModuleType(module.__name__)
    source = source.replace(mistake.right, mistake.wrong)
    exec(compile(source, f"<{module.__name__} with a mistake>", "exec"), copy.__dict__)
    return copy


def _functions(module: ModuleType) -> dict[str, FunctionType]:
    """The functions that a module defines, also as methods, by qualified name."""
    classes = [one for one in vars(module).values() if inspect.isclass(one)]
    return {
        one.__qualname__: one
        for owner in (module, *classes)
        for one in vars(owner).values()
        if inspect.isfunction(one) and one.__module__ == module.__name__
    }
