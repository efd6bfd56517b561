"""Where a new document begins within a window: the state before it is zero.

A cell's equations then hold with k_t h_{t-1} in place of h_{t-1}, where k_t (B, 1) is 0 for the
streams that begin a document at step t and 1 for the others; and a gradient with respect to that
is multiplied by k_t on its way to h_{t-1}. Without such steps nothing is copied or multiplied.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from grucli.nn.params import Array


def onward(steps: Sequence[Any], keep: Array, *states: tuple[Array, Array]) -> Iterable[Any]:
    """The steps in order; before each, what it starts from is made.

    Args:
        steps: views of T steps.
        keep: k, (T, B, 1), or empty where no document begins.
        states: each a part of the state, (T+1, B, H), and k times it, (T, B, H), overwritten.
    """
    return _onward(steps, keep, states) if len(keep) else steps


def _onward(
    steps: Sequence[Any], keep: Array, states: tuple[tuple[Array, Array], ...]
) -> Iterator[Any]:
    for t, step in enumerate(steps):
        for state, before in states:
            np.multiply(state[t], keep[t], out=before[t])
        yield step


def homeward(steps: Sequence[Any], keep: Array, *gradients: Array) -> Iterable[Any]:
    """The steps from the last to the first; after each, gradients are cut where it restarted.

    Args:
        steps: views of T steps.
        keep: as of ``onward``.
        gradients: of each part of the state; updated in place, (B, H).
    """
    return _homeward(steps, keep, gradients) if len(keep) else reversed(steps)


def _homeward(steps: Sequence[Any], keep: Array, gradients: tuple[Array, ...]) -> Iterator[Any]:
    for step, k in zip(reversed(steps), keep[::-1], strict=True):
        yield step
        for gradient in gradients:
            gradient *= k
