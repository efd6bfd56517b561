"""The loops of ``cells/gru_after`` over time. Arrays of one step are (B H,), and ``s`` products."""

import numpy as np

from grucli.nn.calls import execute
from grucli.nn.cells.base import Cache, recurrent_gradients
from grucli.nn.cells.gru_after import GRUAfter, Weights
from grucli.nn.compiled.compiler import compiled
from grucli.nn.compiled.functions import sigmoid, tanh
from grucli.nn.compiled.loop import Arguments, CompiledCell, flat, mask, run
from grucli.nn.params import Array


@compiled
def forward(multiply_h, reset_mask, h, before, z, r, n, u, s, b_u):
    for t in range(len(z)):
        mask(reset_mask, t, h[t], before[t])
        run(multiply_h, t)
        for i in range(len(b_u)):
            z[t, i] = sigmoid(z[t, i] + s[0, i])  # (1)
            r[t, i] = sigmoid(r[t, i] + s[1, i])  # (2)
            u[t, i] = s[2, i] + b_u[i]  # (3)
        for i in range(len(b_u)):
            n[t, i] = tanh(n[t, i] + r[t, i] * u[t, i])  # (4)
            h[t + 1, i] = before[t, i] + z[t, i] * (n[t, i] - before[t, i])  # (5)


@compiled
def backward(multiply, reset_mask, before, z, r, n, u, dh, dh_next, s):
    one = z.dtype.type(1)
    for t in range(len(z) - 1, -1, -1):
        for i in range(len(dh_next)):
            d = dh_next[i] + dh[t, i]
            dn = d * z[t, i]  # (5) dn = dh * z
            keep = one - z[t, i]
            dh_next[i] = d * keep  # route 1, direct: dh * (1 - z)
            z[t, i] = keep * (n[t, i] - before[t, i]) * dn  # (5) (1) dz~
            n[t, i] = dn * (one - n[t, i] * n[t, i])  # (4) dn~
        for i in range(len(dh_next)):
            du = n[t, i] * r[t, i]  # (4) du = dn~ * r
            r[t, i] = (one - r[t, i]) * u[t, i] * du  # (4) (2) dr~
            u[t, i] = du
        run(multiply, t)
        for i in range(len(dh_next)):
            dh_next[i] += s[0, i] + s[1, i] + s[2, i]  # routes 2, update, 4, reset, 3, candidate
        mask(reset_mask, t, dh_next, dh_next)


class CompiledGRUAfter(CompiledCell, GRUAfter):
    """A GRU with the reset gate after the product, whose loops are compiled."""

    FORWARD = staticmethod(forward)

    def forward_arguments(self, w: Weights, cache: Cache) -> Arguments:
        s, (before,) = cache.scratch, cache.before
        b_u = np.tile(w.b_u, (s.shape[1], 1))  # (B, H)
        arrays = (cache.reset_mask, cache.h, before, *cache.a, *cache.saved, s, b_u)
        multiply_h = w.W_h.calls(before, s)
        return (multiply_h,), arrays

    def backward(self, w: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
        s, (before,), (u,) = cache.scratch, cache.before, cache.saved
        dh_next, (z, r, _) = np.array(dstate, dh.dtype), cache.a
        W_zr, W_n = w.W_h.T[:2], w.W_h.T[2:]
        multiply = W_zr.calls(cache.a[:2], s[:2]).then(W_n.calls(u, s[2:]))
        arrays = (cache.reset_mask, before, *cache.a, u, dh, dh_next, s)
        execute(backward, (multiply,), *map(flat, arrays))
        recurrent_gradients(w.W_h, dw.W_h, [before] * 3, (z, r, u))  # u holds its gradient now
        np.sum(u, axis=(0, 1), out=dw.b_u)
        return dh_next
