"""A worker: it takes trials of a study and trains them, until the budget of the study is used."""

import shutil
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from grucli.config import Data, Train, Values, resolve
from grucli.data.corpus import Corpus
from grucli.data.corpus import read as read_corpus
from grucli.errors import (
    CheckpointError,
    DivergedError,
    GrucliError,
    RunError,
    SettingsError,
    UsageError,
)
from grucli.files import Lock, temporary_for
from grucli.run.records import OWN_FILES
from grucli.run.run import Run, is_run
from grucli.sweeps.space import Space
from grucli.sweeps.study import Study
from grucli.sweeps.taken_trial import TakenTrial
from grucli.sweeps.taking import Taker
from grucli.sweeps.trial import TENTHS, Trial, why_foreign
from grucli.training.events import Evaluated, Event, RolledBack, Stepped, closed_at_exit
from grucli.training.request import Request
from grucli.training.session import Session

PAUSE = 0.5
"""Seconds between two looks at the trials of other workers."""

SHAPE = ("train.batch", "train.window")
"""Settings that a run reduces if the text is too short for them."""


@dataclass(frozen=True)
class TrialBegun:
    """A trial begins, or goes on after it has lost its worker.

    Attributes:
        number: its number, from 0.
        values: the values of the parameters, by dotted key.
        step: the step of the checkpoint from which it goes on; None if it begins.
    """

    number: int
    values: Values
    step: int | None


@dataclass(frozen=True)
class TrialEnded:
    """A trial has ended and its result was told."""

    trial: Trial


@dataclass(frozen=True)
class Waiting:
    """No trial is left to begin; the worker waits in case another worker dies."""


@dataclass(frozen=True)
class Complete:
    """The budget of the study is used, and no trial is left to train; the last event."""


SweepEvent = TrialBegun | TrialEnded | Waiting | Complete | Event


class Worker:
    """Trains trials of a study, one after the other.

    Args:
        study: the study.
        space: what the sweep file asks for.
        sources: files and directories, read as one text.
        command: the command line, for run.json; None for a script.

    Raises:
        UsageError: the text or the file cannot be used, or the study was started with others.
    """

    def __init__(
        self, study: Study, space: Space, sources: list[str], command: str | None = None
    ) -> None:
        if "-" in sources:
            raise UsageError("-: each trial reads the text; name a file")
        if not sources:
            raise UsageError("name a text to train on: grucli sweep SWEEP.yaml FILE")
        self.study, self.space, self.sources, self.command = study, space, sources, command
        self._data: Data = resolve([(space.place, space.fixed)]).data
        self._text: Corpus = read_corpus(sources, self._data)
        self._sha256 = self._text.sha256
        study.create(space, self._sha256)
        self._taker = Taker(study, space)

    @closed_at_exit
    def events(self, stop: Callable[[], bool] = lambda: False) -> Generator[SweepEvent, None, None]:
        """Train trials until the study is complete or ``stop`` returns True; yield the events.

        A trial that is stopped goes on when the study does.

        Raises:
            SettingsError: all trials so far were impossible.
            RunError: a file or the storage cannot be written.
        """
        told = False
        while not stop():
            taken = self._taker.take()
            if taken is not None:
                told = False
                with closing(taken):
                    yield from self._train(taken, stop)
            elif not self.study.running():
                yield Complete()
                return
            else:
                if not told:
                    yield Waiting()
                told = True
                time.sleep(PAUSE)

    def _train(
        self, taken: TakenTrial, stop: Callable[[], bool]
    ) -> Generator[SweepEvent, None, None]:
        began = time.perf_counter()
        run, damage = _run_directory(taken.path), None
        step = None if run is None else _saved_step(run)
        try:
            self._check_own(taken, run)
        except (CheckpointError, SettingsError) as problem:
            damage = str(problem)
        yield TrialBegun(taken.number, taken.values, step)
        if not taken.begin(step):
            taken.refuse("failed", "its workers died again and again; is there too little memory?")
        elif damage is not None:
            taken.refuse("failed", damage)
        elif run is not None and run.info.status == "done":
            _tell(taken, complete=True)  # its worker was killed before it told the result
        elif (session := self._session(taken, run)) is not None:
            watch = _Watch(taken, stop)
            with closing(session):
                elapsed = time.perf_counter() - began
                yield from _train(session, taken, watch, elapsed)
        if taken.told:
            yield TrialEnded(self.study.trials()[taken.number])

    def _check_own(self, taken: TakenTrial, run: Run | None) -> None:
        """Refuse a run that is not that of its trial; errors as in ``why_foreign``."""
        values = {**self.study.definition.fixed, **taken.values}
        if run is not None and (why := why_foreign(run.path, self.study.folder_id, values)):
            raise UsageError(f"{why}; move it away, or choose another name with --name")

    def _session(self, taken: TakenTrial, run: Run | None) -> Session | None:
        """The session of a new or a resumed run; None if that is not possible, which is told."""
        try:
            if run is not None:
                resumed = Request(self.sources, resume=taken.path, command=self.command)
                return resumed.session()
            return self._new_session(taken.values)
        except UsageError as problem:
            if Lock(taken.path / "lock").is_free():  # else somebody just continues it by hand
                taken.refuse("impossible" if run is None else "failed", str(problem))
        except MemoryError:
            taken.refuse("impossible", "there is not enough memory")
        return None

    def _new_session(self, values: Values) -> Session:
        request = Request(
            self.sources, values=_with_checkpoints({**self.space.fixed, **values}),
            place=self.space.place, command=self.command,
        )  # fmt: skip
        data = request.settings().data
        if data != self._data:
            self._text, self._data = read_corpus(self.sources, data), data
            if self._text.sha256 != self._sha256:
                raise RunError(f"{', '.join(self.sources)}: has changed during the sweep")
        session = request.session(self._text)
        session.study = self.study.folder_id
        _check_plan(session, {one.key for one in self.space.parameters})
        return session


