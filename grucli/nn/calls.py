"""Calls of C functions at each step of a loop over time in compiled code (``compiled/loop``).

A call is a row of integers: the address of a function, its four arguments, by how much each
argument grows from one step to the next, its status after success, and its last status. Products of
oneDNN are called directly. Those of NumPy are called back in Python.
"""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ARGUMENTS = 4
COLUMNS = 3 + 2 * ARGUMENTS  # function, arguments, growth, status of success, last status
DONE = 1  # what a call of Python returns, unlike a call that Ctrl-C ended before its first line
_Function = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * ARGUMENTS)


class Calls(NamedTuple):
    """The calls of one step, in their order."""

    rows: npt.NDArray[np.int64]  # (calls, COLUMNS)
    check: Callable[[int], object]  # raises the error of a status that is no success
    kept: Any  # what must live as long

    def then(self, later: "Calls") -> "Calls":
        """These calls, followed by others of the same kind."""

        def check(status: int) -> None:
            self.check(status)
            later.check(status)

        return Calls(np.concatenate([self.rows, later.rows]), check, (self, later))


def row(function: Any, *arguments: int, growth: Sequence[int] = (), success: int = 0) -> list[int]:
    """The call of a C function of ctypes, with up to four arguments, and their growth."""
    filled = [[*some, *[0] * (ARGUMENTS - len(some))] for some in (arguments, growth)]
    address = ctypes.cast(function, ctypes.c_void_p).value or 0
    return [address, *filled[0], *filled[1], success, success]


def of_python(function: Callable[[int], object]) -> Calls:
    """The call of a Python function of the step."""
    errors: list[BaseException] = []

    def call(t: int, *_: int) -> int:
        try:
            function(t)
        except BaseException as error:  # Ctrl-C, too: C code would lose it
            errors.append(error)
            return -DONE
        return DONE

    def check(status: int) -> None:
        if errors:
            raise errors.pop()

    callback = _Function(call)
    rows = np.array([row(callback, growth=(1,), success=DONE)], np.int64)
    return Calls(rows, check, callback)


def execute(loop: Callable[..., object], calls: Sequence[Calls], *arrays: Any) -> None:
    """Run a compiled loop; raises the error of a call that failed."""
    for some in calls:
        some.rows[:, -1] = some.rows[:, -2]
    try:
        loop(*(some.rows for some in calls), *arrays)
    except RuntimeError:
        failed = [
            (some, row[-1]) for some in calls for row in some.rows.tolist() if row[-2] != row[-1]
        ]
        for some, status in failed:
            some.check(status)
        if failed:  # without an error: Ctrl-C ended a call of Python before its first line
            raise KeyboardInterrupt from None
        raise
