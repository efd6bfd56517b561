"""The training loop. It yields events and prints nothing.

A ``Plan`` is everything that is known before the first step; a ``Checkpoint`` is the state of
a run; a ``Trainer`` takes the one along the other. Random numbers of each purpose are functions
of (seed, purpose, step), so that evaluating or sampling more often changes nothing, and a resumed
run draws what the uninterrupted one would have drawn.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from grucli import evaluation
from grucli.checkpoint import Checkpoint
from grucli.errors import RunError
from grucli.optim import adam_, average_, clip_
from grucli.parallel import Dropout, Shards
from grucli.plan import DROPOUT, SAMPLES, Plan, random_stream
from grucli.runs import Metrics, RunDirectory
from grucli.sampling import Choice, sample_ids
from grucli.schedules import learning_rate
from grucli.vocabulary import Vocabulary

# ---- events ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stepped:
    """One update was made."""

    step: int
    loss: float
    chars_per_s: float
    progress: float
    remaining_s: float


@dataclass(frozen=True)
class Logged:
    """A row of the training loss was written."""

    row: Metrics


@dataclass(frozen=True)
class Evaluated:
    """The validation text was predicted; without one the training loss says what is best."""

    step: int
    epoch: float
    train_loss: float
    val_loss: float | None
    best: bool
    averaged: bool


@dataclass(frozen=True)
class Sampled:
    """A sample was made and written."""

    step: int
    text: bytes


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    path: Path


Event = Stepped | Logged | Evaluated | Sampled | Saved


# ---- the loop --------------------------------------------------------------------------------


class Trainer:
    """Takes a run from the state of a checkpoint to the end of its budget; to be closed after use.

    Args:
        plan: what to do.
        checkpoint: where the run stands; changed in place.
        run: where results are written.
        elapsed: seconds already used that the checkpoint does not know of.
        clock: seconds, monotonic.

    Attributes:
        finished: whether the run has come to its end, and was not stopped before.
    """

    def __init__(
        self,
        plan: Plan,
        checkpoint: Checkpoint,
        run: RunDirectory,
        elapsed: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.plan, self.checkpoint, self.run, self.clock = plan, checkpoint, run, clock
        windows = plan.windows
        self.shards = Shards(
            checkpoint.model,
            windows.T,
            windows.B,
            plan.workers,
            dropout=plan.settings.model.dropout > 0,
            recurrent_dropout=plan.settings.model.recurrent_dropout > 0,
        )
        self.started_at = clock() - elapsed - (checkpoint.progress.seconds or 0.0)
        self.saved_at = clock()
        self.evaluation_seconds = 0.0
        self.row_seconds, self.row_chars = 0.0, 0  # since the row before, in this process
        self.evaluated_step = -1
        self.finished = False

    def close(self) -> None:
        """End the worker processes."""
        self.shards.close()

    @property
    def elapsed(self) -> float:
        """Seconds since the run started."""
        return self.clock() - self.started_at

    @property
    def progress(self) -> float:
        """Share of the budget that is used, 0 to 1."""
        reserve = 1.2 * self.evaluation_seconds
        return self.plan.budget.progress(self.checkpoint.progress.step, self.elapsed, reserve)

    @property
    def out_of_patience(self) -> bool:
        """Whether the loss has not improved for as many evaluations as the settings allow."""
        patience = self.checkpoint.settings.train.patience
        return 0 < patience <= self.checkpoint.progress.stale

    def estimate(self) -> float:
        """Seconds that the rest will take, from a step that is computed and thrown away.

        It also tells how much time to reserve for an evaluation before there was one.
        """
        x, targets = self.plan.windows.window(0)
        state = np.zeros_like(self.checkpoint.state)
        for _ in range(2):  # the first pays for fresh memory
            began = self.clock()
            self.shards.loss_and_gradients(x, targets, state, 1.0, self._dropout(0))
            step_seconds = self.clock() - began
        evaluation_chars = len(self.plan.splits.val)
        self.evaluation_seconds = step_seconds / 2 * evaluation_chars / x.size
        if self.plan.budget.seconds is not None:
            return self.plan.budget.seconds - self.elapsed
        assert self.plan.budget.steps is not None
        steps = self.plan.budget.steps - self.checkpoint.progress.step
        return steps * step_seconds + steps / self.plan.eval_every * self.evaluation_seconds

    def train(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until the budget, patience, or ``stop`` says so; always leaves a checkpoint.

        Raises:
            RunError: the loss or the gradient is not finite.
        """
        where = self.checkpoint.progress
        begun = where.due
        if where.due:
            yield from self._after_step()
        while not where.step or (self.progress < 1 and not self.out_of_patience):
            begun = True
            yield self._step()
            if stop():
                where.due = True
                yield self._save(best=False)
                return
            yield from self._after_step()
        if begun and self.evaluated_step != where.step:
            yield from self._evaluate()
        self.finished = True

    def _after_step(self) -> Iterator[Event]:
        """What is due at this step: a row, an evaluation, a sample, a checkpoint."""
        where, train = self.checkpoint.progress, self.checkpoint.settings.train
        where.due = False
        if where.step % train.log_every == 0:
            yield from self._log()
        if train.sample_every and where.step % train.sample_every == 0:
            yield from self._sample()
        if where.step % self.plan.eval_every == 0:
            yield from self._evaluate()
        elif self.clock() - self.saved_at > 60 * train.save_minutes:
            yield self._save(best=False)

    def _step(self) -> Stepped:
        began = self.clock()
        optim, checkpoint, where = (
            self.plan.settings.optim,
            self.checkpoint,
            self.checkpoint.progress,
        )
        number = where.step % self.plan.windows.per_epoch
        if number == 0:
            checkpoint.state[:] = 0.0
        x, targets = self.plan.windows.window(number)
        loss, state, grads = self.shards.loss_and_gradients(
            x,
            targets,
            checkpoint.state,
            1.0 / x.size,  # for the gradient of the mean loss of a character
            self._dropout(where.step),
        )
        progress = self.progress
        lr, norm = learning_rate(optim, where.step, progress), clip_(grads.flat, optim.clip)
        self._check_finite(loss, norm)
        adam_(
            checkpoint.model.params.flat,
            grads.flat,
            checkpoint.moments,
            step=where.step + 1,
            lr=lr,
            betas=optim.betas,
            eps=optim.eps,
        )
        if checkpoint.average is not None:
            average_(
                checkpoint.average.flat, checkpoint.model.params.flat, optim.average, where.step + 1
            )
        checkpoint.state = state
        where.step += 1
        where.nats += loss
        where.chars += x.size
        where.lr, where.grad_norm = lr, norm
        seconds = self.clock() - began
        self.row_seconds += seconds
        self.row_chars += x.size
        remaining = self.elapsed / max(progress, 1e-9) * (1 - progress)
        return Stepped(where.step, loss / x.size, x.size / seconds, self.progress, remaining)

    def _dropout(self, step: int) -> Dropout | None:
        model = self.plan.settings.model
        if not model.dropout and not model.recurrent_dropout:
            return None
        seed = (self._seed, DROPOUT, step)
        return Dropout(model.dropout, seed, model.locked, model.recurrent_dropout)

    @property
    def _judge(self) -> str:
        """Which loss decides what is best."""
        return "val" if len(self.plan.splits.val) else "train"

    @property
    def _seed(self) -> int:
        return self.plan.settings.train.seed

    def _check_finite(self, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        saved = self.run.pointer("last")
        kept = f"; the checkpoint of step {saved['step']:,} is from before" if saved else ""
        lr = min(self.plan.settings.optim.lr / 2, 0.01)
        raise RunError(
            f"step {self.checkpoint.progress.step + 1:,}: the loss is {loss:.4g} and the norm of "
            f"its gradient {norm:.4g}{kept}; start again with a lower learning rate, such as "
            f"--set optim.lr={lr:g}"
        )

    def _row(self, split: Literal["train", "val"], loss: float, chars_per_s: float) -> Metrics:
        where, windows = self.checkpoint.progress, self.plan.windows
        epoch = where.step / windows.per_epoch
        row = Metrics(
            step=where.step,
            epoch=epoch,
            chars=round(epoch * windows.chars_per_epoch),
            split=split,
            loss=loss,
            bpc=loss / math.log(2),
            lr=where.lr,
            grad_norm=where.grad_norm,
            chars_per_s=chars_per_s,
            elapsed_s=self.elapsed,
        )
        self.run.append_metrics(row)
        return row

    def _log(self) -> Iterator[Logged]:
        """Write the mean training loss since the row before, if there was a step since."""
        where = self.checkpoint.progress
        if where.chars:
            speed = self.row_chars / self.row_seconds if self.row_seconds else 0.0
            self.row_seconds, self.row_chars = 0.0, 0
            where.train_loss = where.nats / where.chars
            where.nats, where.chars = 0.0, 0
            yield Logged(self._row("train", where.train_loss, speed))

    def _evaluate(self) -> Iterator[Event]:
        """Judge the weights, sample from them, save them."""
        yield from self._log()
        began = self.clock()
        where, checkpoint = self.checkpoint.progress, self.checkpoint
        loss = self._validation_loss()
        self._check_finite(loss, where.grad_norm)
        best = where.best_loss is None or loss < where.best_loss
        if best:
            where.best_loss, where.best_step, where.stale = loss, where.step, 0
        else:
            where.stale += 1
        if len(self.plan.splits.val):
            self._row("val", loss, 0.0)
        epoch = where.step / self.plan.windows.per_epoch
        val_loss = loss if len(self.plan.splits.val) else None
        yield Evaluated(
            where.step,
            epoch,
            where.train_loss,
            val_loss,
            best,
            checkpoint.use_average,
        )
        if not checkpoint.settings.train.sample_every:
            yield from self._sample()
        yield self._save(best=best)
        self.evaluated_step = where.step
        self.evaluation_seconds = self.clock() - began

    def _validation_loss(self) -> float:
        """The loss of the weights, or of the averaged ones where that is lower."""
        checkpoint, val = self.checkpoint, self.plan.splits.val
        if not len(val):
            return self.checkpoint.progress.train_loss
        checkpoint.use_average = False
        loss = evaluation.evaluate(checkpoint.model, val, self.plan.workers).loss
        if checkpoint.average is not None:
            checkpoint.use_average = True
            averaged = evaluation.evaluate(checkpoint.model_to_use(), val, self.plan.workers).loss
            checkpoint.use_average = averaged < loss
            loss = min(loss, averaged)
        return loss

    def _sample(self) -> Iterator[Sampled]:
        sample, checkpoint = self.plan.settings.sample, self.checkpoint
        if not sample.length:
            return
        step = checkpoint.progress.step
        seed = int(random_stream(self._seed, SAMPLES, step).integers(2**63))
        text = make_sample(checkpoint, checkpoint.vocabulary, seed)[1]
        self.run.write_sample(step, text)
        yield Sampled(step, text)

    def _save(self, *, best: bool) -> Saved:
        where = self.checkpoint.progress
        if where.seconds is not None:
            where.seconds = self.elapsed
        path = self.run.save(
            self.checkpoint,
            where.best_loss if best else None,
            best=best,
            keep=self.checkpoint.settings.train.keep,
        )
        self.run.update_info(
            step=where.step,
            best={"step": where.best_step, "loss": where.best_loss, "split": self._judge},
            elapsed_s=round(self.elapsed, 1),
        )
        self.saved_at = self.clock()
        return Saved(path)


def make_sample(
    checkpoint: Checkpoint, vocabulary: Vocabulary, seed: int
) -> tuple[npt.NDArray[np.intp], bytes]:
    """The ids of a sample as the settings ask for it, and its text with the prompt before it."""
    sample = checkpoint.settings.sample
    prompt = vocabulary.encode(sample.prompt)
    ids = sample_ids(
        checkpoint.model_to_use(),
        checkpoint.counts,
        prompt,
        length=sample.length,
        choice=Choice(sample.temperature),
        seed=seed,
    )
    return ids, vocabulary.decode(np.concatenate([prompt, ids]))
