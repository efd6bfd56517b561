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
    words = rng.integers(0, 2**64 - 1, _words(count), np.uint64, endpoint=True)
    bits = words.view(np.uint16)[:count].reshape(tuple(shape))
    dropped = min(round(rate * 2**16), 2**16 - 1)
    masks: Array = np.multiply(bits >= dropped, 1.0 / (1.0 - dropped / 2**16), dtype=dtype)
    return masks


def _words(count: int) -> int:
    """Random numbers of 64 bits for ``count`` values."""
    return -(-count // 4)


def draw_masks_(masks: Array, rate: float, seed: Sequence[int], streams: range) -> None:
    """Draw ``masks`` (L, T, B, H) for the B ``streams`` of a batch.

    A stream's masks depend on the seed and its index: all streams share a sequence of random
    numbers, and each has a part of it.
    """
    L, T, _, H = masks.shape
    generator = np.random.PCG64(seed)
    generator.advance(streams.start * _words(L * T * H))
    rng = np.random.Generator(generator)
    for stream in range(len(streams)):
        masks[:, :, stream] = dropout_masks(rng, rate, (L, T, H), masks.dtype)


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
