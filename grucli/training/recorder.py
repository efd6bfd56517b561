"""The files that a run writes during training: metrics, samples, checkpoints and run.json.

While a disk is full, they wait in a queue, and the run continues.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from grucli.files import TRANSIENT
from grucli.run.checkpoint import Checkpoint
from grucli.run.records import Metrics, WentBack
from grucli.run.writer import RunWriter
from grucli.training.events import Evaluated, Event, Logged, NotWritten, Sampled, Saved
from grucli.training.plan import Plan

RETRY_MINUTES = 1.0  # until the program tries again to write a checkpoint


class Recorder:
    """Writes the records of a run into its directory."""

    def __init__(
        self, plan: Plan, checkpoint: Checkpoint, run: RunWriter, elapsed: Callable[[], float]
    ) -> None:
        self.plan, self.checkpoint, self.run = plan, checkpoint, run
        self.elapsed = elapsed  # seconds since the run started
        self.saved_at = elapsed()
        self.saved_step = -1  # of the last checkpoint that was written here; -1 before the first
        self.row_seconds, self.row_chars = 0.0, 0  # since the previous row, in this process
        self.unwritten: deque[Callable[[], object]] = deque()

    @property
    def save_is_due(self) -> bool:
        """Whether ``train.save_minutes`` have passed since the last checkpoint."""
        return self.elapsed() - self.saved_at > 60 * self.plan.settings.train.save_minutes

    # ---- rows and samples

    def count(self, chars: int, seconds: float) -> None:
        """Add the time and characters of a step, for the speed in the next row."""
        self.row_seconds += seconds
        self.row_chars += chars

    def log(self) -> Iterator[Logged | NotWritten]:
        speed = self.row_chars / self.row_seconds if self.row_seconds else 0.0
        self.row_seconds, self.row_chars = 0.0, 0
        row = self._row("train", self.checkpoint.progress.train_loss, speed)
        yield from self._write(lambda: self.run.append_metrics(row))
        yield Logged(row)

    def write_evaluation(self, evaluated: Evaluated, text: bytes | None) -> Iterator[Event]:
        """Write the row of an evaluation, and its sample, if there is one."""
        if evaluated.val_loss is not None:
            row = self._row("val", evaluated.val_loss, 0.0)
            yield from self._write(lambda: self.run.append_metrics(row))
        yield evaluated
        yield from self.write_sample(text)

    def write_sample(self, text: bytes | None) -> Iterator[Sampled | NotWritten]:
        if text is None:
            return
        step = self.checkpoint.progress.step
        yield from self._write(lambda: self.run.write_sample(step, text))
        yield Sampled(step, text, self.plan.settings.data.documents == "line")

    def _row(self, split: Literal["train", "val"], loss: float, chars_per_s: float) -> Metrics:
        progress, windows = self.checkpoint.progress, self.plan.windows
        return Metrics(
            step=progress.step,
            epoch=progress.step / windows.per_epoch,
            chars=windows.chars_until(progress.step),
            split=split,
            loss=loss,
            bpc=loss / math.log(2),
            lr=progress.lr,
            grad_norm=progress.grad_norm,
            chars_per_s=chars_per_s,
            elapsed_s=self.elapsed(),
        )

    # ---- the queue

    def _write(self, action: Callable[[], object]) -> Iterator[NotWritten]:
        """Call ``action`` after all writes that failed before."""
        self.unwritten.append(action)
        try:
            self.catch_up()
        except OSError as error:
            yield self._not_written(error)

    def catch_up(self) -> None:
        """Repeat the writes that failed before; an OSError is raised if one fails again."""
        while self.unwritten:
            self.unwritten[0]()
            self.unwritten.popleft()

    def _not_written(self, error: OSError) -> NotWritten:
        """The event for a temporary error; raise any other."""
        if error.errno not in TRANSIENT:
            raise error
        wait = self.plan.settings.train.save_minutes - RETRY_MINUTES
        self.saved_at = self.elapsed() - 60 * wait
        path, saved = Path(error.filename or self.run.path), self.run.checkpoints.written["last"]
        return NotWritten(path, error.strerror or str(error), saved.step)

    # ---- checkpoints

    def save(self, *, best: bool, last_chance: bool = False) -> Iterator[Saved | NotWritten]:
        """Write a checkpoint, or let it wait; an OSError at the ``last_chance``, or if it stays."""
        try:
            try:
                path = self._save(best)
            except OSError as error:
                if error.errno not in TRANSIENT:
                    raise
                path = self._save(best)  # the error may be gone
        except OSError as error:
            if last_chance:
                raise
            yield self._not_written(error)
            if self.checkpoint.progress.of_evaluation:
                self._let_wait(best)
            return
        self.saved_at, self.saved_step = self.elapsed(), self.checkpoint.progress.step
        standing = {**self.checkpoint.facts, "elapsed_s": round(self.elapsed(), 1)}
        yield from self._write(partial(self.run.update_info, **standing))
        yield Saved(path)  # after run.json, which a report reads

    def _let_wait(self, best: bool) -> None:
        """Put a copy of the checkpoint into the queue; of many, only those that would be kept."""
        keep, save = self.plan.settings.train.keep, self.run.checkpoints.save
        self.unwritten.append(partial(save, self.checkpoint.copy(), best=best, keep=keep))
        waiting = [one for one in self.unwritten if isinstance(one, partial) and one.func == save]
        kept = waiting[-keep - 2 :] + [one for one in waiting if one.keywords["best"]][-1:]
        for one in waiting:
            if one not in kept:
                self.unwritten.remove(one)

    def _save(self, best: bool) -> Path:
        progress, keep = self.checkpoint.progress, self.plan.settings.train.keep
        if progress.seconds is not None:
            progress.seconds = self.elapsed()
        self.catch_up()
        return self.run.checkpoints.save(self.checkpoint, best=best, keep=keep)

    def note_return(self, problem: str, step: int) -> Iterator[NotWritten]:
        """Delete all that is later than the present step: a ``problem`` at ``step`` led back."""
        progress = self.checkpoint.progress
        if self.saved_step == progress.step:
            self.run.checkpoints.drop_after(progress.step)
        self.unwritten.clear()
        yield from self._write(partial(self.run.drop_after, progress.step))
        note = WentBack(step=step, to=progress.step, lr_factor=progress.lr_factor, problem=problem)
        notes = [one.to_dict() for one in (*self.run.info.went_back, note)]
        yield from self._write(partial(self.run.update_info, went_back=notes))
