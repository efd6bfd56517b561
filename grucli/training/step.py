"""What all processes and ranks of a run do together: a training step, and an evaluation."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from grucli.calibration import logit_scale
from grucli.config import Settings
from grucli.evaluation import Stopped, evaluate
from grucli.nn.dropout import Dropout
from grucli.nn.optim import Moments, clip_, decay_, parts
from grucli.nn.params import Array
from grucli.run.checkpoint import Checkpoint
from grucli.training.plan import DROPOUT, Plan
from grucli.training.processes import Shards
from grucli.training.schedules import learning_rate


class Gradient(NamedTuple):
    """The gradient of the mean loss per character of one window, of all ranks."""

    loss: float  # sum of the losses of its characters, in nats
    chars: int  # number of characters
    norm: float  # before clipping
    clipped: Array  # (P,); the next gradient overwrites it
    state: Array  # of this rank's streams after the window

    @property
    def finite(self) -> bool:
        """Whether the loss and the gradient are finite, so that weights may be updated."""
        return math.isfinite(self.loss) and math.isfinite(self.norm)


class TrainStep:
    """Trains on the next window, and changes ``checkpoint`` in place. It must be closed.

    Each rank applies equal updates to all parameters, and knows the states of its own streams.
    """

    def __init__(self, plan: Plan, checkpoint: Checkpoint) -> None:
        self.plan, self.checkpoint, self.ranks = plan, checkpoint, plan.ranks
        streams = plan.ranks.share(plan.windows.B)
        self.own = slice(streams.start, streams.stop)
        model, T, dropout = checkpoint.model, plan.windows.T, dropout_of(plan.settings, step=0)
        self.shards = Shards(model, T, streams, plan.workers, dropout, plan.products)

    def close(self) -> None:
        self.shards.close()

    def gradient(self) -> Gradient:
        """The gradient of the next window. Each epoch starts from the zero state."""
        step, windows = self.checkpoint.progress.step, self.plan.windows
        number, state = step % windows.per_epoch, self.checkpoint.state
        x, targets = windows.window(number)
        state = state if number else np.zeros_like(state)
        dropout, gradients = dropout_of(self.plan.settings, step), self.shards.loss_and_gradients
        loss, state, grads = gradients(x, targets, state, 1.0 / x.size, dropout)
        losses = np.array([loss])
        self.ranks.sum_(losses)
        self.ranks.sum_(grads.flat)
        norm = clip_(grads.flat, self.plan.settings.optim.clip, self.ranks.broadcast_)
        return Gradient(float(losses[0]), x.size, norm, grads.flat, state)

    def update(self, gradient: Gradient, used: float = 0.0) -> None:
        """Take the step, at the rate for the share of the budget that is ``used``."""
        checkpoint, optim = self.checkpoint, self.plan.settings.optim
        progress, params = checkpoint.progress, checkpoint.model.params
        lr = progress.lr_factor * learning_rate(optim, progress.step, used)
        progress.step += 1
        if not gradient.finite:  # skip the window
            checkpoint.state[:] = 0.0
            progress.skipped += 1
            progress.consecutive_nonfinite += 1
            return
        checkpoint.state[:, self.own] = gradient.state
        if optim.weight_decay:
            decay_(params, lr * optim.weight_decay)
        kernel, moments = self.plan.products.kernels.adam_, checkpoint.moments
        adam_ = partial(kernel, step=progress.updates, betas=optim.betas, eps=optim.eps)
        for factor, part in parts(params, optim.recurrent_lr, optim.input_lr):
            of_part = Moments(moments.m[part], moments.v[part])
            adam_(params.flat[part], gradient.clipped[part], of_part, lr=lr * factor)
        progress.consecutive_nonfinite = 0
        progress.loss_sum += gradient.loss
        progress.chars += gradient.chars
        progress.lr, progress.grad_norm = lr, gradient.norm

    def synchronize(self) -> None:
        """Give all ranks the state of the run that rank 0 has."""
        checkpoint, ranks = self.checkpoint, self.ranks
        if ranks.size == 1:
            return
        vars(checkpoint.progress).update(vars(ranks.exchange(checkpoint.progress)[0]))
        for array in (checkpoint.model.params.flat, checkpoint.moments.m, checkpoint.moments.v):
            ranks.broadcast_(array)
        ranks.broadcast_(checkpoint.state)

    def collect_states(self) -> None:
        """Give all ranks the states of all streams, before a checkpoint is written."""
        own, state = self.own, self.checkpoint.state
        everything = np.zeros_like(state)
        everything[:, own] = state[:, own]
        self.ranks.sum_(everything.view(np.int32))  # the other ranks have zeros there
        state[:] = everything

    def validation_loss(self, stop: Callable[[], bool]) -> float:
        """Fit the scale of the logits, and return the validation loss; raises ``Stopped``."""
        ranks, plan, model = self.ranks, self.plan, self.checkpoint.model
        ranks.check_equal(model.params.flat)
        exact = model.on(plan.products._replace(precision="float32"))
        # that of rank 0, whose processor may round in another way
        scale, *_ = ranks.exchange(logit_scale(exact, plan.splits.val))
        part = ranks.rank, ranks.size
        try:
            score = evaluate(exact.scaled(scale), plan.splits.val, plan.workers, stop, part=part)
            sums = np.array([score.nats, score.chars])
        except Stopped:
            sums = np.full(2, math.nan)
        ranks.sum_(sums)
        nats, chars = sums.tolist()
        if math.isnan(chars):
            raise Stopped
        self.checkpoint.progress.logit_scale = scale
        return float(nats / chars)


def dropout_of(settings: Settings, step: int) -> Dropout:
    model, seed = settings.model, (settings.train.seed, DROPOUT, step)
    return Dropout(model.dropout, seed, model.weight_dropout)
