"""Adam, clipping by global norm, and averaged weights, each over one flat buffer.

Hyperparameters are arguments; the moments are the state, and nothing else is.
"""

import math
from dataclasses import dataclass

import numpy as np

from grucli.nn.params import Array


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
    m, v = moments.m, moments.v
    m += (1 - beta1) * (gradient - m)
    np.square(gradient, out=gradient)
    gradient -= v
    gradient *= 1 - beta2
    v += gradient
    np.sqrt(v, out=gradient)
    gradient /= math.sqrt(1 - beta2**step)
    gradient += eps
    np.divide(m, gradient, out=gradient)
    gradient *= lr / (1 - beta1**step)
    flat -= gradient


def clip_(gradient: Array, limit: float) -> float:
    """Scale ``gradient`` down to norm ``limit`` where it is longer; returns the norm it had."""
    norm = math.sqrt(float(np.dot(gradient, gradient)))
    if norm > limit:
        gradient *= limit / norm
    return norm


def average_(average: Array, flat: Array, decay: float, step: int) -> None:
    """Move ``average`` towards ``flat``; the decay grows from 0 so that early weights fade."""
    decay = min(decay, step / (step + 10))
    average += (1 - decay) * (flat - average)
