"""A worker: it claims trials of a study and trains them, until the budget of the study is used.

Who trains a trial holds its claim, a lock that vanishes with the process. New trials are made and
claimed under the lock of the study. So a running trial whose claim is free has lost its worker.
"""

import math
import os
import shutil
import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from grucli.config import INFLUENCES, Train, Values, held_out_files, resolve
from grucli.data.corpus import Corpus, hashes, read_texts
from grucli.data.text_files import STANDARD_INPUT
from grucli.errors import DivergedError, GrucliError, SettingsError, UsageError, WorkerError
from grucli.files import Lock, temporary_for
from grucli.run.records import stem
from grucli.run.run import Run
from grucli.run.writer import NO_LINKS
from grucli.stopping import closed_at_exit
from grucli.sweeps import summary
from grucli.sweeps.space import DEFAULTS, Distribution, Space
from grucli.sweeps.storage import quietly
from grucli.sweeps.study import Study
from grucli.sweeps.summary import NOTES, TENTHS, Kind, SweepEvent, TrialRecord
from grucli.training.events import Evaluated, Finished, RolledBack, Stepped
from grucli.training.plan import products
from grucli.training.preparation import prepare
from grucli.training.request import Request
from grucli.training.session import Session

LOST = 5  # worker deaths in a row, without a new checkpoint, after which a trial is given up
STARTUP = 8  # trials with random values before TPE begins to choose
ALL_IMPOSSIBLE = 5  # if so many trials are the first and are all impossible, the sweep ends
PAUSE = 0.5  # seconds between two looks at the trials of other workers
# settings of a machine, which another one may not have
ROUNDING = [key for key, influenced in INFLUENCES.items() if influenced == "rounding"]
SHAPE = {"train.batch", "train.window"}  # what a run reduces if the text is too short for it


