"""Adam, weight decay, clipping and dynamic evaluation, each over one flat buffer.

Hyperparameters are arguments. The only state are the moments, and sums of squares.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from grucli.nn.params import Array, Params, chunks

CHUNK = 2**14  # parameters updated at a time, so that they stay in the processor's cache
SMALLEST_SCALE = 1e-8  # eps of ``follow_``, against a division by zero


@dataclass(frozen=True)
class Moments:
    """Adam's moving averages of the gradient, ``m``, and of its square, ``v``; each (P,)."""

    m: Array
    v: Array

    @classmethod
    def like(cls, flat: Array) -> "Moments":
        return cls(np.zeros_like(flat), np.zeros_like(flat))


def _update_(
    flat: Array, gradient: Array, moments_m: Array, moments_v: Array, *factors: float
) -> None:
    """Adam for given factors; a ``new`` one is the share of the gradient in a moment."""
    new_m, new_v, rate, unbias_v, eps = factors
    for some in chunks(len(flat), CHUNK):
        theta, g, m, v = flat[some], gradient[some], moments_m[some], moments_v[some]
        m += new_m * (g - m)
        np.square(g, out=g)
        g -= v
        g *= new_v
        v += g
        np.sqrt(v, out=g)
        g /= unbias_v
        g += eps
        np.divide(m, g, out=g)
        g *= rate
        theta -= g


def adam_(
    flat: Array,
    gradient: Array,  # it is overwritten
    moments: Moments,
    *,
    step: int,  # the number of this update, from 1
    lr: float,
    betas: tuple[float, float],
    eps: float,
    update_: Callable[..., None] = _update_,  # or the same in another form
) -> None:
    """Update ``flat`` (P,) in place, with bias correction (Kingma and Ba 2015, algorithm 1)."""
    beta1, beta2 = betas
    unbias_m, unbias_v = 1 - beta1**step, math.sqrt(1 - beta2**step)
    arrays = flat, gradient, moments.m, moments.v
    update_(*arrays, 1 - beta1, 1 - beta2, lr / unbias_m, unbias_v, eps)


def parts(params: Params, between: float, first: float) -> Iterator[tuple[float, slice]]:
    """The factor of the learning rate of each parameter, and its part of the buffer, in order.

    The first W_x has ``first``; weights between units, which are W_h and other W_x, ``between``.
    """
    end = 0
    for name, array in params.items():
        end += array.size
        factor = between if name.endswith((".W_h", ".W_x")) else 1.0
        yield first if name == "layer1.W_x" else factor, slice(end - array.size, end)


def decay_(params: Params, share: float) -> None:
    """Reduce all weights, not biases, by a share of themselves (Loshchilov and Hutter 2019)."""
    for name, theta in params.items():
        if name.split(".")[-1].startswith("W"):
            theta *= 1 - share


def follow_(
    flat: Array,
    gradient: Array,
    squares: Array,
    trained: Array,
    *,
    step: int,
    rate: float,
    decay: float,
) -> None:
    """Update ``flat`` (P,) in place by a step of dynamic evaluation (Krause et al. 2018).

        theta <- theta - rate g / (sqrt(m) + eps) + decay (theta_0 - theta)

    ``trained`` is theta_0. m is the mean of g^2 over all steps; ``squares`` is the sum, to which
    that of ``step``, from 1, is added. ``gradient`` is overwritten.
    """
    for some in chunks(len(flat), CHUNK):
        theta, g, sums = flat[some], gradient[some], squares[some]
        sums += np.square(g)
        scale = np.sqrt(sums / step)
        scale += SMALLEST_SCALE
        g *= rate
        g /= scale
        theta += decay * (trained[some] - theta)
        theta -= g


def clip_(
    gradient: Array, limit: float, agree_: Callable[[Array], object] = lambda _: None
) -> float:
    """Scale ``gradient`` down to norm ``limit`` if its norm is larger; returns its old norm.

    Ranks ``agree_`` on the norm, which another processor may round in another way.
    """
    norms = np.array([math.sqrt(float(np.dot(gradient, gradient)))])
    agree_(norms)
    norm = float(norms[0])
    if norm > limit:
        gradient *= limit / norm
    return norm