def _with_checkpoints(values: Values) -> Values:
    """The same settings, with a checkpoint at each tenth of a budget in minutes, if not less often.

    With other budgets, the evaluations are at least as often.
    """
    minutes = values.get("train.minutes")
    if minutes is None or "train.save_minutes" in values:
        return values
    return {**values, "train.save_minutes": min(Train().save_minutes, minutes / TENTHS)}


def _check_plan(session: Session, chosen: set[str]) -> None:
    """Refuse trials that would not be what their values say.

    Raises:
        UsageError: there is no validation text, or the text is too short for the chosen values.
    """
    plan, train = session.plan, session.plan.settings.train
    if not len(plan.splits.val):
        raise UsageError("data.val leaves no validation text; a sweep needs it")
    now, asked = (plan.windows.B, plan.windows.T), (train.batch, train.window)
    if now != asked and chosen & {*SHAPE}:
        raise UsageError(
            f"the text is too short for train.batch x train.window = {asked[0]} x {asked[1]}; "
            f"{now[0]} x {now[1]} would be possible"
        )


def _run_directory(path: Path) -> Run | None:
    """A run directory, if it is there. Remains of one that was never complete are removed."""
    own = OWN_FILES | {"lock", "samples", "checkpoints"}
    names = [temporary_for(file.name) or file.name for file in path.rglob("*")]
    if path.is_dir() and not (path.is_symlink() or (path / "run.json").exists() or {*names} - own):
        shutil.rmtree(path)
    if path.exists() and not is_run(path):
        raise UsageError(
            f"{path}: is not a run of this study; move it away, or choose another name with --name"
        )
    return Run(path) if path.exists() else None


def _saved_step(run: Run) -> int | None:
    try:
        saved = run.checkpoints.pointer("last")
    except GrucliError:  # resuming will find another checkpoint, or say what is wrong
        return None
    return None if saved is None else saved.step


def _tell(taken: TakenTrial, *, complete: bool) -> None:
    """Tell the lowest validation loss of a run."""
    best = Run(taken.path).info.best
    if best.loss is None or best.split == "train":
        taken.refuse("failed", "run.json has no validation loss")
        return
    taken.tell(best.loss, best.step, complete=complete)


class _Watch:
    """Reports the validation losses of a run, and stops the run if its trial is pruned."""

    def __init__(self, taken: TakenTrial, asked: Callable[[], bool]) -> None:
        self.taken, self.asked = taken, asked
        self.progress: float | None = None
        self.tenth, self.pruned = taken.reported, False

    def stop(self) -> bool:
        """Whether the run must stop: it is pruned, or the user wants it."""
        return self.pruned or self.asked()

    def see(self, event: Event) -> None:
        """Report a loss if an evaluation has reached another tenth of the budget.

        Raises:
            DivergedError: the run goes on with another learning rate than that of its trial.
        """
        if isinstance(event, RolledBack):
            raise DivergedError(event.problem)
        if isinstance(event, Stepped):
            self.progress = event.progress
        if not isinstance(event, Evaluated) or event.val_loss is None or self.progress is None:
            return
        tenth = min(TENTHS, int(TENTHS * self.progress + 1e-9))
        if tenth > self.tenth:
            self.pruned = self.taken.report(event.val_loss, range(self.tenth + 1, tenth + 1))
            self.tenth = tenth


def _train(
    session: Session, taken: TakenTrial, watch: _Watch, elapsed: float
) -> Generator[SweepEvent, None, None]:
    """Train a run, and tell its result."""
    events = session.events(taken.path.name, taken.path.parent, elapsed, watch.stop)
    try:
        complete = yield from _seen(events, watch)
    except DivergedError as problem:
        taken.refuse("diverged", str(problem))
    except MemoryError:
        taken.refuse("impossible", "there is not enough memory")
    else:
        if complete or watch.pruned:
            _tell(taken, complete=complete)


def _seen(events: Generator[Event, None, bool], watch: _Watch) -> Generator[SweepEvent, None, bool]:
    """Yield events after ``watch`` has seen them. Errors of who reads them end the run."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return bool(end.value)
        try:
            watch.see(event)
        except BaseException:  # such as of a database that does not answer
            events.close()  # the run is saved
            raise
        try:
            yield event
        except GeneratorExit:
            events.close()
            raise
        except BaseException as problem:
            events.throw(problem)
            raise
