"""The loops of ``cells/gru_after`` over time. Arrays of one step are (B H,), and ``s`` products."""

import numpy as np

from grucli.nn.calls import execute
from grucli.nn.cells.base import Cache, recurrent_gradients
from grucli.nn.cells.gru_after import GRUAfter, Weights
from grucli.nn.compiled.compiler import compiled
from grucli.nn.compiled.functions import sigmoid, tanh
from grucli.nn.compiled.loop import Arguments, CompiledCell, flat, mask, run
from grucli.nn.params import Array

# ---- the passes over the numbers of one step; each is vectorized by itself


@compiled
def gates(z, r, u, s_z, s_r, s_n, b_u):
    for i in range(len(z)):
        z[i] = sigmoid(z[i] + s_z[i])  # (1)
        r[i] = sigmoid(r[i] + s_r[i])  # (2)
        u[i] = s_n[i] + b_u[i]  # (3)


@compiled
def new_state(n, r, u, z, h_prev, h):
    for i in range(len(n)):
        n[i] = tanh(n[i] + r[i] * u[i])  # (4)
    for i in range(len(n)):
        h[i] = h_prev[i] + z[i] * (n[i] - h_prev[i])  # (5)


@compiled
def new_state_backward(dh, dh_next, h_prev, z, n):
    one = z.dtype.type(1)
    for i in range(len(z)):
        d = dh_next[i] + dh[i]
        dn = d * z[i]  # (5) dn = dh * z
        keep = one - z[i]
        dh_next[i] = d * keep  # route 1, direct: dh * (1 - z)
        z[i] = keep * (n[i] - h_prev[i]) * dn  # (5) (1) dz~ = dh * (n - h_{t-1}) * z (1 - z)
        n[i] = dn * (one - n[i] * n[i])  # (4) dn~ = dn * (1 - n^2)


@compiled
def reset_backward(n, r, u):
    one = r.dtype.type(1)
    for i in range(len(r)):
        du = n[i] * r[i]  # (4) du = dn~ * r
        r[i] = (one - r[i]) * u[i] * du  # (4) (2) dr~ = dn~ * u * r (1 - r)
        u[i] = du


@compiled
def add_gates(dh_next, s_z, s_r, s_n):
    for i in range(len(dh_next)):
        dh_next[i] += s_z[i] + s_r[i] + s_n[i]  # routes 2, update, 4, reset, and 3, candidate


# ---- the loops


@compiled
def forward(multiply_h, reset_mask, h, before, z, r, n, u, s, b_u):
    for t in range(len(z)):
        mask(reset_mask, t, h[t], before[t])
        run(multiply_h, t)
        gates(z[t], r[t], u[t], s[0], s[1], s[2], b_u)
        new_state(n[t], r[t], u[t], z[t], before[t], h[t + 1])


@compiled
def backward(multiply, reset_mask, before, z, r, n, u, dh, dh_next, s):
    for t in range(len(z) - 1, -1, -1):
        new_state_backward(dh[t], dh_next, before[t], z[t], n[t])
        reset_backward(n[t], r[t], u[t])
        run(multiply, t)
        add_gates(dh_next, s[0], s[1], s[2])
        mask(reset_mask, t, dh_next, dh_next)


class CompiledGRUAfter(CompiledCell, GRUAfter):
    """A GRU with the reset gate after the product, whose loops are compiled."""

    FORWARD = staticmethod(forward)

    def forward_arguments(self, w: Weights, cache: Cache) -> Arguments:
        calls, arrays = super().forward_arguments(w, cache)
        return calls, (*arrays, np.tile(w.b_u, (cache.scratch.shape[1], 1)))  # b_u is (B, H)

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
