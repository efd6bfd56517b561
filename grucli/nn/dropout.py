"""Dropout: in training, some outputs of layers and some recurrent weights are set to zero."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.nn.params import Array, Params

RECURRENT = (0, 1)  # end of the seed of recurrent masks; that of the outputs' masks has no such end


class Dropout(NamedTuple):
    """The dropout of one step. Streams have parts of one sequence of random numbers."""

    rate: float  # share of a layer's outputs that is dropped
    seed: tuple[int, ...]
    recurrent: float = 0.0  # share of recurrent weights that is dropped

    def of_outputs(self, masks: Array, T: int, streams: range) -> Array | None:
        """Masks of ``T`` steps of some streams, drawn into ``masks`` (L, T, B, H), or None."""
        if not self.rate:
            return None
        L, _, _, H = masks.shape
        generator = np.random.PCG64(self.seed)
        generator.advance(streams.start * _words(L * T * H))
        rng = np.random.Generator(generator)
        for number in range(len(streams)):
            masks[:, :T, number] = dropout_masks(rng, self.rate, (L, T, H), masks.dtype)
        return masks[:, :T]

    def of_weights(self, params: Params) -> dict[str, Array]:
        """The masks of the recurrent weights, by name."""
        if not self.recurrent:
            return {}
        rng = np.random.default_rng([*self.seed, *RECURRENT])
        return recurrent_masks(rng, self.recurrent, params)


def dropout_masks(
    rng: np.random.Generator, rate: float, shape: Sequence[int], dtype: npt.DTypeLike
) -> Array:
    """Masks that set values to zero with probability ``rate`` and scale others by 1/(1-rate)."""
    # each needs 16 random bits, which are drawn in half the time of a random number
    count = math.prod(shape)
    words = rng.bit_generator.random_raw(_words(count))
    bits = words.view(np.uint16)[:count].reshape(tuple(shape))
    dropped = min(round(rate * 2**16), 2**16 - 1)
    masks: Array = np.multiply(bits >= dropped, 1.0 / (1.0 - dropped / 2**16), dtype=dtype)
    return masks


def _words(count: int) -> int:
    """Random numbers of 64 bits for ``count`` values."""
    return -(-count // 4)


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
