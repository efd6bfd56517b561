"""State resets: if a document begins at a step, the state before that step is zero.

A cell then reads k_t h_{t-1} instead of h_{t-1}. The reset mask k_t (B, 1) is 0 for the streams in
which a document begins at step t, and 1 for the others. The backward pass multiplies the gradient
of k_t h_{t-1} by k_t to get the gradient of h_{t-1}. If no document can begin, the mask is empty,
and nothing is copied or multiplied.
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
        before: the masked states that the steps read, (S, T, B, H); overwritten.
    """
    return _forward_steps(steps, reset_mask, states, before) if len(reset_mask) else steps


def _forward_steps(
    steps: Sequence[Any], reset_mask: Array, states: Array, before: Array
) -> Iterator[Any]:
    for t, step in enumerate(steps):
        np.multiply(states[:, t], reset_mask[t], out=before[:, t])
        yield step


def backward_steps(steps: Sequence[Any], reset_mask: Array, *gradients: Array) -> Iterable[Any]:
    """Yield the steps backward in time, and mask the gradients after each step.

    Args:
        steps: views of T steps.
        reset_mask: k, (T, B, 1), or empty.
        gradients: gradient of each part of the state, (B, H); updated in place.
    """
    return _backward_steps(steps, reset_mask, gradients) if len(reset_mask) else reversed(steps)


def _backward_steps(
    steps: Sequence[Any], reset_mask: Array, gradients: tuple[Array, ...]
) -> Iterator[Any]:
    for step, k in zip(reversed(steps), reset_mask[::-1], strict=True):
        yield step
        for gradient in gradients:
            gradient *= k
