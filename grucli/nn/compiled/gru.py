"""The loops of ``cells/gru`` over time. Arrays of one step are (B H,), and ``s`` are products."""

import numpy as np

from grucli.nn.calls import execute
from grucli.nn.cells.base import Cache, Weights, recurrent_gradients
from grucli.nn.cells.gru import GRU
from grucli.nn.compiled.compiler import compiled
from grucli.nn.compiled.functions import sigmoid, tanh
from grucli.nn.compiled.loop import Arguments, CompiledCell, each_step, flat, mask, run
from grucli.nn.params import Array


@compiled
def forward(multiply_zr, multiply_n, reset_mask, h, before, z, r, n, s, rh):
    for t in range(len(z)):
        mask(reset_mask, t, h[t], before[t])
        run(multiply_zr, t)
        for i in range(len(rh)):
            z[t, i] = sigmoid(z[t, i] + s[0, i])  # (1)
            r[t, i] = sigmoid(r[t, i] + s[1, i])  # (2)
            rh[i] = r[t, i] * before[t, i]
        run(multiply_n, t)
        for i in range(len(rh)):
            n[t, i] = tanh(n[t, i] + s[2, i])  # (3)
            h[t + 1, i] = before[t, i] + z[t, i] * (n[t, i] - before[t, i])  # (4)


@compiled
def backward(multiply_n, multiply_zr, reset_mask, before, z, r, n, dh, dh_next, s):
    one = z.dtype.type(1)
    for t in range(len(z) - 1, -1, -1):
        for i in range(len(dh_next)):
            d = dh_next[i] + dh[t, i]
            dh[t, i] = r[t, i] * before[t, i]  # r h, saved for the gradient of W_hn
            dn = d * z[t, i]  # (4) dn = dh * z
            keep = one - z[t, i]
            dh_next[i] = d * keep  # route 1, direct: dh * (1 - z)
            z[t, i] = keep * (n[t, i] - before[t, i]) * dn  # (4) (1) dz~
            n[t, i] = dn * (one - n[t, i] * n[t, i])  # (3) dn~
        run(multiply_n, t)
        for i in range(len(dh_next)):
            drh = s[2, i] * r[t, i]  # (3) d(r h) * r
            dh_next[i] += drh  # route 3, candidate
            r[t, i] = drh * before[t, i] * (one - r[t, i])  # (2) dr~
        run(multiply_zr, t)
        for i in range(len(dh_next)):
            dh_next[i] += s[0, i] + s[1, i]  # routes 2, update, and 4, reset
        mask(reset_mask, t, dh_next, dh_next)


class CompiledGRU(CompiledCell, GRU):
    """A GRU whose loops are compiled."""

    FORWARD = staticmethod(forward)

    def forward_arguments(self, w: Weights, cache: Cache) -> Arguments:
        s, (before,) = cache.scratch, cache.before
        rh = np.empty_like(s[0])
        multiply_zr = w.W_h[:2].calls(before, s[:2])
        multiply_n = w.W_h[2:].calls(each_step(rh, len(before)), s[2:])
        arrays = (cache.reset_mask, cache.h, before, *cache.a, s, rh)
        return (multiply_zr, multiply_n), arrays

    def backward(self, w: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
        s, (before,), dh_next = cache.scratch, cache.before, np.array(dstate, dh.dtype)
        multiply_n = w.W_h.T[2:].calls(cache.a[2], s[2:])
        multiply_zr = w.W_h.T[:2].calls(cache.a[:2], s[:2])
        arrays = (cache.reset_mask, before, *cache.a, dh, dh_next, s)
        execute(backward, (multiply_n, multiply_zr), *map(flat, arrays))
        recurrent_gradients(w.W_h, dw.W_h, (before, before, dh), cache.a)
        return dh_next
