"""A cell that a Python file outside of the package defines (``docs/adding-a-cell.md``)."""

import os
import sys
import traceback
from inspect import isclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from grucli.errors import UsageError
from grucli.nn.cells import CELLS
from grucli.nn.cells.base import Cell

NEEDED = ("GATES", "BIAS", "ROUTES")  # what no cell has without defining it


class CellFile(NamedTuple):
    """A file that defines a cell, as it was when it was read."""

    path: str
    source: bytes


FILES: dict[str, CellFile] = {}
"""The files of the cells that are not the package's, by the name of the cell."""


def load_cell(path: str | os.PathLike[str]) -> str:
    """Run a Python file that defines a cell, and make the cell known; return its name.

    The file defines one class that inherits from ``Cell``. The name of the class in lower case is
    the name of the cell, as ``model.cell`` takes it. The file is a program, which can do anything:
    load only a file that you trust.

    Raises:
        UsageError: the file cannot be read, stops with an error, or defines no cell or several.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise OSError("it is no file")
        return define(CellFile(os.fspath(path), Path(path).read_bytes()))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: the file of a cell cannot be read: {error}") from None


def define(file: CellFile) -> str:
    """Run the source of a cell, and add the cell to ``CELLS``; return its name."""
    module = ModuleType(f"cell file {file.path}")
    module.__file__ = file.path
    sys.modules[module.__name__] = module  # ``inspect`` looks for it there
    try:
        exec(compile(file.source, file.path, "exec"), vars(module))
        classes = [one for one in vars(module).values() if isclass(one) and issubclass(one, Cell)]
        own = [one for one in classes if one.__module__ == module.__name__]
        made = {kind.__name__.lower(): kind() for kind in own}
    except Exception as error:
        raise error_in_file(error, file.path) or UsageError(f"{file.path}: {error}") from None
    if len(made) != 1:
        found = f"several cells ({', '.join(made)})" if made else "no cell"
        raise UsageError(
            f"{file.path}: defines {found}; it must define one class that inherits from "
            "grucli.nn.cells.Cell"
        )
    ((name, cell),) = made.items()
    _check(file.path, name, cell)
    CELLS[name], FILES[name] = cell, file
    return name


def _check(path: str, name: str, cell: Cell) -> None:
    missing = [one for one in NEEDED if not hasattr(cell, one)]
    if name in CELLS.keys() - FILES.keys():
        problem = f"{name} is a cell of grucli; give the class another name"
    elif missing:
        problem = f"the cell {name} does not define {', '.join(missing)}"
    elif len(cell.BIAS) != len(cell.GATES):
        problem = f"GATES has {len(cell.GATES)} names and BIAS {len(cell.BIAS)} numbers"
    elif not {part for route in cell.ROUTES for part in (route.start, route.end)} <= {*cell.STATE}:
        problem = f"ROUTES names parts of the state that are not in STATE {cell.STATE}"
    else:
        return
    raise UsageError(f"{path}: {problem}")


def error_in_file(error: Exception, *paths: str) -> UsageError | None:
    """An error as a message with its line, if it arose in one of these files, or those loaded."""
    known = {*paths, *(file.path for file in FILES.values())}
    frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename in known]
    if not frames:
        return None
    *_, last = frames
    words = f"{type(error).__name__}: {error}"
    return UsageError(f"{last.filename}, line {last.lineno}, in {last.name}: {words}")
