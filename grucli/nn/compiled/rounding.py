"""Rounding to bfloat16, as a C function."""

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.extending import intrinsic


@intrinsic
def _pointer(context, address, like):
    """An address as a pointer to numbers of the type of ``like``."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.int64, like), generate


@cfunc(types.int32(*[types.int64] * 4), cache=True)
def round_(source, out, count, _):
    """Round float32 numbers to bfloat16, to the nearest, ties to even."""
    bits = carray(_pointer(source, np.uint32(0)), count)
    rounded = carray(_pointer(out, np.uint16(0)), count)
    for i in range(count):
        x = bits[i]
        rounded[i] = (x + np.uint32(0x7FFF) + ((x >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return 0
