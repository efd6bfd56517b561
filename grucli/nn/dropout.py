"""Dropout: outputs of layers, and recurrent weights, that are zeroed at random in training."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from grucli.nn.params import Array, Params


def dropout_masks(
    rng: np.random.Generator, rate: float, shape: Sequence[int], dtype: npt.DTypeLike
) -> Array:
    """Masks that zero each value with probability ``rate`` and scale the rest by 1/(1-rate)."""
    masks: Array = rng.random(tuple(shape), np.float32).astype(dtype, copy=False)
    np.greater_equal(masks, rate, out=masks)
    masks *= 1.0 / (1.0 - rate)
    return masks


def recurrent_masks(rng: np.random.Generator, rate: float, params: Params) -> dict[str, Array]:
    """A mask for each layer's ``W_h``, the same for all streams and steps (Merity et al. 2018)."""
    return {
        name: dropout_masks(rng, rate, W.shape, W.dtype)
        for name, W in params.items()
        if name.endswith(".W_h")
    }


def mask_(params: Params, masks: Mapping[str, Array]) -> None:
    """Multiply parameters, or gradients with respect to masked ones, by their masks."""
    for name, mask in masks.items():
        array = params[name]
        array *= mask
