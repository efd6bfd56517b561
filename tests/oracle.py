"""The equations in scalar loops: slow, obvious, and independent of the package's arrays."""

import math

from grucli.nn.model import Model


def sigmoid(a: float) -> float:
    return 1.0 / (1.0 + math.exp(-a))


Row = list[float]


def step(w, x: Row, state: Row, cell: str) -> Row:  # type: ignore[no-untyped-def]
    """One step of one layer for one stream; x is the input row, the state's parts are in a row."""
    H, D = w.W_h.shape[-1], len(x)
    h_prev = state[:H]

    def from_state(gate: int, i: int, state: Row) -> float:
        return float(sum(state[k] * w.W_h[gate, k, i] for k in range(H)))

    def from_input(gate: int, i: int) -> float:
        return float(sum(x[d] * w.W_x[gate, d, i] for d in range(D)) + w.b[gate, i])

    def argument(gate: int) -> Row:
        return [from_state(gate, i, h_prev) + from_input(gate, i) for i in range(H)]

    if cell == "rnn":
        return [math.tanh(a) for a in argument(0)]
    if cell == "lstm":
        i, f, o = ([sigmoid(a) for a in argument(gate)] for gate in range(3))
        g = [math.tanh(a) for a in argument(3)]
        c = [f[k] * state[H + k] + i[k] * g[k] for k in range(H)]
        return [o[k] * math.tanh(c[k]) for k in range(H)] + c
    z, r = ([sigmoid(a) for a in argument(gate)] for gate in range(2))
    if cell == "gru":
        rh = [r[i] * h_prev[i] for i in range(H)]
        n = [math.tanh(from_state(2, i, rh) + from_input(2, i)) for i in range(H)]
    else:
        u = [from_state(2, i, h_prev) + float(w.b_u[i]) for i in range(H)]
        n = [math.tanh(r[i] * u[i] + from_input(2, i)) for i in range(H)]
    return [(1 - z[i]) * h_prev[i] + z[i] * n[i] for i in range(H)]


def loss(model: Model, x, targets, state) -> tuple[float, list[list[list[float]]]]:  # type: ignore[no-untyped-def]
    """Sum of -log y[target] over all steps and streams, and the last state [layer][stream]."""
    w = model.output(model.params)
    T, B = targets.shape
    states = [[list(map(float, state[layer, b])) for b in range(B)] for layer in range(model.L)]
    total = 0.0
    for t in range(T):
        for b in range(B):
            below = [1.0 if v == x[t, b] else 0.0 for v in range(model.V)]
            for layer, weights in enumerate(model.layers(model.params)):
                states[layer][b] = step(weights, below, states[layer][b], model.cell)
                below = states[layer][b][: model.H]
            c = [
                sum(below[i] * w.W_hc[i, v] for i in range(model.H)) + w.b_c[v]
                for v in range(model.V)
            ]
            total -= float(c[targets[t, b]]) - math.log(sum(math.exp(value) for value in c))
    return total, states
