"""Documents that begin within a window: the state before such a step is zero.

A cell's equations then hold with k_t h_{t-1} in place of h_{t-1}, where the reset mask k_t (B, 1)
is 0 for the streams that begin a document at step t and 1 for the others. A gradient with respect
to k_t h_{t-1} is multiplied by k_t on its way to h_{t-1}. Where no document can begin, the mask is
empty, and nothing is copied or multiplied.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from grucli.nn.params import Array


def forward_steps(
    steps: Sequence[Any], reset_mask: Array, states: Array, before: Array
) -> Iterable[Any]:
    """Yield the steps forward in time, resetting states first.

    Args:
        steps: views of T steps.
        reset_mask: k, (T, B, 1), or empty.
        states: the parts of the state, (S, T+1, B, H).
        before: k times them, as the steps read them, (S, T, B, H); overwritten.
    """
    return _forward_steps(steps, reset_mask, states, before) if len(reset_mask) else steps


def _forward_steps(
    steps: Sequence[Any], reset_mask: Array, states: Array, before: Array
) -> Iterator[Any]:
    for t, step in enumerate(steps):
        np.multiply(states[:, t], reset_mask[t], out=before[:, t])
        yield step


def backward_steps(steps: Sequence[Any], reset_mask: Array, *gradients: Array) -> Iterable[Any]:
    """Yield the steps backward in time, cutting gradients after each step that reset its state.

    Args:
        steps: views of T steps.
        reset_mask: k, (T, B, 1), or empty.
        gradients: of each part of the state, (B, H); updated in place.
    """
    return _backward_steps(steps, reset_mask, gradients) if len(reset_mask) else reversed(steps)


def _backward_steps(
    steps: Sequence[Any], reset_mask: Array, gradients: tuple[Array, ...]
) -> Iterator[Any]:
    for step, k in zip(reversed(steps), reset_mask[::-1], strict=True):
        yield step
        for gradient in gradients:
            gradient *= k
