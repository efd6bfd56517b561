"""The functions of ``nn/functional``, ``nn/input_projection`` and ``nn/optim``, compiled."""

import math

from grucli.nn.compiled.compiler import compiled, compiled_exact
from grucli.nn.compiled.functions import exp, largest, total


@compiled
def _softmax_(row, b_c, target):
    """Replace c by exp(logit - largest); return log y[target] in nats, and the sum of the row."""
    for j in range(len(row)):
        row[j] += b_c[j]
    high, at_target = largest(row), row[target]
    for j in range(len(row)):
        row[j] = exp(row[j] - high)
    sum_ = total(row)
    return (at_target - high) - math.log(sum_), sum_


@compiled
def softmax_cross_entropy_(c, b_c, targets, scale, db_c):
    loss, scale = 0.0, c.dtype.type(scale)
    for i in range(len(c)):
        row = c[i]
        log_y, sum_ = _softmax_(row, b_c, targets[i])
        loss -= log_y
        for j in range(len(row)):
            row[j] *= scale / sum_
        row[targets[i]] -= scale
        for j in range(len(row)):
            db_c[j] += row[j]
    return loss


@compiled
def score_rows(c, b_c, targets, log_probs, correct):
    for i in range(len(c)):
        row, target = c[i], targets[i]
        log_probs[i], _ = _softmax_(row, b_c, target)
        correct[i] = row[target] == 1  # exp(0)
        for j in range(target):
            correct[i] &= row[j] != 1  # of equal ones, the first is the most probable


@compiled
def sum_rows(dW_x, ids, da):
    dW_x[:] = 0
    for i in range(len(ids)):
        sums, row = dW_x[ids[i]], da[i]
        for j in range(len(row)):
            sums[j] += row[j]


@compiled_exact
def adam_(flat, gradient, m, v, new_m, new_v, rate, unbias_v, eps):
    number = flat.dtype.type
    new_m, new_v, rate = number(new_m), number(new_v), number(rate)
    unbias_v, eps = number(unbias_v), number(eps)
    for i in range(len(flat)):
        g = gradient[i]
        m[i] += new_m * (g - m[i])
        v[i] += new_v * (g * g - v[i])
        flat[i] -= rate * (m[i] / (math.sqrt(v[i]) / unbias_v + eps))
