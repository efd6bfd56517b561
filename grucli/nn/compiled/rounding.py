"""Rounding to bfloat16, as a C function."""

import numpy as np
from numba import carray, cfunc, types
from numba.extending import intrinsic

from grucli.nn.compiled.compiler import kept

SIXTEEN = np.uint32(16)  # bits of a float32 that bfloat16 has not


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


with kept() as cache:
    round_ = cfunc(types.int32(*[types.int64] * 4), cache=cache)(_round)
