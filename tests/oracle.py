"""The equations in scalar loops: slow, obvious, and independent of the package's arrays."""

import math

from grucli.nn.model import Model


def sigmoid(a: float) -> float:
    return 1.0 / (1.0 + math.exp(-a))


def gru_step(w, x: list[float], h_prev: list[float]) -> list[float]:  # type: ignore[no-untyped-def]
    """One step of one layer for one stream; x is the input row."""
    H, D = len(h_prev), len(x)

    def argument(gate: int, i: int, state: list[float]) -> float:
        from_state = sum(state[k] * w.W_h[gate, k, i] for k in range(H))
        from_input = sum(x[d] * w.W_x[gate, d, i] for d in range(D))
        return float(from_state + from_input + w.b[gate, i])

    z = [sigmoid(argument(0, i, h_prev)) for i in range(H)]
    r = [sigmoid(argument(1, i, h_prev)) for i in range(H)]
    rh = [r[i] * h_prev[i] for i in range(H)]
    n = [math.tanh(argument(2, i, rh)) for i in range(H)]
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
                h[layer][b] = gru_step(weights, below, h[layer][b])
                below = h[layer][b]
            c = [
                sum(below[i] * w.W_hc[i, v] for i in range(model.H)) + w.b_c[v]
                for v in range(model.V)
            ]
            total -= float(c[targets[t, b]]) - math.log(sum(math.exp(value) for value in c))
    return total, h
