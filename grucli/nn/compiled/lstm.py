"""The loops of ``cells/lstm`` over time. Arrays of one step are (B H,), and ``s`` are products."""

import numpy as np

from grucli.nn.calls import execute
from grucli.nn.cells.base import Cache, Weights, recurrent_gradients
from grucli.nn.cells.lstm import LSTM
from grucli.nn.compiled.compiler import compiled
from grucli.nn.compiled.functions import sigmoid, tanh
from grucli.nn.compiled.loop import Arguments, CompiledCell, flat, mask, run
from grucli.nn.params import Array


@compiled
def forward(multiply_h, reset_mask, h, c, h_before, c_before, i, f, o, g, u, s):
    for t in range(len(i)):
        mask(reset_mask, t, h[t], h_before[t])
        mask(reset_mask, t, c[t], c_before[t])
        run(multiply_h, t)
        for k in range(s.shape[1]):
            i[t, k] = sigmoid(i[t, k] + s[0, k])  # (1)
            f[t, k] = sigmoid(f[t, k] + s[1, k])  # (2)
        for k in range(s.shape[1]):
            o[t, k] = sigmoid(o[t, k] + s[2, k])  # (3)
            g[t, k] = tanh(g[t, k] + s[3, k])  # (4)
        for k in range(s.shape[1]):
            c[t + 1, k] = f[t, k] * c_before[t, k] + i[t, k] * g[t, k]  # (5)
        for k in range(s.shape[1]):
            u[t, k] = tanh(c[t + 1, k])
            h[t + 1, k] = o[t, k] * u[t, k]  # (6)


@compiled
def backward(multiply, reset_mask, c_before, i, f, o, g, u, dh, dh_next, dc, s):
    one = i.dtype.type(1)
    for t in range(len(i) - 1, -1, -1):
        for k in range(s.shape[1]):
            d = dh_next[k] + dh[t, k]
            dc[k] += d * o[t, k] * (one - u[t, k] * u[t, k])  # (6) dc = dc + dh * o * (1 - u^2)
            o[t, k] = d * u[t, k] * o[t, k] * (one - o[t, k])  # (6) (3) do~ = dh * u * o (1 - o)
        for k in range(s.shape[1]):
            di, dg = dc[k] * g[t, k], dc[k] * i[t, k]  # (5)
            i[t, k] = di * i[t, k] * (one - i[t, k])  # (1) di~
            g[t, k] = dg * (one - g[t, k] * g[t, k])  # (4) dg~
        for k in range(s.shape[1]):
            df = dc[k] * c_before[t, k]  # (5)
            dc[k] *= f[t, k]  # route direct, from c to c: dc * f
            f[t, k] = df * f[t, k] * (one - f[t, k])  # (2) df~
        run(multiply, t)
        for k in range(s.shape[1]):
            dh_next[k] = s[0, k] + s[1, k] + s[2, k] + s[3, k]  # routes input to candidate
        mask(reset_mask, t, dh_next, dh_next)
        mask(reset_mask, t, dc, dc)


class CompiledLSTM(CompiledCell, LSTM):
    """The long short-term memory, whose loops are compiled."""

    FORWARD = staticmethod(forward)

    def forward_arguments(self, w: Weights, cache: Cache) -> Arguments:
        s, (h_before, c_before) = cache.scratch, cache.before
        arrays = (cache.reset_mask, *cache.states, h_before, c_before, *cache.a, *cache.saved, s)
        multiply_h = w.W_h.calls(h_before, s)
        return (multiply_h,), arrays

    def backward(self, w: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
        s, (h_before, c_before) = cache.scratch, cache.before
        dh_next, dc = np.array(np.split(dstate, 2, axis=-1), dh.dtype)  # (B, H)
        multiply = w.W_h.T.calls(cache.a, s)
        arrays = (cache.reset_mask, c_before, *cache.a, *cache.saved, dh, dh_next, dc, s)
        execute(backward, (multiply,), *map(flat, arrays))
        recurrent_gradients(w.W_h, dw.W_h, [h_before] * 4, cache.a)
        return np.concatenate([dh_next, dc], axis=-1)
