"""The equations in scalar loops: slow, obvious, and independent of the package's arrays."""

import math

from grucli.nn.model import Model


def sigmoid(a: float) -> float:
    return 1.0 / (1.0 + math.exp(-a))


def gru_step(w, x: list[float], h_prev: list[float], cell: str) -> list[float]:  # type: ignore[no-untyped-def]
    """One step of one layer for one stream; x is the input row."""
    H, D = len(h_prev), len(x)

    def from_state(gate: int, i: int, state: list[float]) -> float:
        return float(sum(state[k] * w.W_h[gate, k, i] for k in range(H)))

    def from_input(gate: int, i: int) -> float:
        return float(sum(x[d] * w.W_x[gate, d, i] for d in range(D)) + w.b[gate, i])

    z = [sigmoid(from_state(0, i, h_prev) + from_input(0, i)) for i in range(H)]
    r = [sigmoid(from_state(1, i, h_prev) + from_input(1, i)) for i in range(H)]
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
    h = [[list(map(float, state[layer, b])) for b in range(B)] for layer in range(model.L)]
    total = 0.0
    for t in range(T):
        for b in range(B):
            below = [1.0 if v == x[t, b] else 0.0 for v in range(model.V)]
            for layer, weights in enumerate(model.layers(model.params)):
                h[layer][b] = gru_step(weights, below, h[layer][b], model.cell)
                below = h[layer][b]
            c = [
                sum(below[i] * w.W_hc[i, v] for i in range(model.H)) + w.b_c[v]
                for v in range(model.V)
            ]
            total -= float(c[targets[t, b]]) - math.log(sum(math.exp(value) for value in c))
    return total, h
