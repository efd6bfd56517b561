"""Temperature scaling: a factor of the logits, fitted on text that is not trained on.

A network that has read its training text often is too certain of other texts. One factor of all
logits, the inverse of a temperature, mends much of that and changes no order of probabilities (Guo
et al. 2017, "On Calibration of Modern Neural Networks").
"""

import math

import numpy as np

from grucli.nn.functional import log_softmax
from grucli.nn.model import Model, rows_at_once
from grucli.nn.params import Array, Ids, Indices, as_rows, chunks

ENOUGH = 1000  # symbols of a text on which a factor is fitted
STREAMS, STEPS, WINDOW = 16, 512, 32  # pieces, symbols of each at most, and those read at a time
CONTEXT = 128  # symbols that a piece reads before the first that counts
UPDATES, PRECISION = 8, 1e-3  # steps of Newton's method, at most; a smaller one is the last
LIMITS = (0.5, 2.0)  # factors that are allowed


def logit_scale(model: Model, ids: Ids) -> float:
    """The factor of the logits with the lowest loss on a text (N,); 1 for a short one."""
    if len(ids) < ENOUGH:
        return 1.0
    h, targets = _states(model, ids)
    w, scale = model.output(model.params), 1.0
    for _ in range(UPDATES):
        slope = curvature = 0.0
        for part in chunks(len(h), rows_at_once(model.V)):
            c = h[part] @ w.W_hc + w.b_c  # (n, V)
            y = np.exp(log_softmax(scale * c))
            mean = (y * c).sum(axis=1)
            # dL/dscale = E[c] - c[target]; its derivative is the variance of c
            slope += float((mean - c[np.arange(len(c)), targets[part]]).sum(dtype=np.float64))
            curvature += float(((y * c * c).sum(axis=1) - mean**2).sum(dtype=np.float64))
        before, scale = scale, float(np.clip(scale - slope / max(curvature, 1e-9), *LIMITS))
        if abs(scale - before) < PRECISION:
            break
    return round(scale, 3) if math.isfinite(scale) else 1.0


def _states(model: Model, ids: Ids) -> tuple[Array, Indices]:
    """States of the top layer (n, H) at places all over a text, and the symbols that follow."""
    T = min(STEPS, (len(ids) - 1) // STREAMS)
    starts = np.linspace(0, len(ids) - 1 - T, STREAMS).astype(np.intp)
    window = ids[starts + np.arange(T + 1)[:, None]].astype(np.intp)  # (T+1, B)
    state, packed = model.zero_state(STREAMS), model.packed(STREAMS, backward=False)
    states = np.empty((T, STREAMS, model.H), state.dtype)
    workspace = model.workspace(WINDOW, STREAMS)
    for steps in chunks(T, WINDOW):
        x = window[:T][steps]
        inputs, state = model.run(x, state, workspace.first(len(x)), packed=packed)
        states[steps] = inputs[-1]
    first = min(CONTEXT, T // 2)
    return as_rows(states[first:]), window[first + 1 :].ravel()
