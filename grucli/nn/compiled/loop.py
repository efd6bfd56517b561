"""What the compiled loops of all cells share: calls of products, and state resets."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from grucli.nn.calls import Calls, execute
from grucli.nn.cells.base import Cache, Cell
from grucli.nn.compiled.c_functions import call
from grucli.nn.compiled.compiler import compiled
from grucli.nn.params import Array

Arguments = tuple[Sequence[Calls], Sequence[Array]]


class CompiledCell(Cell):
    """A cell whose loops are compiled."""

    FORWARD: ClassVar[Any]
    """The forward loop, a function of calls and arrays."""

    def forward_arguments(self, w: Any, cache: Cache) -> Arguments:
        """Those of ``FORWARD``: the product of h; the reset mask (T, B, 1) and (..., B, H)."""
        s, before = cache.scratch, cache.before
        arrays = (cache.reset_mask, *cache.states, *before, *cache.a, *cache.saved, s)
        return (w.W_h.calls(before[0], s),), arrays

    def forward_loop(self, w: Any, cache: Cache) -> None:
        calls, arrays = self.forward_arguments(w, cache)
        execute(self.FORWARD, calls, *map(flat, arrays))


@compiled
def run(calls, t):
    """Execute the calls of step t; the first that fails ends the loop."""
    for k in range(len(calls)):
        c = calls[k]
        c[-1] = call(c[0], c[1] + t * c[5], c[2] + t * c[6], c[3] + t * c[7], c[4] + t * c[8])
        if c[-1] != c[-2]:
            raise RuntimeError("a call has failed")


@compiled
def mask(reset_mask, t, source, out):
    """Write ``source`` (B H,), times the reset mask of step t, to ``out``, if there are masks."""
    if len(reset_mask):
        B = reset_mask.shape[1]
        H = len(source) // B
        for b in range(B):
            for j in range(b * H, b * H + H):
                out[j] = source[j] * reset_mask[t, b]


def flat(array: Array) -> Array:
    """A view whose last axis is all numbers of a step, (..., B H), of an array (..., B, H)."""
    *others, B, H = array.shape
    return array.reshape(*others, B * H)


def each_step(array: Array, T: int) -> Array:
    """A view (T, B, H) of one array (B, H) for all steps."""
    return np.broadcast_to(array, (T, *array.shape))
