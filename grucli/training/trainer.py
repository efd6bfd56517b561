"""The training loop. It yields events and prints nothing.

A ``Plan`` is everything that is known before the first step; a ``Checkpoint`` is the state of
a run; a ``Trainer`` takes the one along the other. Random numbers of each purpose are functions
of (seed, purpose, step), so that evaluating or sampling more often changes nothing, and a resumed
run draws what the uninterrupted one would have drawn.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from grucli import evaluation
from grucli.data.vocabulary import Vocabulary
from grucli.errors import CheckpointError, DivergedError
from grucli.files import TRANSIENT
from grucli.nn.optim import adam_, clip_, decay_, ema_
from grucli.nn.params import Array
from grucli.sampling import Sampler, sample_ids
from grucli.storage import checkpoint as checkpoints
from grucli.storage.checkpoint import Checkpoint
from grucli.storage.directory import RunDirectory
from grucli.storage.info import Metrics
from grucli.training.parallel import Dropout, Shards
from grucli.training.plan import DROPOUT, SAMPLES, Plan, random_stream
from grucli.training.schedules import learning_rate

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
class Skipped:
    """An update was left out because the loss or its gradient was not finite."""

    step: int
    loss: float
    grad_norm: float


@dataclass(frozen=True)
class RolledBack:
    """The run went back to its last evaluation, to go on with lower learning rates."""

    problem: str
    step: int
    lr_factor: float


@dataclass(frozen=True)
class NotWritten:
    """A file could not be written; the run goes on and tries again."""

    path: Path
    reason: str
    safe_step: int


@dataclass(frozen=True)
class Logged:
    """A row of the training loss was written."""

    row: Metrics


@dataclass(frozen=True)
class Evaluating:
    """The validation text is about to be predicted, which may take a while."""

    step: int


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


Event = (
    Stepped | Skipped | RolledBack | NotWritten | Logged | Evaluating | Evaluated | Sampled | Saved
)

NONFINITE_STEPS = 5
"""Consecutive non-finite steps before the run counts as diverged."""

LR_FACTOR = 0.25
"""What learning rates are multiplied by after going back."""

RETRY_MINUTES = 1.0
"""Minutes after which a checkpoint that could not be written is tried again."""


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
            weight_dropout=plan.settings.model.weight_dropout > 0,
        )
        self.started_at = clock() - elapsed - (checkpoint.progress.seconds or 0.0)
        self.saved_at = clock()
        self.evaluation_seconds = 0.0
        self.row_seconds, self.row_chars = 0.0, 0  # since the row before, in this process
        self.saved_step = -1
        # rows, samples and run.json that wait while a disk is full
        self.unwritten: deque[Callable[[], object]] = deque()
        self.stop: Callable[[], bool] = lambda: False
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
        return 0 < patience <= self.checkpoint.progress.evaluations_since_best

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
        evaluations = -(-steps // self.plan.eval_every) + 1  # one more on text that was seen
        return steps * step_seconds + evaluations * self.evaluation_seconds

    def train(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until the budget, patience, or ``stop`` says so; always leaves a checkpoint.

        A run that diverges goes back to its last evaluation, once, with lower learning rates.

        Raises:
            RunError: it diverged again, or before its first evaluation; or the lock is lost.
            OSError: a file cannot be written, and that will not pass or is the end of the run.
        """
        self.stop = stop
        while True:
            try:
                yield from self._train()
                return
            except DivergedError as problem:
                yield self._roll_back(problem)
            except evaluation.Stopped:
                yield from self._save_what_is_due()
                return

    def _train(self) -> Iterator[Event]:
        where = self.checkpoint.progress
        begun = where.due
        if where.due:
            yield from self._after_step()
        while not where.step or (self.progress < 1 and not self.out_of_patience):
            begun = True
            yield self._step()
            if self.stop():
                yield from self._save_what_is_due()
                return
            yield from self._after_step()
        if begun and not where.of_evaluation:
            yield from self._evaluate(last_chance=True)
        elif begun and self.saved_step != where.step:
            yield from self._save(best=False, last_chance=True)
        self.finished = True

    def _save_what_is_due(self) -> Iterator[Event]:
        """Stop here; what belongs to this step is done when the run is resumed."""
        self.checkpoint.progress.due = True
        yield from self._save(best=False, last_chance=True)

    def _after_step(self) -> Iterator[Event]:
        """What is due at this step: a row, an evaluation, a sample, a checkpoint."""
        where, train = self.checkpoint.progress, self.checkpoint.settings.train
        where.due = False
        if where.step % train.log_every == 0:
            yield from self._log()
        if train.sample_every and where.step % train.sample_every == 0:
            yield from self._write_sample(self._sample_text())
        if where.step % self.plan.eval_every == 0:
            yield from self._evaluate(last_chance=self.progress >= 1)
        elif self.clock() - self.saved_at > 60 * train.save_minutes:
            yield from self._save(best=False)

    def _step(self) -> Stepped | Skipped:
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
        norm = clip_(grads.flat, optim.clip)
        if not math.isfinite(loss) or not math.isfinite(norm):
            return self._skip(loss, norm)
        progress = self.progress
        lr = where.lr_factor * learning_rate(optim, where.step, progress)
        self._update(grads.flat, lr)
        checkpoint.state = state
        where.step += 1
        where.consecutive_nonfinite = 0
        where.loss_sum += loss
        where.chars += x.size
        where.lr, where.grad_norm = lr, norm
        seconds = self.clock() - began
        self.row_seconds += seconds
        self.row_chars += x.size
        remaining = self.elapsed / max(progress, 1e-9) * (1 - progress)
        return Stepped(where.step, loss / x.size, x.size / seconds, self.progress, remaining)

    def _update(self, gradient: Array, lr: float) -> None:
        optim, checkpoint = self.plan.settings.optim, self.checkpoint
        step, flat = checkpoint.progress.step + 1, checkpoint.model.params.flat
        moments, betas, eps = checkpoint.moments, optim.betas, optim.eps
        if optim.weight_decay:
            decay_(checkpoint.model.params, lr * optim.weight_decay)
        adam_(flat, gradient, moments, step=step, lr=lr, betas=betas, eps=eps)
        if checkpoint.ema is not None:
            ema_(checkpoint.ema.flat, flat, optim.ema, step)

    def _skip(self, loss: float, norm: float) -> Skipped:
        """Leave a window out; the next one starts from the zero state."""
        where = self.checkpoint.progress
        if where.consecutive_nonfinite + 1 >= NONFINITE_STEPS:
            raise self._diverged(loss, norm)
        self.checkpoint.state = np.zeros_like(self.checkpoint.state)
        where.step += 1
        where.skipped += 1
        where.consecutive_nonfinite += 1
        return Skipped(where.step, loss, norm)

    def _roll_back(self, problem: DivergedError) -> RolledBack:
        """Go back to the last evaluation, once.

        Checkpoints that a stop or the clock has inserted are passed over: where a run goes back to
        must not depend on them.
        """
        where = self.checkpoint.progress
        if where.evaluated_step is None or where.lr_factor < 1:
            raise problem
        try:
            self.checkpoint.go_back_to(checkpoints.read(self.run.file_of(where.evaluated_step)))
        except CheckpointError:
            raise problem from None
        self.unwritten.clear()
        self.run.drop_after(where.step)
        where.consecutive_nonfinite, where.lr_factor = 0, LR_FACTOR
        return RolledBack(str(problem), where.step, LR_FACTOR)

    def _dropout(self, step: int) -> Dropout | None:
        model = self.plan.settings.model
        if not model.dropout and not model.weight_dropout:
            return None
        seed = (self._seed, DROPOUT, step)
        return Dropout(model.dropout, seed, model.locked, model.weight_dropout)

    @property
    def _judge(self) -> str:
        """Which loss decides what is best."""
        return "val" if len(self.plan.splits.val) else "train"

    @property
    def _seed(self) -> int:
        return self.plan.settings.train.seed

    def _diverged(self, loss: float, norm: float) -> DivergedError:
        saved = self.run.pointer("last")
        kept = f"; the checkpoint of step {saved.step:,} is from before" if saved else ""
        lr = min(self.plan.settings.optim.lr / 2, 0.01)
        return DivergedError(
            f"step {self.checkpoint.progress.step + 1:,}: the loss is {loss:.4g} and the norm of "
            f"its gradient {norm:.4g}{kept}; start again with a lower learning rate, such as "
            f"--set optim.lr={lr:g}"
        )

    def _row(self, split: Literal["train", "val"], loss: float, chars_per_s: float) -> Metrics:
        where, windows = self.checkpoint.progress, self.plan.windows
        epoch = where.step / windows.per_epoch
        return Metrics(
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

    def _write(self, action: Callable[[], object]) -> Iterator[NotWritten]:
        """Write a row or a sample, after those that could not be written before."""
        self.unwritten.append(action)
        try:
            self.catch_up()
        except OSError as error:
            yield self._not_written(error)

    def catch_up(self) -> None:
        """Write what could not be written before.

        Raises:
            OSError: it still cannot.
        """
        while self.unwritten:
            self.unwritten[0]()
            self.unwritten.popleft()

    def _not_written(self, error: OSError) -> NotWritten:
        """What to tell of an error that may pass and leaves a checkpoint; raises any other."""
        saved = self.run.pointer("last")
        if saved is None or error.errno not in TRANSIENT:
            raise error
        path = Path(error.filename or self.run.path)
        return NotWritten(path, error.strerror or str(error), saved.step)

    def _log(self) -> Iterator[Logged | NotWritten]:
        """Write the mean training loss since the row before, if there was a step since."""
        where = self.checkpoint.progress
        if where.chars:
            speed = self.row_chars / self.row_seconds if self.row_seconds else 0.0
            self.row_seconds, self.row_chars = 0.0, 0
            where.train_loss = where.loss_sum / where.chars
            where.loss_sum, where.chars = 0.0, 0
            row = self._row("train", where.train_loss, speed)
            yield from self._write(lambda: self.run.append_metrics(row))
            yield Logged(row)

    def _evaluate(self, *, last_chance: bool = False) -> Iterator[Event]:
        """Judge the weights, sample from them, save them."""
        yield from self._log()
        began = self.clock()
        where, checkpoint = self.checkpoint.progress, self.checkpoint
        yield Evaluating(where.step)
        loss = self._validation_loss()
        if not math.isfinite(loss) or not checkpoint.finite:
            raise self._diverged(loss, where.grad_norm)
        # made before anything is noted: a stop in it leaves the evaluation to be done again
        text = None if checkpoint.settings.train.sample_every else self._sample_text()
        before = replace(where)
        best = self._judge_by(loss)
        if len(self.plan.splits.val):
            row = self._row("val", loss, 0.0)
            yield from self._write(lambda: self.run.append_metrics(row))
        yield self._evaluated(loss, best=best)
        yield from self._write_sample(text)
        if not (yield from self._save(best=best, last_chance=last_chance)):
            vars(where).update(vars(before))  # what is not kept cannot be the best
        self.evaluation_seconds = self.clock() - began

    def _judge_by(self, loss: float) -> bool:
        """Note the loss of an evaluation; whether it is the best."""
        where = self.checkpoint.progress
        where.evaluated_step, where.evaluated_loss = where.step, loss
        if where.best_loss is not None and loss >= where.best_loss:
            where.evaluations_since_best += 1
            return False
        where.best_loss, where.best_step, where.evaluations_since_best = loss, where.step, 0
        return True

    def _evaluated(self, loss: float, *, best: bool) -> Evaluated:
        where, checkpoint = self.checkpoint.progress, self.checkpoint
        return Evaluated(
            where.step,
            where.step / self.plan.windows.per_epoch,
            where.train_loss,
            loss if len(self.plan.splits.val) else None,
            best,
            checkpoint.use_ema,
        )

    def _validation_loss(self) -> float:
        """The loss of the weights, or of the averaged ones where that is lower."""
        checkpoint, val = self.checkpoint, self.plan.splits.val
        if not len(val):
            return self.checkpoint.progress.train_loss
        workers = self.plan.workers
        loss = evaluation.evaluate(checkpoint.model, val, workers, self.stop).loss
        if checkpoint.ema is None:
            return loss
        averaged = evaluation.evaluate(checkpoint.averaged(), val, workers, self.stop).loss
        checkpoint.use_ema = averaged < loss
        return min(loss, averaged)

    def _sample_text(self) -> bytes | None:
        """A sample of the weights as they are, if the settings ask for any."""
        if not self.plan.settings.sample.length:
            return None
        step = self.checkpoint.progress.step
        seed = int(random_stream(self._seed, SAMPLES, step).integers(2**63))
        return make_sample(self.checkpoint, self.checkpoint.vocabulary, seed, self.stop)[1]

    def _write_sample(self, text: bytes | None) -> Iterator[Sampled | NotWritten]:
        if text is None:
            return
        step = self.checkpoint.progress.step
        yield from self._write(lambda: self.run.write_sample(step, text))
        yield Sampled(step, text)

    def _save(
        self, *, best: bool, last_chance: bool = False
    ) -> Generator[Saved | NotWritten, None, bool]:
        """Write a checkpoint, and before it the rows and samples that it presupposes.

        Returns:
            Whether it was written; run.json, which follows it, may have to wait.

        Raises:
            DivergedError: it would hold numbers that are not finite.
            OSError: it cannot be written, and that will not pass or there is no later chance.
        """
        where = self.checkpoint.progress
        if not self.checkpoint.finite:
            raise self._diverged(where.train_loss, where.grad_norm)
        try:
            path = self._twice(lambda: self._save_now(best))
        except OSError as error:
            if last_chance:
                raise
            wait = self.plan.settings.train.save_minutes - RETRY_MINUTES
            self.saved_at = self.clock() - 60 * wait
            yield self._not_written(error)
            return False
        self.saved_at, self.saved_step = self.clock(), where.step
        yield Saved(path)
        yield from self._write(partial(self.run.update_info, **self._standing()))
        return True

    def _twice(self, save: Callable[[], Path]) -> Path:
        """A hitch that is over at once costs nothing."""
        try:
            return save()
        except OSError as error:
            if error.errno not in TRANSIENT:
                raise
            return save()

    def _save_now(self, best: bool) -> Path:
        self.catch_up()
        where = self.checkpoint.progress
        if where.seconds is not None:
            where.seconds = self.elapsed
        return self.run.save(self.checkpoint, best=best, keep=self.checkpoint.settings.train.keep)

    def _standing(self) -> dict[str, Any]:
        """What run.json says of where the run stands."""
        where = self.checkpoint.progress
        return {
            "step": where.step,
            "best": {"step": where.best_step, "loss": where.best_loss, "split": self._judge},
            "elapsed_s": round(self.elapsed, 1),
        }


def make_sample(
    checkpoint: Checkpoint,
    vocabulary: Vocabulary,
    seed: int,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[npt.NDArray[np.intp], bytes]:
    """The ids of a sample as the settings ask for it, and its text with the prompt before it.

    Raises:
        Stopped: ``stop``, which is asked at each character, has said so.
    """
    sample = checkpoint.settings.sample
    prompt = vocabulary.encode(sample.prompt)
    ids = sample_ids(
        checkpoint.model_to_use(),
        checkpoint.counts,
        prompt,
        length=sample.length,
        sampler=Sampler(sample.temperature, never=vocabulary.unknown_id),
        seed=seed,
        stop=stop,
    )
    return ids, vocabulary.decode(np.concatenate([prompt, ids]))
