"""Calls of C functions at each step of a loop over time in compiled code (``compiled/loop``).

A call is a row of integers: the address of a function, its four arguments, by how much each
argument grows from one step to the next, and its last status. Products of oneDNN are called
directly. Those of NumPy are called back in Python.
"""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ARGUMENTS = 4
COLUMNS = 2 + 2 * ARGUMENTS  # function, arguments, growth, status
FAILED = -1  # the status of a call that raised an error in Python
_Function = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * ARGUMENTS)


class Calls(NamedTuple):
    """The calls of one step, in their order; each returns a status, 0 for success."""

    rows: npt.NDArray[np.int64]  # (calls, COLUMNS)
    check: Callable[[int], object]  # raises the error of a status other than 0
    kept: Any  # what must live as long

    def then(self, later: "Calls") -> "Calls":
        """These calls, followed by others of the same kind."""
        return Calls(np.concatenate([self.rows, later.rows]), self.check, (self, later))


def table(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    return np.array(rows, np.int64)


def row(function: Any, *arguments: int, growth: Sequence[int] = ()) -> list[int]:
    """The call of a C function of ctypes, with up to four arguments, and their growth."""
    filled = [[*some, *[0] * (ARGUMENTS - len(some))] for some in (arguments, growth)]
    return [ctypes.cast(function, ctypes.c_void_p).value or 0, *filled[0], *filled[1], 0]


def of_python(function: Callable[[int], object]) -> Calls:
    """The call of a Python function of the step."""
    errors: list[BaseException] = []

    def call(t: int, *_: int) -> int:
        try:
            function(t)
        except BaseException as error:  # Ctrl-C, too: C code would lose it
            errors.append(error)
            return FAILED
        return 0

    def check(status: int) -> None:
        if status:
            raise errors.pop()

    callback = _Function(call)
    return Calls(table([row(callback, growth=(1,))]), check, callback)


def execute(loop: Callable[..., object], calls: Sequence[Calls], *arrays: Any) -> None:
    """Run a compiled loop; raises the error of a call that failed."""
    try:
        loop(*(some.rows for some in calls), *arrays)
    except RuntimeError:
        for some in calls:
            for status in some.rows[:, -1].tolist():
                some.check(status)
        raise
