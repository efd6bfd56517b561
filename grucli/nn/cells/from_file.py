"""A cell that a Python file outside of the package defines (``docs/adding-a-cell.md``)."""

import os
import sys
import traceback
from inspect import isclass
from pathlib import Path
from types import ModuleType

from grucli.errors import UsageError
from grucli.nn.cells import CELLS
from grucli.nn.cells.base import Cell

NEEDED = ("GATES", "BIAS", "ROUTES")  # what no cell has without defining it

FILES: dict[str, tuple[str, bytes]] = {}
"""Path and source of the file of each cell that is not the package's, by the name of the cell."""


def load_cell(path: str | os.PathLike[str]) -> str:
    """Run a Python file that defines a cell, and make the cell known; return its name.

    The file defines one class that inherits from ``Cell``; its name in lower case is that of the
    cell, as ``model.cell`` takes it. The file is a program: load only what you trust.

    Raises:
        UsageError: the file cannot be read, stops with an error, or defines no cell or several.
    """
    try:
        source = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise UsageError(f"{path}: the file of a cell cannot be read: {reason}") from None
    return define(os.fspath(path), source)


def define(path: str, source: bytes) -> str:
    """Run the source of a cell, and add the cell to ``CELLS``; return its name."""
    module = ModuleType(f"cell file {path}")
    sys.modules[module.__name__] = module  # ``inspect`` looks for it there
    try:
        exec(compile(source, path, "exec"), vars(module))
        classes = [one for one in vars(module).values() if isclass(one) and issubclass(one, Cell)]
        own = [one for one in classes if one.__module__ == module.__name__]
        made = {kind.__name__.lower(): kind() for kind in own}
    except Exception as error:
        raise error_in_file(error, path) or UsageError(f"{path}: {error}") from None
    if len(made) != 1:
        found = f"several cells ({', '.join(made)})" if made else "no cell"
        raise UsageError(f"{path}: defines {found}; it must define one class made from Cell")
    ((name, cell),) = made.items()
    try:
        _check(path, name, cell)
    except (AttributeError, TypeError) as error:  # GATES = 1, or a route that is no Route
        raise UsageError(f"{path}: {', '.join(NEEDED)} of the cell {name}: {error}") from None
    CELLS[name], FILES[name] = cell, (path, source)
    return name


def _check(path: str, name: str, cell: Cell) -> None:
    missing = [one for one in NEEDED if not len(getattr(cell, one, ()))]
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
    known = {*paths, *(path for path, _ in FILES.values())}
    words = f"{type(error).__name__}: {error}"
    for one in reversed(traceback.extract_tb(error.__traceback__)):
        if one.filename in known:
            return UsageError(f"{one.filename}, line {one.lineno}, in {one.name}: {words}")
    return None