class ClaimedTrial:
    """A trial that this process trains. Closing it releases its claim."""

    def __init__(self, study: Study, trial: optuna.Trial, record: TrialRecord, claim: Lock) -> None:
        self.path = study.folder / record.run  # its run directory, which may not exist
        self.record = record
        self.ended = False  # whether its result is in the storage
        self._study, self._trial, self._claim = study, trial, claim

    def begin(self, step: int | None) -> bool:
        """Note who goes on from ``step``, or begins; False if the workers die again and again."""
        old, now = self.record, time.time()
        lost, died = list(old.lost), not old.left
        if died:
            lost = [*lost, -1 if step is None else step][-LOST:]
        self._note(
            host=socket.gethostname(), pid=os.getpid(), left=False, lost=lost,
            sessions=[*old.sessions, (now, now)],
        )  # fmt: skip
        return len(lost) < LOST or len(set(lost)) > 1 or not died

    def report(self, loss: float, progress: float) -> bool:
        """Report the loss if another tenth of the budget is reached; return whether to prune."""
        tenth, reported = min(TENTHS, int(TENTHS * progress + 1e-9)), self.record.tenth
        if tenth <= reported:
            return False
        with quietly(self._study.storage_name):
            for each in range(reported + 1, tenth + 1):
                self._trial.report(loss, each)
            self._note(tenth=tenth)
            return tenth < TENTHS and self._trial.should_prune()

    def tell(self, *, complete: bool) -> None:
        """Tell the best loss of the run, which is at its end or was pruned."""
        best = Run(self.path).info.best
        if best.loss is None or best.split == "train":
            self.refuse("failed", "run.json has no validation loss")
        else:
            self._end(complete=complete, loss=best.loss, step=best.step)

    def refuse(self, kind: Kind, problem: str) -> None:
        """Tell that a trial has no result."""
        # it counts as pruned: TPE leaves out failed trials, but avoids the values of pruned ones
        self._end(complete=False, kind=kind, problem=problem)

    def _end(self, *, complete: bool, **result: Any) -> None:
        self._note(**dict.fromkeys(["loss", "step", "kind", "problem"]) | result)
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        with quietly(self._study.storage_name):
            self._trial.study.tell(self.record.number, result["loss"] if complete else None, state)
        self.ended = True

    def close(self) -> None:
        """Leave the trial, and release its claim. If it has no result, the next worker goes on."""
        try:
            if not self.ended:
                self._note(left=True, lost=())
        finally:
            self._claim.release()

    def _note(self, **changes: Any) -> None:
        """Note changes, and that the worker lives."""
        self.record = replace(self.record, **changes)
        if self.record.sessions:
            *before, (began, _) = self.record.sessions
            self.record = replace(self.record, sessions=[*before, (began, time.time())])
        with quietly(self._study.storage_name):
            self._trial.set_user_attr(NOTES, self.record.notes())


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
        settings = resolve([(space.source, space.fixed)])
        products(settings)  # a machine that lacks them claims no trial
        self._text: Corpus = read_texts(sources, settings.data)
        self.study = Study.create(folder, storage, space, hashes(self._text.text_id))

    @closed_at_exit
    def events(self, stop: Callable[[], bool] = lambda: False) -> Generator[SweepEvent, None, None]:
        """Train trials until the study is complete or ``stop`` returns True; yield the events."""
        waits = False
        while not stop():
            trial = self.claim()
            if trial is not None:
                waits = False
                with closing(trial):
                    yield from self._train(trial, stop)
            elif not any(one.status in ("running", "stopped") for one in self.study.trials()):
                yield summary.Complete()
                return
            else:
                if not waits:
                    yield summary.Waiting()
                waits = True
                time.sleep(PAUSE)

    # ---- claim a trial

    def claim(self) -> ClaimedTrial | None:
        """Claim a trial that has lost its worker, or else a new one; None if there is none now."""
        with quietly(self.study.storage_name), self.study.lock():
            trials = self.study.trials()
            stopped = (record for record in trials if record.status == "stopped")
            if trial := next(filter(None, map(self.take_over, stopped)), None):
                return trial
            self._check_possible(trials)
            minutes = self.space.options.minutes or math.inf
            is_over = len(trials) >= (self.space.trials or math.inf)
            return None if is_over or summary.minutes_trained(trials) >= minutes else self._make()

    def take_over(self, record: TrialRecord) -> ClaimedTrial | None:
        claim = self.study.claim(record)
        # somebody may go on with the run by hand: the trial waits for its end
        if not Lock(self.study.folder / record.run / "lock").is_free() or not claim.acquire():
            return None
        return self._open(record.number, claim)

    def _make(self) -> ClaimedTrial | None:
        study, new = self.study, TrialRecord(0, "running", {}, folder=self.study.folder_id)
        # the folder comes with the trial at once, so that no trial lacks it after a kill
        template = create_trial(state=TrialState.RUNNING, user_attrs={NOTES: new.notes()})
        id_ = study.storage.create_new_trial(study.id, template)
        number = study.storage.get_trial(id_).number
        claim = study.claim(replace(new, number=number))
        while not claim.acquire():  # ``is_free`` of another process holds it for a moment
            pass
        return self._open(number, claim)

    def _open(self, number: int, claim: Lock) -> ClaimedTrial | None:
        """The trial with its values; None if it has ended in the meantime."""
        study, storage = self.study, self.study.storage
        try:
            id_ = storage.get_trial_id_from_study_id_trial_number(study.id, number)
            if storage.get_trial(id_).state.is_finished():
                claim.release()
                return None
            study.optuna_study.sampler = _sampler(self.space, number)
            trial = optuna.Trial(study.optuna_study, id_)
            for key, distribution in self.space.distributions.items():
                _suggest(trial, key, distribution)
            return ClaimedTrial(study, trial, study.record(storage.get_trial(id_)), claim)
        except BaseException:
            claim.release()
            raise

    def _check_possible(self, trials: Sequence[TrialRecord]) -> None:
        limit = min(ALL_IMPOSSIBLE, self.space.trials or ALL_IMPOSSIBLE)
        if len(trials) >= limit and all(one.status == "impossible" for one in trials):
            raise SettingsError(
                f"{self.space.source}: all of the first {len(trials)} trials are impossible; the "
                f"last: {trials[-1].problem}\n(correct the file, and start another study with "
                f"--name: {self.study.folder} cannot change)"
            )

    # ---- train it

    def _train(
        self, trial: ClaimedTrial, stop: Callable[[], bool]
    ) -> Generator[SweepEvent, None, None]:
        exists, saved, foreign, damage = _run_exists(trial.path), None, None, None
        with suppress(GrucliError):  # resuming will find another checkpoint, or say what is wrong
            saved = Run(trial.path).checkpoints.pointer("last")
        step = None if saved is None else saved.step
        study, values = self.study, {**self.study.definition["fixed"], **trial.record.values}
        try:
            foreign = exists and summary.why_foreign(trial.path, study.folder_id, values)
        except UsageError as problem:
            damage = str(problem)
        if foreign:
            raise UsageError(f"{foreign}; move it away, or choose another name with --name")
        yield summary.TrialBegun(trial.record.number, trial.record.values, step)
        if not trial.begin(step):
            trial.refuse("failed", "its workers died again and again; is there too little memory?")
        elif damage is not None:
            trial.refuse("failed", damage)
        elif exists and (returns := Run(trial.path).info.went_back):
            trial.refuse("diverged", returns[-1].problem or "")
        elif exists and Run(trial.path).info.status == "done":
            trial.tell(complete=True)  # its worker was killed before it told the result
        elif (session := self._session(trial, exists)) is not None:
            yield from _carry_out(session, trial, stop)
        if trial.ended:
            yield summary.TrialEnded(self.study.trials()[trial.record.number])

    def _session(self, trial: ClaimedTrial, exists: bool) -> Session | None:
        """The session of the run; None if it is impossible; the reason is recorded in the study."""
        try:
            if exists:
                # the files may have moved, and the machine may be another
                values = held_out_files(self.space.fixed) | self._rounding(trial.record.values)
                again = Request(
                    self.sources, values=values, resume=trial.path, command=self.command
                )
                return prepare(again)
            return self._new_session(trial)
        except UsageError as problem:
            if Lock(trial.path / "lock").is_free():  # else somebody just continues it by hand
                trial.refuse("failed" if exists else "impossible", str(problem))
        except MemoryError:
            trial.refuse("impossible", "there is not enough memory")
        return None

    def _rounding(self, values: Values) -> Values:
        """What this machine rounds by, except for the values of a trial."""
        own = {key: self.space.fixed.get(key, DEFAULTS[key]) for key in ROUNDING}
        return {key: one for key, one in own.items() if key not in values}

    def _new_session(self, trial: ClaimedTrial) -> Session:
        """The session of a new run; UsageError if it would not be what its values say."""
        values = {**self.space.fixed, **trial.record.values}
        minutes = values.get("train.minutes")
        if minutes is not None:  # a checkpoint at each tenth; other budgets are evaluated there
            often = min(Train().save_minutes, minutes / TENTHS)
            values.setdefault("train.save_minutes", often)
        request = Request(
            self.sources, values=values, origin=self.space.source, command=self.command,
            name=trial.path.name, runs_dir=trial.path.parent, study=self.study.folder_id,
        )  # fmt: skip
        session = prepare(request, text=self._text)
        plan, train = session.plan, session.plan.settings.train
        if not len(plan.splits.val):
            raise UsageError("data.val leaves no validation text; a sweep needs it")
        asked = f"{train.batch} x {train.window}"
        possible = f"{plan.windows.B} x {plan.windows.T}"
        if possible != asked and SHAPE & self.space.distributions.keys():
            problem = f"the text is too short for train.batch x train.window = {asked}"
            raise UsageError(f"{problem}; {possible} would be possible")
        return session


