"""The loops of ``cells/gru`` over time. Arrays of one step are (B H,), and ``s`` are products."""

import numpy as np

from grucli.nn.calls import execute
from grucli.nn.cells.base import Cache, Weights, recurrent_gradients
from grucli.nn.cells.gru import GRU
from grucli.nn.compiled.compiler import compiled
from grucli.nn.compiled.functions import sigmoid, tanh
from grucli.nn.compiled.loop import Arguments, CompiledCell, each_step, flat, mask, run
from grucli.nn.params import Array

# ---- the passes over the numbers of one step; each is vectorized by itself


@compiled
def gates(z, r, s_z, s_r, h_prev, rh):
    for i in range(len(z)):
        z[i] = sigmoid(z[i] + s_z[i])  # (1)
        r[i] = sigmoid(r[i] + s_r[i])  # (2)
        rh[i] = r[i] * h_prev[i]


@compiled
def new_state(n, s_n, z, h_prev, h):
    for i in range(len(n)):
        n[i] = tanh(n[i] + s_n[i])  # (3)
    for i in range(len(n)):
        h[i] = h_prev[i] + z[i] * (n[i] - h_prev[i])  # (4)


@compiled
def new_state_backward(dh, dh_next, h_prev, z, r, n):
    one = z.dtype.type(1)
    for i in range(len(z)):
        d = dh_next[i] + dh[i]
        dh[i] = r[i] * h_prev[i]  # r h, saved for the gradient of W_hn
        dn = d * z[i]  # (4) dn = dh * z
        keep = one - z[i]
        dh_next[i] = d * keep  # route 1, direct: dh * (1 - z)
        z[i] = keep * (n[i] - h_prev[i]) * dn  # (4) (1) dz~ = dh * (n - h_{t-1}) * z (1 - z)
        n[i] = dn * (one - n[i] * n[i])  # (3) dn~ = dn * (1 - n^2)


@compiled
def reset_backward(dh_next, s_n, h_prev, r):
    one = r.dtype.type(1)
    for i in range(len(r)):
        drh = s_n[i] * r[i]  # (3) d(r h) * r
        dh_next[i] += drh  # route 3, candidate
        r[i] = drh * h_prev[i] * (one - r[i])  # (2) dr~ = d(r h) * h_{t-1} * r (1 - r)


@compiled
def add_gates(dh_next, s_z, s_r):
    for i in range(len(dh_next)):
        dh_next[i] += s_z[i] + s_r[i]  # routes 2, update, and 4, reset


# ---- the loops


@compiled
def forward(multiply_zr, multiply_n, reset_mask, h, before, z, r, n, s, rh):
    for t in range(len(z)):
        mask(reset_mask, t, h[t], before[t])
        run(multiply_zr, t)
        gates(z[t], r[t], s[0], s[1], before[t], rh)
        run(multiply_n, t)
        new_state(n[t], s[2], z[t], before[t], h[t + 1])


@compiled
def backward(multiply_n, multiply_zr, reset_mask, before, z, r, n, dh, dh_next, s):
    for t in range(len(z) - 1, -1, -1):
        new_state_backward(dh[t], dh_next, before[t], z[t], r[t], n[t])
        run(multiply_n, t)
        reset_backward(dh_next, s[2], before[t], r[t])
        run(multiply_zr, t)
        add_gates(dh_next, s[0], s[1])
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
