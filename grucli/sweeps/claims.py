"""Claim trials of a study: those that have lost their worker first, then new ones.

Who trains a trial holds its claim, a lock that vanishes with the process. New trials are made, and
lost ones are looked for, under the lock of the study. So a trial that is running in the storage and
whose claim is free has lost its worker: there is no moment in which it has no claim yet.
"""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from grucli.errors import SettingsError
from grucli.files import Lock
from grucli.sweeps.space import Distribution, Space
from grucli.sweeps.storage import quietly
from grucli.sweeps.study import Study
from grucli.sweeps.summary import NOTES, TENTHS, Kind, TrialRecord, minutes_of_training

LOST = 5  # worker deaths in a row, without a new checkpoint, after which a trial is given up
STARTUP = 8  # trials with random values before TPE begins to choose
ALL_IMPOSSIBLE = 5  # if so many trials are the first and are all impossible, the sweep ends


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

    def tell(self, loss: float, step: int | None, *, complete: bool) -> None:
        """Tell the result of a trial that is at its end or was pruned."""
        self._end(complete=complete, loss=loss, step=step)

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


def claim_trial(study: Study, space: Space) -> ClaimedTrial | None:
    """Claim a trial that has lost its worker, or else a new one; None if there is none now."""
    with quietly(study.storage_name), study.lock():
        trials = study.trials()
        for record in trials:
            trial = _take_over(study, space, record) if record.status == "stopped" else None
            if trial is not None:
                return trial
        _check_possible(study, space, trials)
        limit, minutes = space.trials, space.options.minutes
        if limit is not None and len(trials) >= limit:
            return None
        if minutes is not None and minutes_of_training(trials) >= minutes:
            return None
        return _make(study, space)


def _take_over(study: Study, space: Space, record: TrialRecord) -> ClaimedTrial | None:
    claim = study.claim(record)
    # somebody may go on with the run by hand: the trial waits for its end
    if not Lock(study.folder / record.run / "lock").is_free() or not claim.acquire():
        return None
    return _open_trial(study, space, record.number, claim)


def _make(study: Study, space: Space) -> ClaimedTrial | None:
    new = TrialRecord(0, "running", {}, folder=study.folder_id)
    # the folder comes with the trial at once, so that no trial lacks it after a kill
    template = create_trial(state=TrialState.RUNNING, user_attrs={NOTES: new.notes()})
    id_ = study.storage.create_new_trial(_study_id(study), template)
    number = study.storage.get_trial(id_).number
    claim = study.claim(replace(new, number=number))
    while not claim.acquire():  # ``is_free`` of another process holds it for a moment
        pass
    return _open_trial(study, space, number, claim)


def _study_id(study: Study) -> int:
    return study.storage.get_study_id_from_name(study.optuna_study.study_name)


def _open_trial(study: Study, space: Space, number: int, claim: Lock) -> ClaimedTrial | None:
    """The trial with its values; None if it has ended in the meantime."""
    try:
        id_ = study.storage.get_trial_id_from_study_id_trial_number(_study_id(study), number)
        if study.storage.get_trial(id_).state.is_finished():
            claim.release()
            return None
        study.optuna_study.sampler = _sampler(space, number)
        trial = optuna.Trial(study.optuna_study, id_)
        for key, distribution in space.distributions.items():
            _suggest(trial, key, distribution)
        return ClaimedTrial(study, trial, study.record(study.storage.get_trial(id_)), claim)
    except BaseException:
        claim.release()
        raise


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


def _check_possible(study: Study, space: Space, trials: Sequence[TrialRecord]) -> None:
    limit = min(ALL_IMPOSSIBLE, space.trials or ALL_IMPOSSIBLE)
    if len(trials) < limit or any(one.status != "impossible" for one in trials):
        return
    raise SettingsError(
        f"{space.source}: all of the first {len(trials)} trials are impossible; the last: "
        f"{trials[-1].problem}\n(correct the file, and start another study with --name: "
        f"{study.folder} cannot change)"
    )
