"""Calls of C functions in a loop over time: what compiled code executes between its own passes.

A call is a row of ten integers: the address of a function, four arguments, and by how much each
argument and the address grow with the step t. So the products of oneDNN are called from compiled
code without Python, and those of other libraries by a function that calls Python back.
"""

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import carray, cfunc, types
from numba.extending import intrinsic

from grucli.nn.compiled.compiler import compiled

ARGUMENTS = 4
_INT = ir.IntType(64)
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * ARGUMENTS)


class Calls(NamedTuple):
    """The calls of each step."""

    rows: npt.NDArray[np.int64]  # (calls, 1 + 2 ARGUMENTS)
    kept: Any  # what must live as long


@intrinsic
def _call(context, address, a, b, c, d):  # type: ignore[no-untyped-def]
    """Call the C function at an address."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(ir.IntType(32), [_INT] * ARGUMENTS)
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.int32(*[types.int64] * (1 + ARGUMENTS)), generate


@compiled
def run(calls, t):  # type: ignore[no-untyped-def]
    """Execute the calls of step t, up to the first that reports a status other than 0."""
    for i in range(len(calls)):
        c = calls[i]
        status = _call(
            c[0], c[1] + t * c[5], c[2] + t * c[6], c[3] + t * c[7], c[4] + t * c[8]
        )
        if status:
            return status
    return 0
