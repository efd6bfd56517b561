"""Dropout: in training, some outputs of layers and some recurrent weights are set to zero."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from grucli.nn.params import Array, Params


def dropout_masks(
    rng: np.random.Generator, rate: float, shape: Sequence[int], dtype: npt.DTypeLike
) -> Array:
    """Masks that set each value to zero with probability ``rate`` and scale others by 1/(1-rate).

    The rate is rounded to a multiple of 1/65536. Each value then needs 16 random bits, which are
    drawn in half the time of a random number.
    """
    count = math.prod(shape)
    words = rng.integers(0, 2**64 - 1, -(-count // 4), np.uint64, endpoint=True)
    bits = words.view(np.uint16)[:count].reshape(tuple(shape))
    dropped = min(round(rate * 2**16), 2**16 - 1)
    masks: Array = np.multiply(bits >= dropped, 1.0 / (1.0 - dropped / 2**16), dtype=dtype)
    return masks


def recurrent_masks(rng: np.random.Generator, rate: float, params: Params) -> dict[str, Array]:
    """A mask for each layer's ``W_h``, the same for all streams and steps (Merity et al. 2018)."""
    return {
        name: dropout_masks(rng, rate, W.shape, W.dtype)
        for name, W in params.items()
        if name.endswith(".W_h")
    }


def mask_(params: Params, masks: Mapping[str, Array]) -> None:
    """Multiply parameters, or gradients with respect to masked parameters, by their masks."""
    for name, mask in masks.items():
        array = params[name]
        array *= mask
