"""What rounding does to gradients: both passes again in float64, rounded as in another precision.

How far the gradients of two precisions differ depends on the operations: each can enlarge the
errors of those before it, and no formula tells by how much. So the passes are computed again, with
numbers that are rounded to fewer bits. Each sample rounds to the multiples of another number.
"""

import math
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from grucli.nn.model import Model
from grucli.nn.params import Array, Params


class Rounding(NamedTuple):
    """The significant bits of a precision."""

    factors: int  # of the factors of products
    results: int  # of the results of operations, and of the sums of products


# The bits of training by the precision of its products; everything else is in float32.
ROUNDING = {"float64": Rounding(53, 53), "float32": Rounding(24, 24), "bfloat16": Rounding(8, 24)}
INEXACT = 2  # bits that a result can lack: a library's tanh is not exact to the last bit


def rounded(model: Model, rounding: Rounding, seed: int) -> Model:
    """A copy in float64, rounded to multiples of a number of a seed; 0: as in training."""
    unit = float(np.random.default_rng(seed).uniform(1.0, 2.0)) if seed else 1.0

    def cut(array: Array, bits: float) -> Array:
        scaled = array * unit
        high = scaled * (2.0 ** round(53 - bits) + 1)  # Veltkamp 1968
        return (high - (high - scaled)) / unit

    class Rounded(np.ndarray[Any, Any]):
        """Numbers whose operations are rounded, and give such numbers again."""

        def __array_ufunc__(
            self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = (), **kwargs: Any
        ) -> Any:
            plain = [_plain(array) for array in inputs]
            if ufunc is np.matmul:  # it adds in blocks
                bits = rounding.results - math.log2(max(1, plain[0].shape[-1])) / 3
                plain = [cut(array, min(bits, rounding.factors)) for array in plain]
            elif ufunc is np.add and method == "reduce":  # it may add one by one
                bits = rounding.results - math.log2(max(1, plain[0].size)) / 2
                plain = [cut(plain[0], bits)]
            if out:
                kwargs["out"] = tuple(map(_plain, out))
            result = getattr(ufunc, method)(*plain, **kwargs)
            if method == "__call__" and ufunc is not np.matmul and result.dtype == np.float64:
                result[...] = cut(result, rounding.results - INEXACT)
            return out[0] if out else result.view(Rounded)

    other = copy(model)
    other.params = Params(model.params.shapes, np.float64, model.params.flat.view(Rounded))
    return other


def _plain(array: Any) -> Any:
    return array.view(np.ndarray) if isinstance(array, np.ndarray) else array
