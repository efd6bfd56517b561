"""Functions with the interface of C, which the rows of ``nn/calls`` name by their addresses."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.extending import intrinsic

from grucli.nn.calls import ARGUMENTS
from grucli.nn.compiled.compiler import kept

SIXTEEN = np.uint32(16)  # bits of a float32 that bfloat16 has not
SIGNATURE = types.int32(*[types.int64] * ARGUMENTS)


@intrinsic
def call(context, address, a, b, c, d):
    """Call the C function at an address."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(64)] * ARGUMENTS)
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])

    return types.int32(*[types.int64] * (1 + ARGUMENTS)), generate


@intrinsic
def pointer(context, address, like):
    """An address as a pointer to numbers of the type of ``like``."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.int64, like), generate


def round_(source, out, count, _):
    """Round float32 numbers to bfloat16, to the nearest, ties to even."""
    bits = carray(pointer(source, np.uint32(0)), count)
    rounded = carray(pointer(out, np.uint16(0)), count)
    for i in range(count):
        x = bits[i]
        odd = (x >> SIXTEEN) & np.uint32(1)
        rounded[i] = (x + np.uint32(0x7FFF) + odd) >> SIXTEEN
    return 0


@cache
def c_function(function: Callable[..., int]) -> Any:
    """A function of four integers, for ctypes; it is compiled at the first use."""
    with kept() as cached:
        return cfunc(SIGNATURE, cache=cached)(function).ctypes
