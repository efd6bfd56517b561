"""Dynamic evaluation: a model predicts a segment of a text, then learns from it, then goes on.

This is the dynamic evaluation of Krause, Kahembwe, Murray and Renals, "Dynamic Evaluation of Neural
Sequence Models" (ICML 2018): gradient descent, scaled by the root mean square of each gradient,
with a decay to the trained weights. Their mean squares are those of the training text. Here they
are those of the segments so far, so that a model without its text can adapt too.
"""

import logging
import math
import time
from functools import cache

import numpy as np

from grucli.data.cache import check_file
from grucli.errors import ArgumentError
from grucli.evaluation import NOTHING, Score, Text
from grucli.nn.model import Model
from grucli.nn.optim import clip_, follow_
from grucli.nn.params import Ids
from grucli.threads import blas_limited_to

SEGMENT = 32  # symbols that are predicted with the same weights
TIMED = 300  # segments after which the remaining time is told
CLIP = 2.0  # maximum norm of a gradient; few are above it
RATE, DECAY = 1e-3, 2e-3  # good for the models and texts of docs/benchmarks.md
FURTHEST = 3  # times that the rate is halved or doubled, at most
DECAYS = (0.0, 1e-2)  # what is tried besides ``DECAY``

log = logging.getLogger(__name__)


@blas_limited_to(1)
def adapt(model: Model, ids: Ids, rate: float, decay: float) -> tuple[Score, Model]:
    """Predict a text as ``evaluate`` does, and learn from each segment after its prediction.

    Returns the score, and a copy of the model with the weights after the last segment. An update
    whose gradient is not finite is left out.
    """
    for name, value in (("rate", rate), ("decay", decay)):
        if not 0 <= value <= 1:
            raise ArgumentError(name, f"must be from 0 to 1, not {value}; 0.001 is usual")
    learner = model.astype(model.params.flat.dtype).on(model.backend)
    text = Text(ids, model.separator)
    trained, flat, grads = model.params.flat, learner.params.flat, learner.params.like()
    squares = np.zeros_like(flat)
    state, packed = learner.zero_state(1), learner.packed(1)
    workspace, total = learner.workspace(min(SEGMENT, text.predicted), 1), NOTHING
    began = time.perf_counter()
    for number, lo in enumerate(range(0, text.predicted, SEGMENT), 1):
        if number == TIMED:
            left = (time.perf_counter() - began) * (text.predicted / lo - 1)
            log.log(logging.INFO if left > 10 else logging.DEBUG, "about %.0f s to go", left)
        check_file(text.ids)
        read = text.at(np.arange(lo, min(lo + SEGMENT, text.predicted) + 1))[:, None]
        x, targets = read[:-1], read[1:]
        segment = x, targets, state, workspace.first(len(x))
        log_probs, correct, after = learner.score(*segment, packed)
        total += Score(len(x), -float(log_probs.sum(dtype=np.float64)), int(correct.sum()))
        with np.errstate(all="ignore"):  # a rate that is too high
            learner.loss_and_gradients(*segment, grads, scale=1 / len(x), packed=packed)
            norm = clip_(grads.flat, CLIP)
        if math.isfinite(norm) and rate:
            follow_(flat, grads.flat, squares, trained, step=number, rate=rate, decay=decay)
            packed.update()
        state = after
    return total, learner


def choose(model: Model, ids: Ids) -> tuple[float, float]:
    """The rate and the decay with the lowest loss on a text, of a few that are tried."""
    loss = cache(lambda rate, decay: adapt(model, ids, rate, decay)[0].loss)
    rate = RATE
    for factor in (0.5, 2.0):
        for _ in range(FURTHEST):
            if not loss(rate * factor, DECAY) < loss(rate, DECAY):  # or it is no number
                break
            rate *= factor
    return rate, min((DECAY, *DECAYS), key=lambda decay: loss(rate, decay))
