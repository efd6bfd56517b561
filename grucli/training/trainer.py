"""The training loop. It yields events and prints nothing.

A ``Trainer`` advances a ``Checkpoint``, the state of a run, according to its ``Plan``. Random
numbers depend only on (seed, purpose, step), so that evaluations, samples and stops change nothing.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import numpy as np

from grucli.data.documents import shown
from grucli.errors import CheckpointError, DivergedError
from grucli.evaluation import Stopped
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint
from grucli.run.writer import RunWriter
from grucli.threads import blas_limited_to
from grucli.training import divergence
from grucli.training.events import Evaluated, Evaluating, Event, RolledBack, Skipped, Stepped
from grucli.training.plan import SAMPLES, Plan, random_stream
from grucli.training.recorder import Recorder
from grucli.training.schedules import EARLY_SECONDS
from grucli.training.step import TrainStep


class Trainer:
    """Trains a run from a checkpoint to the end of its budget. It must be closed after use.

    All ranks take the same way through this code. While rank 0 alone writes or yields an event, the
    others wait to meet it, and then take over what its clock, its user and its disk have decided.
    """

    def __init__(
        self,
        plan: Plan,
        checkpoint: Checkpoint,
        run: RunWriter,
        elapsed: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.plan, self.checkpoint, self.run, self.clock = plan, checkpoint, run, clock
        self.started_at = clock() - elapsed - (checkpoint.progress.seconds or 0.0)
        self.ranks, self.train_step = plan.ranks, TrainStep(plan, checkpoint)
        self.recorder = Recorder(plan, checkpoint, run, lambda: self.elapsed)
        self.stop: Callable[[], bool] = lambda: False
        self.finished = False  # whether the run has reached its end and was not stopped before
        # of rank 0, when the ranks last met: seconds since the run started, whether it was asked to
        # stop, whether a checkpoint is due, and the step of the last that was written
        self.now, self.stopped, self.save_is_due, self.saved_step = self.elapsed, False, False, -1
        self.evaluation_seconds, self.began_at, self.evaluated_at = 0.0, self.now, self.now
        self.last_took = math.inf  # seconds of the last evaluation; one alone may have been held up
        self.used_before = 0.0  # share of the budget at ``began_at``: at the start, or a return

    def close(self) -> None:
        self.train_step.close()

    @property
    def elapsed(self) -> float:
        return self.clock() - self.started_at

    def used(self, seconds: float) -> float:
        """Share of the budget that is used after some seconds, 0 to 1."""
        reserve = 1.2 * self.evaluation_seconds
        return self.plan.budget.progress(self.checkpoint.progress.step, seconds, reserve)

    # ---- ranks

    def _meet(self) -> None:
        """Wait for all ranks, and take over the clock, the stop and the checkpoints of rank 0."""
        recorder, stopped = self.recorder, not self.ranks.rank and self.stop()
        numbers = self.ranks.meet(self.elapsed, stopped, recorder.save_is_due, recorder.saved_step)
        self.now, self.saved_step = numbers[0], int(numbers[3])
        self.stopped, self.save_is_due = bool(numbers[1]), bool(numbers[2])

    def _alone(self, events: Iterable[Event]) -> Iterator[Event]:
        """Let rank 0 alone do what makes these events. Then the ranks meet."""
        self.ranks.apart = True
        if not self.ranks.rank:
            yield from events
        self._meet()

    def _synchronize(self) -> None:
        """Let all ranks begin with the state and the time of rank 0."""
        self._meet()
        self.train_step.synchronize()
        self.began_at = self.evaluated_at = self.now
        self.used_before = self.used(self.now)

    # ---- the loop

    def estimate(self) -> float:
        """Estimate the remaining seconds, and those of an evaluation, by a gradient without use."""
        self._meet()
        with blas_limited_to(1), np.errstate(all="ignore"):
            for _ in range(2):  # the first is slower: it allocates memory
                began = self.clock()
                chars = self.train_step.gradient().chars
                seconds = self.clock() - began
        # of rank 0 alone: the other ranks do not know yet at which step, and so window, a run is
        step_seconds, window_chars = self.ranks.meet(seconds, chars)
        self.ranks.apart = True
        self.evaluation_seconds = step_seconds / 2 * len(self.plan.splits.val) / window_chars
        budget = self.plan.budget
        left = math.inf if budget.seconds is None else budget.seconds - self.elapsed
        if budget.steps is None:
            return left
        steps = budget.steps - self.checkpoint.progress.step
        evaluations = -(-steps // self.plan.eval_every) + 1  # one more, on training text
        return min(left, steps * step_seconds + evaluations * self.evaluation_seconds)

    def train(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until the budget or patience is used up, or ``stop`` returns True; then save."""
        self.stop = stop
        events = self._events()
        while True:
            # only inside this call; training checks that loss and gradient are finite
            with blas_limited_to(1), np.errstate(all="ignore"):
                event = next(events, None)
            if event is None:
                self.ranks.apart = True
                return
            yield event

    def _events(self) -> Iterator[Event]:
        self._synchronize()
        while True:
            try:
                yield from self._train()
                return
            except DivergedError as problem:
                yield from self._go_back(problem)
            except Stopped:
                yield from self._save_what_is_due()
                return

    def _train(self) -> Iterator[Event]:
        progress, patience = self.checkpoint.progress, self.plan.settings.train.patience
        if progress.due:
            yield from self._after_step()
        while not progress.step or (
            self.used(self.now) < 1 and not progress.out_of_patience(patience)
        ):
            yield from self._alone([self.step()])
            if self.stopped:
                yield from self._save_what_is_due()
                return
            yield from self._after_step()
        if not progress.of_evaluation:
            yield from self._evaluate(last_chance=True)
        elif self.saved_step != progress.step:
            yield from self._save(best=False, last_chance=True)
        self.finished = True

    def _save_what_is_due(self) -> Iterator[Event]:
        """Save and stop. Tasks that are due at this step are done when the run is resumed."""
        self.checkpoint.progress.due = True
        yield from self._save(best=False, last_chance=True)

    def _after_step(self) -> Iterator[Event]:
        """Do what is due at this step: a row, a sample, an evaluation, a checkpoint."""
        progress, train = self.checkpoint.progress, self.checkpoint.settings.train
        progress.due = False
        if progress.step % train.log_every == 0:
            yield from self._log()
        if train.sample_every and progress.step % train.sample_every == 0:
            yield from self._alone(self.recorder.write_sample(self._sample_text()))
        early = max(EARLY_SECONDS, 4 * self.evaluation_seconds, self.evaluated_at - self.began_at)
        due = self.plan.evaluates(progress.step, self.now - self.evaluated_at, early)
        if due and not progress.consecutive_absurd:
            yield from self._evaluate(last_chance=self.used(self.now) >= 1)
        elif self.save_is_due:
            yield from self._save(best=False)

    def _log(self) -> Iterator[Event]:
        """Write the mean training loss since the previous row, if there was a step since then."""
        progress = self.checkpoint.progress
        if progress.chars:
            progress.note_row()
            yield from self._alone(self.recorder.log())

    def step(self) -> Stepped | Skipped:
        """Train on the next window, or skip it if its loss or gradient is not finite."""
        began, progress = self.clock(), self.checkpoint.progress
        gradient = self.train_step.gradient()
        self.train_step.update(gradient, self.used(self.now))
        divergence.check_step(self.plan, progress, gradient)
        if not gradient.finite:
            return Skipped(progress.step, gradient.loss, gradient.norm)
        seconds, chars = self.clock() - began, gradient.chars
        self.recorder.count(chars, seconds)
        elapsed = self.elapsed
        used = self.used(elapsed)
        taken, share = elapsed - self.began_at, used - self.used_before
        if self.plan.budget.steps is None:  # all time counts
            taken, share = elapsed, used
        remaining = taken / max(share, 1e-9) * (1 - used)
        return Stepped(progress.step, gradient.loss / chars, chars / seconds, used, remaining)

    def _go_back(self, problem: DivergedError) -> Iterator[Event]:
        """Go back to the best evaluation, or to the start, and halve the learning rates."""
        progress = self.checkpoint.progress
        step, factor = progress.step, divergence.LR_FACTOR * progress.lr_factor
        self.ranks.apart = True
        if not self.ranks.rank:
            earlier = self._earlier() if factor >= divergence.LEAST_FACTOR else None
            if earlier is None:
                saved = self.run.checkpoints.pointer("last")
                raise divergence.ended(problem, saved, self.plan.settings.optim.lr * factor)
            self.checkpoint.go_back_to(earlier, factor)
        self._synchronize()
        yield from self._alone([RolledBack(str(problem), progress.step, factor)])
        yield from self._save(best=progress.best_step in (None, progress.step))
        yield from self._alone(self.recorder.note_return(str(problem), step))

    def _earlier(self) -> Checkpoint | None:
        """The state at the best evaluation, or the initial one: equal runs go to equal steps.

        At the last evaluation, a run that diverges may have lost much already.
        """
        with suppress(OSError):
            self.recorder.catch_up()  # the state may have waited for space on the disk
        for step in (self.checkpoint.progress.best_step, 0):
            with suppress(CheckpointError):
                if step is not None:
                    return checkpoints.read(self.run.checkpoints.file_of(step))
        return None

    # ---- evaluations, samples and checkpoints

    def _evaluate(self, *, last_chance: bool = False) -> Iterator[Event]:
        yield from self._log()
        began, progress = self.now, self.checkpoint.progress
        yield from self._alone([Evaluating(progress.step)])
        loss = self._validation_loss()
        self._meet()
        self._check_finite(loss)
        if self.used(self.now) < 1:
            divergence.check_learning(self.plan, progress, loss)
        # before the progress changes: after a stop here, a resumed run evaluates again
        text = None if self.checkpoint.settings.train.sample_every else self._sample_text()
        best, epoch = progress.note_evaluation(loss), progress.step / self.plan.windows.per_epoch
        val_loss = loss if len(self.plan.splits.val) else None
        train_loss = loss if val_loss is None else progress.train_loss
        evaluated = Evaluated(progress.step, epoch, train_loss, val_loss, best)
        yield from self._alone(self.recorder.write_evaluation(evaluated, text))
        yield from self._save(best=best, last_chance=last_chance)
        took, self.evaluated_at = self.now - began, self.now
        self.evaluation_seconds, self.last_took = min(took, self.last_took), took

    def _validation_loss(self) -> float:
        if not len(self.plan.splits.val):
            return self.checkpoint.progress.loss_since_evaluation
        return self.train_step.validation_loss(self.stop)

    def _sample_text(self) -> bytes | None:
        """A sample, which rank 0 makes, or None if the settings request no samples."""
        if not self.checkpoint.settings.sample.length:
            return None
        self.ranks.apart, text = True, None
        if not self.ranks.rank:
            try:
                text = make_sample(self.checkpoint, self.stop)
            except Stopped:
                self.stop = lambda: True
        self._meet()
        if self.stopped:
            raise Stopped
        return text

    def _check_finite(self, loss: float) -> None:
        """Go back if a number is not finite on rank 0, which writes the checkpoint."""
        progress = self.checkpoint.progress
        if not self.ranks.meet(math.isfinite(loss) and self.checkpoint.finite)[0]:
            if math.isfinite(loss):
                raise DivergedError(f"step {progress.step:,}: weights or states are not finite")
            raise divergence.diverged(progress.step, loss, progress.grad_norm)

    def _save(self, *, best: bool, last_chance: bool = False) -> Iterator[Event]:
        self.train_step.collect_states()
        self._check_finite(self.checkpoint.progress.train_loss)
        yield from self._alone(self.recorder.save(best=best, last_chance=last_chance))


def make_sample(checkpoint: Checkpoint, stop: Callable[[], bool]) -> bytes:
    """The bytes of a prompt and a sample; raises ``Stopped`` if ``stop`` returns True."""
    lm, sample = checkpoint.language_model(), checkpoint.settings.sample
    rng = random_stream(checkpoint.settings.train.seed, SAMPLES, checkpoint.progress.step)
    seed, temperature = int(rng.integers(2**63)), sample.temperature
    samples = lm.samples(1, sample.length, prompt=sample.prompt, temperature=temperature, seed=seed)
    text = lm.vocabulary.decode(np.concatenate([lm.encode(sample.prompt), samples.ids(stop)]))
    return shown(text, lm.data)
