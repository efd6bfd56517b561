"""Sigmoid, softmax and the cross-entropy loss."""

import numpy as np

from grucli.nn.params import Array, Bools, Ids

HALF = np.array(0.5, np.float32)  # a Python number takes 0.2 us longer to find the type


def sigmoid_(a: Array) -> None:
    """Replace ``a`` by 1 / (1 + exp(-a)), as (1 + tanh(a / 2)) / 2, which does not overflow."""
    a *= HALF
    np.tanh(a, out=a)
    a *= HALF
    a += HALF


def log_softmax(c: Array) -> Array:
    """Log probabilities (N, V), in nats, of logits ``c`` (N, V)."""
    shifted: Array = c - c.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def softmax_cross_entropy_(c: Array, b_c: Array, targets: Ids, scale: float, db_c: Array) -> float:
    """Replace c (N, V) by the gradient at the logits, c + b_c; return L = -sum log y[target], nats.

    The gradient is that of ``scale * L``, which is ``scale * (y - target)``; it is added to
    ``db_c`` (V,), summed over the rows.
    """
    rows = np.arange(len(targets))
    c += b_c
    c -= c.max(axis=1, keepdims=True)
    target_logits = c[rows, targets]  # (N,)
    np.exp(c, out=c)
    total = c.sum(axis=1, keepdims=True)  # (N, 1)
    loss = float(np.log(total).sum(dtype=np.float64) - target_logits.sum(dtype=np.float64))
    c *= scale / total
    c[rows, targets] -= scale
    db_c += c.sum(axis=0)
    return loss


def score_rows(c: Array, b_c: Array, targets: Ids, log_probs: Array, correct: Bools) -> None:
    """Write log y[target] for logits c + b_c (N, V), and whether it is the largest; c is lost."""
    log_y = log_softmax(c + b_c)
    log_probs[:] = log_y[np.arange(len(log_y)), targets]
    correct[:] = log_y.argmax(axis=1) == targets