def _run_exists(path: Path) -> bool:
    """Whether a run directory is there. Remains of one that was never complete are removed."""
    names = {temporary_for(file.name) or file.name for file in path.rglob("*")}
    own = not path.is_symlink() and names <= NO_LINKS | {f"{stem(0)}.npz"}
    if path.is_dir() and own and not (path / "run.json").exists():
        shutil.rmtree(path)
    return path.exists()


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
    except (MemoryError, WorkerError) as problem:
        trial.refuse("impossible", str(problem) or "there is not enough memory")
    else:
        if complete or pruned:
            trial.tell(complete=complete)


def _sampler(space: Space, number: int) -> BaseSampler:
    """The sampler for one trial. What it draws depends on the seed and on earlier trials."""
    options = space.options
    seed = int(np.random.SeedSequence([options.seed, number]).generate_state(1)[0])
    if options.sampler == "tpe":
        return TPESampler(seed=seed, n_startup_trials=STARTUP)
    if options.sampler == "random":
        return RandomSampler(seed=seed)
    return PartialFixedSampler(space.grid_point(number), RandomSampler(seed=seed))


def _suggest(trial: optuna.Trial, key: str, one: Distribution) -> None:
    """Let the sampler choose a value, if it has not chosen one before."""
    if isinstance(one, CategoricalDistribution):
        trial.suggest_categorical(key, one.choices)
    elif isinstance(one, IntDistribution):
        trial.suggest_int(key, one.low, one.high, step=one.step, log=one.log)
    else:
        trial.suggest_float(key, one.low, one.high, step=one.step, log=one.log)
