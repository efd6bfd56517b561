"""Adam, clipping by global norm, and averaged weights, each over one flat buffer.

Hyperparameters are arguments; the moments are the state, and nothing else is.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from grucli.nn.params import Array, Params

PART = 2**14
"""Parameters updated at a time, so that a dozen operations on them find them in the cache."""


@dataclass(frozen=True)
class Moments:
    """Adam's running means of the gradients, ``m``, and of their squares, ``v``; each (P,)."""

    m: Array
    v: Array

    @classmethod
    def like(cls, flat: Array) -> "Moments":
        """Zeros for parameters ``flat``."""
        return cls(np.zeros_like(flat), np.zeros_like(flat))


def adam_(
    flat: Array,
    gradient: Array,
    moments: Moments,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
) -> None:
    """Update ``flat`` in place (Kingma and Ba 2015, algorithm 1; bias correction folded in).

    Args:
        flat: all parameters, (P,).
        gradient: their gradient, (P,); used as scratch.
        moments: state, updated in place.
        step: number of this update, from 1.
        lr: learning rate.
        betas: decay of the two moments.
        eps: added to the root of the second moment.
    """
    beta1, beta2 = betas
    unbias_m, unbias_v = 1 - beta1**step, math.sqrt(1 - beta2**step)
    for theta, g, m, v in _parts(flat, gradient, moments.m, moments.v):
        m += (1 - beta1) * (g - m)
        np.square(g, out=g)
        g -= v
        g *= 1 - beta2
        v += g
        np.sqrt(v, out=g)
        g /= unbias_v
        g += eps
        np.divide(m, g, out=g)
        g *= lr / unbias_m
        theta -= g


def decay_(params: Params, share: float) -> None:
    """Take a share off all weights, in place; biases stay.

    Decoupled from the gradient (Loshchilov and Hutter 2019): ``share`` is the learning rate times
    the weight decay, and Adam's moments know nothing of it.
    """
    for name, theta in params.items():
        if name.split(".")[-1].startswith("W"):
            theta *= 1 - share


def clip_(gradient: Array, limit: float) -> float:
    """Scale ``gradient`` down to norm ``limit`` where it is longer; returns the norm it had."""
    norm = math.sqrt(float(np.dot(gradient, gradient)))
    if norm > limit:
        gradient *= limit / norm
    return norm


def ema_(average: Array, flat: Array, decay: float, step: int) -> None:
    """Move ``average`` towards ``flat``; the decay grows from 0 so that early weights fade."""
    decay = min(decay, step / (step + 10))
    for mean, theta in _parts(average, flat):
        mean += (1 - decay) * (theta - mean)


def _parts(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Pieces of equally long buffers, one after the other."""
    for start in range(0, len(arrays[0]), PART):
        yield tuple(array[start : start + PART] for array in arrays)
