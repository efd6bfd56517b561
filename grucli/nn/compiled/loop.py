"""What the compiled loops of all cells share: calls of products, and state resets."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from grucli.nn.calls import ARGUMENTS
from grucli.nn.compiled.compiler import compiled


@intrinsic
def _call(context, address, a, b, c, d):
    """Call the C function at an address."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(64)] * ARGUMENTS)
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])

    return types.int32(*[types.int64] * (1 + ARGUMENTS)), generate


@compiled
def run(calls, t):
    """Execute the calls of step t; the first whose status is not 0 ends the loop."""
    for k in range(len(calls)):
        c = calls[k]
        c[-1] = _call(c[0], c[1] + t * c[5], c[2] + t * c[6], c[3] + t * c[7], c[4] + t * c[8])
        if c[-1] != 0:
            raise RuntimeError("a call has failed")


@compiled
def mask(reset_mask, t, source, out):
    """Write ``source`` (B H,), times the reset mask of step t, to ``out``, if there are masks."""
    if len(reset_mask):
        B = reset_mask.shape[1]
        H = len(source) // B
        for b in range(B):
            for j in range(b * H, b * H + H):
                out[j] = source[j] * reset_mask[t, b]


def flat(array):
    """A view whose last axis is all numbers of a step, (..., B H), of an array (..., B, H)."""
    return array.reshape(*array.shape[:-2], -1)


def each_step(array, T):
    """A view (T, B, H) of one array (B, H) for all steps."""
    return np.broadcast_to(array, (T, *array.shape))
