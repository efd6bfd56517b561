"""Functions with the interface of C, which the rows of ``nn/calls`` name by their addresses."""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.extending import intrinsic

from grucli.nn.calls import ARGUMENTS
from grucli.nn.compiled.compiler import compiled, kept

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
def _pointer(context, address, like):
    """An address as a pointer to numbers of the type of ``like``."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.int64, like), generate


def _round(source, out, count, _):
    """Round float32 numbers to bfloat16, to the nearest, ties to even."""
    bits = carray(_pointer(source, np.uint32(0)), count)
    rounded = carray(_pointer(out, np.uint16(0)), count)
    for i in range(count):
        x = bits[i]
        odd = (x >> SIXTEEN) & np.uint32(1)
        rounded[i] = (x + np.uint32(0x7FFF) + odd) >> SIXTEEN
    return 0


@compiled
def multiply_row(x, W, out):
    """Write x W to ``out`` (N,), for W (K, N); four rows of W at a time."""
    out[:] = 0
    whole = len(x) // 4 * 4
    for k in range(0, whole, 4):
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        for j in range(len(out)):
            out[j] += x0 * W[k, j] + x1 * W[k + 1, j] + (x2 * W[k + 2, j] + x3 * W[k + 3, j])
    for k in range(whole, len(x)):
        for j in range(len(out)):
            out[j] += x[k] * W[k, j]


def _multiply_row(source, weights, out, size):
    """``multiply_row`` of addresses in float32; ``size`` is K 2^32 + N."""
    K, N = size >> 32, size & 0xFFFFFFFF
    x = carray(_pointer(source, np.float32(0)), K)
    W = carray(_pointer(weights, np.float32(0)), (K, N))
    multiply_row(x, W, carray(_pointer(out, np.float32(0)), N))
    return 0


@cache
def c_function(name: str) -> Any:
    """``_round`` or ``_multiply_row`` for ctypes, compiled at the first use."""
    with kept() as cached:
        return cfunc(SIGNATURE, cache=cached)(globals()[name]).ctypes
