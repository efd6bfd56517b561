"""The loops of ``cells/rnn`` over time. Arrays of one step are (B H,), and ``s`` is a product."""

from grucli.nn.calls import execute
from grucli.nn.cells.base import Cache, Weights, recurrent_gradients
from grucli.nn.cells.rnn import RNN
from grucli.nn.compiled.compiler import compiled
from grucli.nn.compiled.functions import tanh
from grucli.nn.compiled.loop import CompiledCell, flat, mask, run
from grucli.nn.params import Array

# ---- the passes over the numbers of one step; each is vectorized by itself


@compiled
def new_state(a, s, h):
    for i in range(len(a)):
        h[i] = tanh(a[i] + s[i])  # (1)


@compiled
def new_state_backward(dh, dh_next, h, a):
    one = h.dtype.type(1)
    for i in range(len(h)):
        a[i] = (dh_next[i] + dh[i]) * (one - h[i] * h[i])  # (1) da = dh * (1 - h^2)


# ---- the loops


@compiled
def forward(multiply_h, reset_mask, h, before, a, s):
    for t in range(len(a)):
        mask(reset_mask, t, h[t], before[t])
        run(multiply_h, t)
        new_state(a[t], s[0], h[t + 1])


@compiled
def backward(multiply_a, reset_mask, h, a, dh, dh_next):
    for t in range(len(a) - 1, -1, -1):
        new_state_backward(dh[t], dh_next, h[t + 1], a[t])
        run(multiply_a, t)  # route 1, recurrent: dh = da W_h^T
        mask(reset_mask, t, dh_next, dh_next)


class CompiledRNN(CompiledCell, RNN):
    """The vanilla recurrent network, whose loops are compiled."""

    FORWARD = staticmethod(forward)

    def backward(self, w: Weights, dh: Array, dstate: Array, cache: Cache, dw: Weights) -> Array:
        (dh_next,) = cache.scratch
        dh_next[:] = dstate
        multiply_a = w.W_h.T.calls(cache.a, cache.scratch)
        arrays = (cache.reset_mask, cache.h, *cache.a, dh, dh_next)
        execute(backward, (multiply_a,), *map(flat, arrays))
        recurrent_gradients(w.W_h, dw.W_h, cache.before, cache.a)
        return dh_next.copy()
