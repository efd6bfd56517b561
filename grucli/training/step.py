"""One training step: the gradients of a window, and the update of the weights."""

import math
from typing import NamedTuple

import numpy as np

from grucli.config import Settings
from grucli.nn.optim import adam_, clip_, decay_, ema_
from grucli.nn.params import Array
from grucli.run.checkpoint import Checkpoint
from grucli.training.parallel import Dropout, Shards
from grucli.training.plan import DROPOUT, Plan
from grucli.training.ranks import ALONE, Ranks
from grucli.training.schedules import learning_rate


class Update(NamedTuple):
    """The result of training on one window.

    Attributes:
        loss: sum of the losses of its characters, in nats.
        chars: number of characters.
        lr: learning rate.
        grad_norm: norm of the gradient before clipping.
    """

    loss: float
    chars: int
    lr: float
    grad_norm: float

    @property
    def finite(self) -> bool:
        """Whether the loss and the gradient were finite, so that the weights were updated."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class TrainStep:
    """A function that trains on the next window: it updates the weights and returns the loss.

    It must be closed after use.

    Args:
        plan: the plan of the run.
        checkpoint: the state of the run; changed in place.
        ranks: the ranks that share each batch.
    """

    def __init__(self, plan: Plan, checkpoint: Checkpoint, ranks: Ranks = ALONE) -> None:
        self.plan, self.checkpoint, self.ranks = plan, checkpoint, ranks
        streams = ranks.share(plan.windows.B)
        self.own = slice(streams.start, streams.stop)
        self.shards = Shards(
            checkpoint.model,
            plan.windows.T,
            streams,
            plan.workers,
            products=plan.products,
            dropout=plan.settings.model.dropout > 0,
            weight_dropout=plan.settings.model.weight_dropout > 0,
        )

    def close(self) -> None:
        """End the worker processes."""
        self.shards.close()

    def __call__(self, progress: float = 0.0) -> Update:
        """Train on the next window.

        If its loss or gradient is not finite, the window is skipped: the weights stay unchanged,
        and the next window starts from the zero state.

        Args:
            progress: share of the budget that is used, 0 to 1; determines the learning rate.
        """
        checkpoint, optim = self.checkpoint, self.plan.settings.optim
        where = checkpoint.progress
        number = where.step % self.plan.windows.per_epoch
        if number == 0:
            checkpoint.state[:] = 0.0
        chars, loss, state, gradient = self._gradient(number, checkpoint.state, where.step)
        norm = clip_(gradient, optim.clip)
        lr = where.lr_factor * learning_rate(optim, where.step, progress)
        update = Update(loss, chars, lr, norm)
        if update.finite:
            self._apply(update, gradient)
            checkpoint.state[:, self.own] = state
        else:
            checkpoint.state[:] = 0.0
            where.note_skipped()
        return update

    def rehearse(self) -> None:
        """Compute the gradients of the first window and discard them."""
        self._gradient(0, np.zeros_like(self.checkpoint.state), 0)

    def _gradient(self, number: int, state: Array, step: int) -> tuple[int, float, Array, Array]:
        """Compute the gradient of the mean loss per character of a window.

        Returns:
            The number of characters and the sum of their losses, of all ranks; the states of this
            rank's streams after the window; and the gradient of all ranks, (P,).
        """
        x, targets = self.plan.windows.window(number)
        loss, state, grads = self.shards.loss_and_gradients(
            x[:, self.own],
            targets[:, self.own],
            state[:, self.own],
            1.0 / x.size,
            dropout_of(self.plan.settings, step),
        )
        losses = np.array([loss])
        self.ranks.sum_(losses)
        self.ranks.sum_(grads.flat)
        return x.size, float(losses[0]), state, grads.flat

    def _apply(self, update: Update, gradient: Array) -> None:
        """Update the weights and the progress."""
        optim, checkpoint = self.plan.settings.optim, self.checkpoint
        where, params, lr = checkpoint.progress, checkpoint.model.params, update.lr
        where.step += 1
        if optim.weight_decay:
            decay_(params, lr * optim.weight_decay)
        adam_(
            params.flat,
            gradient,
            checkpoint.moments,
            step=where.updates,
            lr=lr,
            betas=optim.betas,
            eps=optim.eps,
        )
        if checkpoint.ema is not None:
            ema_(checkpoint.ema.flat, params.flat, optim.ema, where.updates)
        where.consecutive_nonfinite = 0
        where.loss_sum += update.loss
        where.chars += update.chars
        where.lr, where.grad_norm = lr, update.grad_norm


def dropout_of(settings: Settings, step: int) -> Dropout | None:
    """The dropout of a step; None if the settings have none."""
    model = settings.model
    if not model.dropout and not model.weight_dropout:
        return None
    seed = (settings.train.seed, DROPOUT, step)
    return Dropout(model.dropout, seed, model.weight_dropout)
