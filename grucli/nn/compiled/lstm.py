"""The loops of ``cells/lstm`` over time. Arrays of one step are (B H,), and ``s`` are products."""

import numpy as np

from grucli.nn.calls import execute
from grucli.nn.cells.base import Cache, Weights, recurrent_gradients
from grucli.nn.cells.lstm import LSTM
from grucli.nn.compiled.compiler import compiled
from grucli.nn.compiled.functions import sigmoid, tanh
from grucli.nn.compiled.loop import CompiledCell, flat, mask, run
from grucli.nn.params import Array

# ---- the passes over the numbers of one step; each is vectorized by itself


@compiled
def gate(a, s):
    for k in range(len(a)):
        a[k] = sigmoid(a[k] + s[k])  # (1) (2) (3)


@compiled
def new_cell(i, f, g, s_g, c_prev, c):
    for k in range(len(g)):
        g[k] = tanh(g[k] + s_g[k])  # (4)
    for k in range(len(g)):
        c[k] = f[k] * c_prev[k] + i[k] * g[k]  # (5)


@compiled
def new_state(o, c, u, h):
    for k in range(len(u)):
        u[k] = tanh(c[k])
    for k in range(len(u)):
        h[k] = o[k] * u[k]  # (6)


@compiled
def new_state_backward(dh, dh_next, dc, o, u):
    one = u.dtype.type(1)
    for k in range(len(u)):
        d = dh_next[k] + dh[k]
        dc[k] += d * o[k] * (one - u[k] * u[k])  # (6) dc = dc + dh * o * (1 - u^2)
        o[k] = d * u[k] * o[k] * (one - o[k])  # (6) (3) do~ = dh * u * o (1 - o)


@compiled
def new_cell_backward(dc, c_prev, i, f, g):
    one = g.dtype.type(1)
    for k in range(len(g)):
        di, df, dg = dc[k] * g[k], dc[k] * c_prev[k], dc[k] * i[k]  # (5)
        dc[k] *= f[k]  # route direct, from c to c: dc * f
        i[k] = di * i[k] * (one - i[k])  # (1) di~
        f[k] = df * f[k] * (one - f[k])  # (2) df~
        g[k] = dg * (one - g[k] * g[k])  # (4) dg~


@compiled
def add_gates(dh_next, s_i, s_f, s_o, s_g):
    for k in range(len(dh_next)):
        dh_next[k] = s_i[k] + s_f[k] + s_o[k] + s_g[k]  # routes input to candidate


# ---- the loops


@compiled
def forward(multiply_h, reset_mask, h, c, h_before, c_before, i, f, o, g, u, s):
    for t in range(len(i)):
        mask(reset_mask, t, h[t], h_before[t])
        mask(reset_mask, t, c[t], c_before[t])
        run(multiply_h, t)
        gate(i[t], s[0])
        gate(f[t], s[1])
        gate(o[t], s[2])
        new_cell(i[t], f[t], g[t], s[3], c_before[t], c[t + 1])
        new_state(o[t], c[t + 1], u[t], h[t + 1])


@compiled
def backward(multiply, reset_mask, c_before, i, f, o, g, u, dh, dh_next, dc, s):
    for t in range(len(i) - 1, -1, -1):
        new_state_backward(dh[t], dh_next, dc, o[t], u[t])
        new_cell_backward(dc, c_before[t], i[t], f[t], g[t])
        run(multiply, t)
        add_gates(dh_next, s[0], s[1], s[2], s[3])
        mask(reset_mask, t, dh_next, dh_next)
        mask(reset_mask, t, dc, dc)


class CompiledLSTM(CompiledCell, LSTM):
    """The long short-term memory, whose loops are compiled."""

    FORWARD = staticmethod(forward)

    def backward(self, w: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
        s, (h_before, c_before) = cache.scratch, cache.before
        dh_next, dc = np.array(np.split(dstate, 2, axis=-1), dh.dtype)  # (B, H)
        multiply = w.W_h.T.calls(cache.a, s)
        arrays = (cache.reset_mask, c_before, *cache.a, *cache.saved, dh, dh_next, dc, s)
        execute(backward, (multiply,), *map(flat, arrays))
        recurrent_gradients(w.W_h, dw.W_h, [h_before] * 4, cache.a)
        return np.concatenate([dh_next, dc], axis=-1)
