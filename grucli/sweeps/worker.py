"""A worker: it claims trials of a study and trains them, until the budget of the study is used."""

import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from grucli.config import Data, Train, resolve
from grucli.data.corpus import Corpus, hashes, read_texts
from grucli.data.text_files import STANDARD_INPUT
from grucli.errors import DivergedError, GrucliError, RunError, UsageError
from grucli.files import Lock, temporary_for
from grucli.run.run import Run
from grucli.run.writer import NO_LINKS
from grucli.sweeps.claims import ClaimedTrial, claim_trial
from grucli.sweeps.space import Space
from grucli.sweeps.study import Study
from grucli.sweeps.summary import (
    TENTHS,
    Complete,
    SweepEvent,
    TrialBegun,
    TrialEnded,
    Waiting,
    why_foreign,
)
from grucli.training.events import Evaluated, Finished, RolledBack, Stepped, closed_at_exit
from grucli.training.preparation import prepare
from grucli.training.request import Request
from grucli.training.session import Session

PAUSE = 0.5  # seconds between two looks at the trials of other workers
SHAPE = {"train.batch", "train.window"}  # what a run reduces if the text is too short for it


class Worker:
    """Trains trials of a study, one after the other."""

    def __init__(
        self,
        folder: Path,
        storage: str | None,  # the URL of a database; None for a journal in the folder
        space: Space,
        sources: Sequence[str],  # files and directories, read as one text
        command: str | None = None,  # the command line, for run.json; None for a script
    ) -> None:
        if STANDARD_INPUT in sources:
            raise UsageError("-: each trial reads the text; name a file")
        if not sources:
            raise UsageError("name a text to train on: grucli sweep SWEEP.yaml FILE")
        self.space, self.sources, self.command = space, sources, command
        self._data: Data = resolve([(space.source, space.fixed)]).data
        self._text: Corpus = read_texts(sources, self._data)
        self._sha256 = hashes(self._text.text_id)
        self.study = Study.create(folder, storage, space, self._sha256)

    @closed_at_exit
    def events(self, stop: Callable[[], bool] = lambda: False) -> Generator[SweepEvent, None, None]:
        """Train trials until the study is complete or ``stop`` returns True; yield the events."""
        waits = False
        while not stop():
            trial = claim_trial(self.study, self.space)
            if trial is not None:
                waits = False
                with closing(trial):
                    yield from self._train(trial, stop)
            elif not any(one.status in ("running", "stopped") for one in self.study.trials()):
                yield Complete()
                return
            else:
                if not waits:
                    yield Waiting()
                waits = True
                time.sleep(PAUSE)

    def _train(
        self, trial: ClaimedTrial, stop: Callable[[], bool]
    ) -> Generator[SweepEvent, None, None]:
        exists, saved, foreign, damage = _run_exists(trial.path), None, None, None
        with suppress(GrucliError):  # resuming will find another checkpoint, or say what is wrong
            saved = Run(trial.path).checkpoints.pointer("last")
        step = None if saved is None else saved.step
        values = {**self.study.definition["fixed"], **trial.record.values}
        try:
            foreign = why_foreign(trial.path, self.study.folder_id, values) if exists else None
        except UsageError as problem:
            damage = str(problem)
        if foreign:
            raise UsageError(f"{foreign}; move it away, or choose another name with --name")
        yield TrialBegun(trial.record.number, trial.record.values, step)
        if not trial.begin(step):
            trial.refuse("failed", "its workers died again and again; is there too little memory?")
        elif damage is not None:
            trial.refuse("failed", damage)
        elif exists and Run(trial.path).info.status == "done":
            _tell_best(trial, complete=True)  # its worker was killed before it told the result
        elif (session := self._session(trial, exists)) is not None:
            yield from _carry_out(session, trial, stop)
        if trial.ended:
            yield TrialEnded(self.study.trials()[trial.record.number])

    def _session(self, trial: ClaimedTrial, exists: bool) -> Session | None:
        """The session of the run; None if it is impossible; the reason is recorded in the study."""
        try:
            if exists:
                return prepare(Request(self.sources, resume=trial.path, command=self.command))
            return self._new_session(trial)
        except UsageError as problem:
            if Lock(trial.path / "lock").is_free():  # else somebody just continues it by hand
                trial.refuse("failed" if exists else "impossible", str(problem))
        except MemoryError:
            trial.refuse("impossible", "there is not enough memory")
        return None

    def _new_session(self, trial: ClaimedTrial) -> Session:
        """The session of a new run; UsageError if it would not be what its values say."""
        values = {**self.space.fixed, **trial.record.values}
        minutes = values.get("train.minutes")
        if minutes is not None:  # a checkpoint at each tenth; other budgets are evaluated there
            often = min(Train().save_minutes, minutes / TENTHS)
            values.setdefault("train.save_minutes", often)
        request = Request(
            self.sources,
            values=values,
            origin=self.space.source,
            name=trial.path.name,
            runs_dir=trial.path.parent,
            command=self.command,
            study=self.study.folder_id,
        )
        data = request.settings().data
        if data != self._data:
            self._text, self._data = read_texts(self.sources, data), data
            if hashes(self._text.text_id) != self._sha256:
                raise RunError(f"{', '.join(self.sources)}: has changed during the sweep")
        session = prepare(request, text=self._text)
        plan, train = session.plan, session.plan.settings.train
        if not len(plan.splits.val):
            raise UsageError("data.val leaves no validation text; a sweep needs it")
        possible, asked = (plan.windows.B, plan.windows.T), (train.batch, train.window)
        if possible != asked and SHAPE & self.space.distributions.keys():
            raise UsageError(
                f"the text is too short for train.batch x train.window = {asked[0]} x {asked[1]}; "
                f"{possible[0]} x {possible[1]} would be possible"
            )
        return session


def _run_exists(path: Path) -> bool:
    """Whether a run directory is there. Remains of one that was never complete are removed."""
    names = {temporary_for(file.name) or file.name for file in path.rglob("*")}
    own = not path.is_symlink() and names <= NO_LINKS
    if path.is_dir() and own and not (path / "run.json").exists():
        shutil.rmtree(path)
    return path.exists()


def _tell_best(trial: ClaimedTrial, *, complete: bool) -> None:
    best = Run(trial.path).info.best
    if best.loss is None or best.split == "train":
        trial.refuse("failed", "run.json has no validation loss")
        return
    trial.tell(best.loss, best.step, complete=complete)


def _carry_out(
    session: Session, trial: ClaimedTrial, stop: Callable[[], bool]
) -> Generator[SweepEvent, None, None]:
    """Train a run until its end or until it is pruned, and tell its result."""
    progress, pruned, complete = 0.0, False, False
    try:
        # closing saves the run, such as if a database does not answer
        with closing(session.events(lambda: pruned or stop())) as events:
            for event in events:
                if isinstance(event, RolledBack):
                    raise DivergedError(event.problem)
                if isinstance(event, Stepped):
                    progress = event.progress
                elif isinstance(event, Evaluated) and event.val_loss is not None:
                    pruned = trial.report(event.val_loss, progress) or pruned
                elif isinstance(event, Finished):
                    complete = event.complete
                try:
                    yield event
                except BaseException as problem:  # if the consumer raises, the run ends
                    events.throw(problem)
                    raise
    except DivergedError as problem:
        trial.refuse("diverged", str(problem))
    except MemoryError:
        trial.refuse("impossible", "there is not enough memory")
    else:
        if complete or pruned:
            _tell_best(trial, complete=complete)
