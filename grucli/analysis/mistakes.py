"""Mistakes in the backward pass, made on purpose to see the gradient check fail.

``mistakes.txt`` lists them. The tests make every mistake of every cell, and ``grucli gradcheck
--break`` makes one of them.
"""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from types import ModuleType
from typing import NamedTuple

import numpy as np

from grucli.errors import UsageError
from grucli.nn import gradcheck, input_projection
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
def make_mistake(cell: str, mistake: Mistake) -> Iterator[None]:
    """Make a mistake in this process; at the end everything is right again."""
    wrong = changed_copy(mistake.module, mistake.right, mistake.wrong)
    if mistake.module is input_projection:
        users = [(vars(module), "project_backward") for module in (model_module, gradcheck)]
        value = wrong.project_backward
    elif mistake.module is model_module:
        users, value = [(vars(gradcheck), "Model")], wrong.Model
    else:
        users, value = [(CELLS, cell)], getattr(wrong, type(CELLS[cell]).__name__)()
    before = [names[name] for names, name in users]
    try:
        for names, name in users:
            names[name] = value
        yield
    finally:
        for (names, name), right in zip(users, before, strict=True):
            names[name] = right


def changed_copy(module: ModuleType, right: str, wrong: str) -> ModuleType:
    """A copy of a module with one place of its source changed."""
    source = inspect.getsource(module)
    assert source.count(right) == 1, f"{right!r} occurs {source.count(right)} times in the source"
    copy = ModuleType(module.__name__)
    copy.__dict__["__file__"] = module.__file__
    code = compile(source.replace(right, wrong), f"<{module.__name__} with a mistake>", "exec")
    exec(code, copy.__dict__)
    return copy
