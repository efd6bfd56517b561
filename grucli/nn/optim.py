"""Adam, Muon, weight decay, clipping and dynamic evaluation, each over one flat buffer.

Hyperparameters are arguments. The only state are the moments, and sums of squares.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from grucli.nn.params import Array, Params, chunks

CHUNK = 2**14  # parameters updated at a time, so that they stay in the processor's cache
SMALLEST_SCALE = 1e-8  # eps of ``follow_`` and ``orthogonalized``, against a division by zero


@dataclass(frozen=True)
class Moments:
    """Adam's moving averages of the gradient, ``m``, and of its square, ``v``; each (P,)."""

    m: Array  # the momentum of Muon, where it updates the parameters
    v: Array  # there zero

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


MOMENTUM = 0.95  # of Muon
QUINTIC = (3.4445, -4.7750, 2.0315)  # moves singular values of (0, 1] towards 1
ITERATIONS = 3  # 5 gave no lower losses (``docs/benchmarks.md``)
AS_ADAM = 0.2  # root mean square of an update by Adam, relative to the learning rate


def muon_(W: Array, gradient: Array, m: Array, lr: float) -> None:
    """Update matrices ``W`` (G, H, H) in place by Muon (Jordan et al. 2024).

        m <- 0.95 m + g
        W <- W - lr 0.2 sqrt(H) orthogonalized(g + 0.95 m)

    An orthogonal matrix has a root mean square of 1 / sqrt(H), so the factor makes the update as
    large as one by Adam (Liu et al. 2025). ``m`` is changed, too.
    """
    m *= MOMENTUM
    m += gradient
    W -= lr * AS_ADAM * math.sqrt(W.shape[-1]) * orthogonalized(gradient + MOMENTUM * m)


def recurrent_parts(params: Params) -> Iterator[tuple[tuple[int, ...], slice]]:
    """Parts of the buffer, in order: shapes of recurrent matrices, or () for what is between."""
    start = end = 0
    for name, array in params.items():
        if name.endswith(".W_h"):
            if end > start:
                yield (), slice(start, end)
            start = end + array.size
            yield array.shape, slice(end, start)
        end += array.size
    yield (), slice(start, end)


def orthogonalized(G: Array) -> Array:
    """Matrices (G, H, H) with the singular vectors of ``G``, and singular values about 1.

    With X = U S V^T, each iteration computes U p(S) V^T for p(s) = a s + b s^3 + c s^5.
    """
    a, b, c = QUINTIC
    norms = np.linalg.norm(G, axis=(1, 2), keepdims=True)
    X = G / (norms + SMALLEST_SCALE)
    for _ in range(ITERATIONS):
        A = X @ X.swapaxes(1, 2)
        X = a * X + (b * A + c * (A @ A)) @ X
    return X


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


def clip_(gradient: Array, limit: float) -> float:
    """Scale ``gradient`` down to norm ``limit`` if its norm is larger; returns its old norm."""
    norm = math.sqrt(float(np.dot(gradient, gradient)))
    if norm > limit:
        gradient *= limit / norm
    return norm
