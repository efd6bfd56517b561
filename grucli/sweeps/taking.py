"""Take trials of a study: those that have lost their worker first, then new ones.

Who trains a trial holds its claim, a lock that vanishes with the process. New trials are made, and
lost ones are looked for, under the lock of the study. So a trial that is running in the storage and
whose claim is free has lost its worker: there is no moment in which it has no claim yet.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grucli.errors import SettingsError
from grucli.files import Lock
from grucli.sweeps.optuna_storage import quietly
from grucli.sweeps.parameters import Parameter, Range
from grucli.sweeps.space import Space
from grucli.sweeps.study import Study
from grucli.sweeps.taken_trial import TakenTrial
from grucli.sweeps.trial import Trial, Work, trial_name

if TYPE_CHECKING:
    import optuna

STARTUP = 8
"""Trials with random values before TPE begins to choose."""

ALL_IMPOSSIBLE = 5
"""If so many trials are the first and are all impossible, the sweep ends."""


class Taker:
    """Takes the trials of a study for one worker.

    Args:
        study: the study.
        space: what the sweep file asks for.
    """

    def __init__(self, study: Study, space: Space) -> None:
        self.study, self.space = study, space

    def take(self) -> TakenTrial | None:
        """Take a trial that has lost its worker, or else a new one; None if there is none now.

        Raises:
            SettingsError: all trials so far were impossible.
            RunError: the study or a claim cannot be locked, read or written.
        """
        with quietly(self.study.place), self.study.lock:
            for number in self.study.running():
                if (taken := self._taken_over(number)) is not None:
                    return taken
            return self._new() if self._budget_is_left() else None

    def _taken_over(self, number: int) -> TakenTrial | None:
        claim, run = self.study.claim(number), self.study.folder / trial_name(number)
        # somebody may go on with the run by hand: the trial waits for its end
        if not claim.is_free() or not Lock(run / "lock").is_free() or not claim.acquire():
            return None
        return self._begun(number, claim, again=True)

    def _new(self) -> TakenTrial | None:
        from optuna.trial import TrialState, create_trial

        work, study = Work(folder=self.study.folder_id), self.study
        with quietly(study.place):
            # the folder comes with the trial at once, so that no trial lacks it after a kill
            template = create_trial(state=TrialState.RUNNING, user_attrs=work.to_attributes())
            number = study.storage.get_trial(study.new_trial(template)).number
        claim = study.claim(number)
        while not claim.acquire():  # ``is_free`` of another process holds it for a moment
            pass
        return self._begun(number, claim, again=False)

    def _begun(self, number: int, claim: Lock, *, again: bool) -> TakenTrial | None:
        """The trial with its values; None if it has ended in the meantime."""
        import optuna

        study = self.study
        try:
            with quietly(study.place):
                id_ = study.id_of_trial(number)
                if study.storage.get_trial(id_).state.is_finished():
                    claim.release()
                    return None
                study.optuna.sampler = self._sampler(number)
                trial = optuna.Trial(study.optuna, id_)
                values = {one.key: one.value(_suggest(trial, one)) for one in self.space.parameters}
            path = study.folder / trial_name(number)
            return TakenTrial(path, study.place, trial, values, claim, again=again)
        except BaseException:
            claim.release()
            raise

    def _sampler(self, number: int) -> "optuna.samplers.BaseSampler":
        """The sampler for one trial. What it draws depends on the seed and on earlier trials."""
        from optuna.samplers import PartialFixedSampler, RandomSampler, TPESampler

        options = self.space.options
        seed = int(np.random.SeedSequence([options.seed, number]).generate_state(1)[0])
        if options.sampler == "tpe":
            return TPESampler(seed=seed, n_startup_trials=STARTUP)
        if options.sampler == "random":
            return RandomSampler(seed=seed)
        point = self.space.grid_point(number)
        labels = {one.key: one.label(point[one.key]) for one in self.space.parameters}
        return PartialFixedSampler(labels, RandomSampler(seed=seed))

    # ---- budget

    def _budget_is_left(self) -> bool:
        """Whether another trial may begin; errors as in ``take``."""
        trials = self.study.trials()
        self._check_possible(trials)
        limit, minutes = self.space.trials, self.space.options.minutes
        if limit is not None and len(trials) >= limit:
            return False
        return minutes is None or self.study.minutes() < minutes

    def _check_possible(self, trials: Sequence[Trial]) -> None:
        limit = min(ALL_IMPOSSIBLE, self.space.trials or ALL_IMPOSSIBLE)
        if len(trials) < limit or any(one.status != "impossible" for one in trials):
            return
        raise SettingsError(
            f"{self.space.place}: all of the first {len(trials)} trials are impossible; the last: "
            f"{trials[-1].problem}\n(correct the file, and start another study with --name: "
            f"{self.study.folder} cannot change)"
        )


def _suggest(trial: "optuna.Trial", one: Parameter) -> Any:
    """The label of the value that the sampler chooses, or has chosen before."""
    if not isinstance(one, Range):
        return trial.suggest_categorical(one.key, one.labels)
    if one.whole:
        step = int(one.step or 1)
        return trial.suggest_int(one.key, int(one.low), int(one.high), step=step, log=one.log)
    return trial.suggest_float(one.key, one.low, one.high, step=one.step, log=one.log)
