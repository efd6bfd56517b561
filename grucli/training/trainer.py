"""The training loop. It yields events and prints nothing.

A ``Plan`` is everything that is known before the first step. A ``Checkpoint`` is the state of a
run. A ``Trainer`` advances the checkpoint according to the plan. Random numbers depend only on
(seed, purpose, step). Therefore more evaluations or samples do not change the training, and a
resumed run draws the same numbers as an uninterrupted run.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import numpy as np

from grucli import evaluation
from grucli.errors import CheckpointError, DivergedError
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint
from grucli.run.writer import RunWriter
from grucli.threads import blas_limited_to
from grucli.training.divergence import (
    LEAST_FACTOR,
    LR_FACTOR,
    check_learning,
    check_step,
    diverged,
    ended,
)
from grucli.training.events import (
    Evaluated,
    Evaluating,
    Event,
    NotWritten,
    RolledBack,
    Saved,
    Skipped,
    Stepped,
)
from grucli.training.plan import SAMPLES, Plan, random_stream, start
from grucli.training.ranks import ALONE, Ranks
from grucli.training.recorder import Recorder
from grucli.training.schedules import EARLY_SECONDS
from grucli.training.shared_work import SharedWork


class Trainer:
    """Trains a run from a checkpoint to the end of its budget. It must be closed after use.

    Args:
        plan: the plan of the run.
        checkpoint: the state of the run; changed in place.
        run: the run directory.
        elapsed: seconds already used that are not in the checkpoint.
        clock: returns monotonic time in seconds.
        ranks: the ranks that train the run.
        initial: makes the initial state of the run; by default, random weights.

    Attributes:
        work: what all ranks do together.
        recorder: the object that writes the results.
        finished: whether the run has reached its end and was not stopped before.
    """

    def __init__(
        self,
        plan: Plan,
        checkpoint: Checkpoint,
        run: RunWriter,
        elapsed: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
        ranks: Ranks = ALONE,
        initial: Callable[[], Checkpoint] | None = None,
    ) -> None:
        self.initial = initial or partial(start, plan)
        self.plan, self.checkpoint, self.run, self.clock = plan, checkpoint, run, clock
        self.work = SharedWork(plan, checkpoint, ranks)
        self.started_at = clock() - elapsed - (checkpoint.progress.seconds or 0.0)
        self.recorder = Recorder(plan, checkpoint, run, lambda: self.elapsed)
        self.evaluation_seconds, self.began_at, self.evaluated_at = 0.0, *[self.elapsed] * 2
        self.stop: Callable[[], bool] = lambda: False
        self.finished = False

    def close(self) -> None:
        """End the worker processes."""
        self.work.close()

    @property
    def elapsed(self) -> float:
        """Seconds since the run started."""
        return self.clock() - self.started_at

    @property
    def progress(self) -> float:
        """Share of the budget that is used, 0 to 1."""
        reserve = 1.2 * self.evaluation_seconds
        return self.plan.budget.progress(self.checkpoint.progress.step, self.elapsed, reserve)

    def estimate(self) -> float:
        """Estimate the remaining seconds from a step that is computed and discarded.

        The estimate also gives the time to reserve for the first evaluation.
        """
        with blas_limited_to(1):
            for _ in range(2):  # the first is slower: it allocates memory
                began = self.clock()
                self.work.rehearse()
                step_seconds = self.clock() - began
        windows, evaluation_chars = self.plan.windows, len(self.plan.splits.val)
        step_chars = windows.window(0)[0].size
        self.evaluation_seconds = step_seconds / 2 * evaluation_chars / step_chars
        if self.plan.budget.seconds is not None:
            return self.plan.budget.seconds - self.elapsed
        assert self.plan.budget.steps is not None
        steps = self.plan.budget.steps - self.checkpoint.progress.step
        evaluations = -(-steps // self.plan.eval_every) + 1  # one more, on training text
        return steps * step_seconds + evaluations * self.evaluation_seconds

    def train(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until the budget or patience is used up, or ``stop`` returns True; then save.

        A run that diverges goes back to its last evaluation, or to its start, with half the
        learning rates, as often as needed.

        Raises:
            RunError: it diverges with the lowest rates, too; or the lock is lost.
            OSError: a file cannot be written, and the error is permanent or the run has ended.
        """
        self.stop = stop
        events = self._events()
        while True:
            with blas_limited_to(1):
                event = next(events, None)
            if event is None:
                return
            yield event

    def _events(self) -> Iterator[Event]:
        while True:
            try:
                yield from self._train()
                return
            except DivergedError as problem:
                yield from self._go_back(problem)
            except evaluation.Stopped:
                yield from self._save_what_is_due()
                return

    def _train(self) -> Iterator[Event]:
        where, patience = self.checkpoint.progress, self.plan.settings.train.patience
        begun = where.due
        if where.due:
            yield from self._after_step()
        while not where.step or (self.progress < 1 and not where.out_of_patience(patience)):
            begun = True
            yield self.step()
            if self.stop():
                yield from self._save_what_is_due()
                return
            yield from self._after_step()
        if begun and not where.of_evaluation:
            yield from self._evaluate(last_chance=True)
        elif begun and self.recorder.saved_step != where.step:
            yield from self._save(best=False, last_chance=True)
        self.finished = True

    def _save_what_is_due(self) -> Iterator[Event]:
        """Save and stop. Tasks that are due at this step are done when the run is resumed."""
        self.checkpoint.progress.due = True
        yield from self._save(best=False, last_chance=True)

    def _after_step(self) -> Iterator[Event]:
        """Do what is due at this step: a row, a sample, an evaluation, a checkpoint."""
        where, train = self.checkpoint.progress, self.checkpoint.settings.train
        where.due = False
        if where.step % train.log_every == 0:
            yield from self.recorder.log()
        if train.sample_every and where.step % train.sample_every == 0:
            yield from self.recorder.write_sample(self._sample_text())
        early = max(EARLY_SECONDS, 4 * self.evaluation_seconds, self.evaluated_at - self.began_at)
        due = self.plan.evaluates(where.step, self.elapsed - self.evaluated_at, early)
        if due and not where.consecutive_absurd:
            yield from self._evaluate(last_chance=self.progress >= 1)
        elif self.recorder.save_is_due:
            yield from self._save(best=False)

    def step(self) -> Stepped | Skipped:
        """Train on the next window, or skip it if its loss or gradient is not finite.

        Raises:
            DivergedError: too many consecutive steps were not finite, or absurd.
        """
        began, where = self.clock(), self.checkpoint.progress
        update = self.work.step(self.progress)
        check_step(self.plan, where, update)
        if not update.finite:
            return Skipped(where.step, update.loss, update.grad_norm)
        seconds = self.clock() - began
        self.recorder.count(update, seconds)
        progress, chars = self.progress, update.chars
        remaining = self.elapsed / max(progress, 1e-9) * (1 - progress)
        return Stepped(where.step, update.loss / chars, chars / seconds, progress, remaining)

    def _go_back(self, problem: DivergedError) -> Iterator[Event]:
        """Go back to the last evaluation, or to the start, and halve the learning rates.

        Later checkpoints, which were written at a stop or by the clock, are ignored, so that
        equal runs go back to equal steps.
        """
        where, folder = self.checkpoint.progress, self.run.checkpoints
        step, factor = where.step, LR_FACTOR * where.lr_factor
        earlier = self._earlier() if factor >= LEAST_FACTOR else None
        if earlier is None:
            raise ended(problem, folder.pointer("last"), self.plan.settings.optim.lr * factor)
        self.checkpoint.go_back_to(earlier, factor)
        self.work.synchronize()
        self.began_at = self.evaluated_at = self.elapsed
        yield RolledBack(str(problem), where.step, factor)
        yield from self._save(best=where.best_step in (None, where.step))
        if self.recorder.saved_step == where.step:
            folder.drop_after(where.step)
        yield from self.recorder.note_return(str(problem), step)

    def _earlier(self) -> Checkpoint | None:
        """The state at the last evaluation, or the initial one; None if there is neither."""
        evaluated = self.checkpoint.progress.evaluated_step
        with suppress(CheckpointError):
            if evaluated is not None:
                return checkpoints.read(self.run.checkpoints.file_of(evaluated))
        with suppress(CheckpointError):
            return self.initial()
        return None

    def _evaluate(self, *, last_chance: bool = False) -> Iterator[Event]:
        """Evaluate the weights, sample from them and save them."""
        yield from self.recorder.log()
        began = self.clock()
        where, checkpoint = self.checkpoint.progress, self.checkpoint
        yield Evaluating(where.step)
        loss = self._validation_loss()
        if not math.isfinite(loss) or not checkpoint.finite:
            raise diverged(where.step + 1, loss, where.grad_norm)
        if self.progress < 1:
            check_learning(self.plan, where, loss)
        # before the progress changes: after a stop here, a resumed run evaluates again
        text = None if checkpoint.settings.train.sample_every else self._sample_text()
        best = where.note_evaluation(loss)
        if len(self.plan.splits.val):
            yield from self.recorder.write_validation(loss)
        yield self._evaluated(loss, best=best)
        yield from self.recorder.write_sample(text)
        yield from self._save(best=best, last_chance=last_chance)
        self.evaluation_seconds, self.evaluated_at = self.clock() - began, self.elapsed

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
        """The loss of the weights or of their average, whichever is lower."""
        checkpoint, val = self.checkpoint, self.plan.splits.val
        if not len(val):
            return checkpoint.progress.train_loss
        losses = self.work.validation_losses(self.stop)
        checkpoint.use_ema = losses[-1] < losses[0]
        return min(losses)

    def _sample_text(self) -> bytes | None:
        """A sample from the current weights, or None if the settings request no samples."""
        if not self.plan.settings.sample.length:
            return None
        step = self.checkpoint.progress.step
        seed = int(random_stream(self.plan.settings.train.seed, SAMPLES, step).integers(2**63))
        return make_sample(self.checkpoint, seed, self.stop)

    def _save(self, *, best: bool, last_chance: bool = False) -> Iterator[Saved | NotWritten]:
        """Write a checkpoint; arguments and errors as in ``Recorder.save``.

        Raises:
            DivergedError: the checkpoint has numbers that are not finite.
        """
        where = self.checkpoint.progress
        self.work.collect_states()
        if not self.checkpoint.finite:
            raise diverged(where.step + 1, where.train_loss, where.grad_norm)
        yield from self.recorder.save(best=best, last_chance=last_chance)


def make_sample(checkpoint: Checkpoint, seed: int, stop: Callable[[], bool]) -> bytes:
    """Make a sample according to the settings: the bytes of the prompt and the sample.

    Raises:
        Stopped: ``stop``, which is called at each character, has returned True.
    """
    lm, sample = checkpoint.language_model(), checkpoint.settings.sample
    ids = lm.sample_ids(
        sample.length,
        prompt=sample.prompt,
        temperature=sample.temperature,
        seed=seed,
        stop=stop,
    )
    return lm.vocabulary.decode(np.concatenate([lm.encode(sample.prompt), ids]))
