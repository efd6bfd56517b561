"""State resets: if a document begins at a step, the state before that step is zero.

A cell then reads k_t h_{t-1} instead of h_{t-1}. The reset mask k_t (B, 1) is 0 for the streams in
which a document begins at step t, and 1 for the others. The backward pass multiplies the gradient
of k_t h_{t-1} by k_t to get the gradient of h_{t-1}. If no document can begin, the mask is empty,
and nothing is copied or multiplied.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from grucli.nn.params import Array


def forward_steps(
    steps: Sequence[Any], reset_mask: Array, states: Array, before: Array
) -> Iterator[Any]:
    """Yield the steps; write the masked ``states`` (S, T+1, B, H) that each reads to ``before``."""
    for t, step in enumerate(steps):
        if len(reset_mask):
            np.multiply(states[:, t], reset_mask[t], out=before[:, t])
        yield step


def backward_steps(steps: Sequence[Any], reset_mask: Array, *gradients: Array) -> Iterator[Any]:
    """Yield the steps backward in time, and mask the gradients (B, H) in place after each."""
    for t in reversed(range(len(steps))):
        yield steps[t]
        if len(reset_mask):
            for gradient in gradients:
                gradient *= reset_mask[t]
