"""A study: its trials in Optuna's storage, and the folder with their runs.

Who trains a trial holds its claim, a lock that vanishes with the process. New trials are made, and
lost ones are looked for, under the lock of the study. So a trial that is running in the storage and
whose claim is free has lost its worker: there is no moment in which a trial has no claim yet.

The claims of a folder are seen by the workers that share the folder. Each trial carries the id of
its folder, so that a worker with another folder and the same database does not take it.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grucli.config import Values
from grucli.errors import CheckpointError, SettingsError, UsageError
from grucli.files import Lock, read_small, replace_text
from grucli.sweeps.locks import WaitingLock, locks_work
from grucli.sweeps.optuna_storage import (
    JOURNAL,
    check_optuna,
    database,
    journal,
    quietly,
    without_password,
)
from grucli.sweeps.parameters import Parameter, Range, parameter
from grucli.sweeps.space import Space
from grucli.sweeps.trial import TENTHS, TakenTrial, Trial, Work, trial_name

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

DEFINITION = "grucli"
"""The attribute of a study that says what it is."""

STARTUP = 8
"""Trials with random values before TPE begins to choose."""

ALL_IMPOSSIBLE = 5
"""If so many trials are the first and are all impossible, the sweep ends."""


@dataclass(frozen=True)
class Definition:
    """What all workers of a study must agree on.

    Attributes:
        parameters: the parameters.
        fixed: the other settings, by dotted key.
        sweep: how values are chosen.
        text: SHA-256 of the text.
    """

    parameters: Sequence[Parameter]
    fixed: Values
    sweep: dict[str, Any]
    text: str

    def to_dict(self) -> dict[str, Any]:
        """The definition for JSON."""
        ranges = {one.key: one.to_dict() for one in self.parameters}
        return {"parameters": ranges, "fixed": self.fixed, "sweep": self.sweep, "text": self.text}


def _read_definition(stored: Any) -> Definition:
    """The definition from its JSON."""
    parameters = [
        parameter(key, one) if "choice" in one else Range(key, **one)
        for key, one in stored["parameters"].items()
    ]
    return Definition(parameters, stored["fixed"], stored["sweep"], stored["text"])


class Study:
    """A study and the folder of its runs.

    Args:
        folder: the folder; its name is the name of the study.
        url: the database; None for a journal in the folder.

    Attributes:
        folder: the folder.
        place: the storage, for messages.

    Raises:
        UsageError: Optuna is missing, or the database cannot be reached.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        check_optuna()
        self.folder, self._url = folder, url
        self.place = str(folder / JOURNAL) if url is None else without_password(url)
        self._lock = WaitingLock(folder / "study.lock")
        self._folder_id = ""
        with quietly(self.place):
            self._storage: BaseStorage | None = None if url is None else database(url)
        self._study: optuna.Study

    # ---- open

    def create(self, space: Space, text: str) -> None:
        """Make the study, or join it if it is there.

        Args:
            space: what the sweep file asks for.
            text: SHA-256 of the text.

        Raises:
            SettingsError: the study was started with another file or another text.
            UsageError: the folder cannot be used.
        """
        import optuna

        self.space = space
        try:
            (self.folder / "claims").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.folder}: cannot be made: {error.strerror}") from None
        with self._lock, quietly(self.place):
            if not locks_work(self._lock.path):
                raise UsageError(
                    f"{self.folder}: its file system has no locks, so that two workers could train "
                    "the same trial; choose another directory with --runs-dir"
                )
            self._folder_id = self._own_id()
            self._storage = self._storage or journal(self.folder)
            self._study = optuna.create_study(
                storage=self._storage, study_name=self.folder.name, load_if_exists=True,
                pruner=_pruner(space.options.pruner),
            )  # fmt: skip
            self._agree(Definition(space.parameters, space.fixed, space.to_dict()["sweep"], text))

    def _own_id(self) -> str:
        """The id of the folder, made at the first time."""
        path = self.folder / "folder"
        if not path.exists():
            replace_text(path, uuid.uuid4().hex + "\n")
        return read_small(path, 100).decode().strip()

    def _agree(self, mine: Definition) -> None:
        """Store the definition of a new study; compare it with that of an old one."""
        new = json.loads(json.dumps(mine.to_dict()))
        old = self._study.user_attrs.get(DEFINITION)
        if old is None:
            self._study.set_user_attr(DEFINITION, new)
        elif differ := list(_differences(old, new, self.space.place)):
            raise SettingsError(
                "\n".join(differ) + f"\n(the study {self.folder} cannot change, except for "
                "sweep.trials and sweep.minutes; --name starts another one)"
            )
        self.definition = mine

    def load(self) -> None:
        """Open a study that exists, to read it.

        Raises:
            CheckpointError: there is no such study.
        """
        import optuna

        none = CheckpointError(f"{self.folder}: there is no such study in {self.place}")
        if self._url is None and not (self.folder / JOURNAL).is_file():
            raise CheckpointError(
                f"{self.folder}: holds no {JOURNAL}, so it is no study, or one in a database: "
                "name that with --storage"
            )
        with quietly(self.place):
            self._storage = self._storage or journal(self.folder)
            try:
                self._study = optuna.load_study(study_name=self.folder.name, storage=self._storage)
            except KeyError:
                raise none from None
            stored = self._study.user_attrs.get(DEFINITION)
        if stored is None:
            raise none
        self.definition = _read_definition(stored)
        if (self.folder / "folder").exists():
            self._folder_id = self._own_id()

    # ---- read

    def trials(self) -> list[Trial]:
        """All trials, in their order."""
        with quietly(self.place):
            found = self._study.get_trials(deepcopy=False)
        return [self._described(one) for one in found]

    def importances(self) -> dict[str, float]:
        """How much each parameter mattered, with the sum 1; empty if there are too few trials."""
        import optuna

        done = [one for one in self.trials() if one.status == "done"]
        if len(done) < 4 or len({one.loss for one in done}) < 2:
            return {}
        with quietly(self.place):
            found = optuna.importance.get_param_importances(self._study)
        return {key: float(share) for key, share in found.items()}

    def _described(self, frozen: "optuna.trial.FrozenTrial") -> Trial:
        status = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}.get(frozen.state.name)
        work = Work.of(frozen.user_attrs)
        return Trial(
            number=frozen.number,
            status=work.kind or status or self._status_of_running(frozen.number, work),
            loss=work.loss,
            step=work.step,
            values=self._values(frozen.params),
            problem=work.problem,
            run=trial_name(frozen.number),
        )

    def _status_of_running(self, number: int, work: Work) -> str:
        if work.folder != self._folder_id:
            return "elsewhere"
        return "stopped" if self._claim(number).is_free() else "running"

    def _values(self, params: Values) -> Values:
        """The values of the settings, by the labels that Optuna stores."""
        return {
            one.key: one.value(params[one.key])
            for one in self.definition.parameters
            if one.key in params
        }

    # ---- take trials

    def _claim(self, number: int) -> Lock:
        return Lock(self.folder / "claims" / trial_name(number))

    def others_train(self) -> bool:
        """Whether a trial of this folder is not at its end."""
        return bool(list(self._running()))

    def _running(self) -> Iterator["optuna.trial.FrozenTrial"]:
        """The trials of this folder that are not at their end."""
        from optuna.trial import TrialState

        with quietly(self.place):
            found = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return (one for one in found if Work.of(one.user_attrs).folder == self._folder_id)

    def take(self) -> TakenTrial | None:
        """Take a trial that has lost its worker, or else a new one; None if there is none now.

        Raises:
            SettingsError: all trials so far were impossible.
        """
        with self._lock:
            for frozen in self._running():
                if (taken := self._taken_over(frozen.number)) is not None:
                    return taken
            return self._new() if self._budget_is_left() else None

    def _taken_over(self, number: int) -> TakenTrial | None:
        claim, run = self._claim(number), self.folder / trial_name(number)
        # somebody may go on with the run by hand: the trial waits for its end
        if not claim.is_free() or not Lock(run / "lock").is_free() or not claim.acquire():
            return None
        return self._begun(number, claim, again=True)

    def _new(self) -> TakenTrial | None:
        from optuna.trial import TrialState, create_trial

        work = Work(folder=self._folder_id)
        with quietly(self.place):
            assert self._storage is not None
            # the folder comes with the trial at once, so that no trial lacks it after a kill
            template = create_trial(state=TrialState.RUNNING, user_attrs=work.to_attributes())
            study_id = self._storage.get_study_id_from_name(self.folder.name)
            id_ = self._storage.create_new_trial(study_id, template)
            number = self._storage.get_trial(id_).number
        claim = self._claim(number)
        while not claim.acquire():  # ``is_free`` of another process holds it for a moment
            pass
        return self._begun(number, claim, again=False)

    def _begun(self, number: int, claim: Lock, *, again: bool) -> TakenTrial | None:
        """The trial with its values; None if it has ended in the meantime."""
        import optuna

        try:
            with quietly(self.place):
                assert self._storage is not None
                study_id = self._storage.get_study_id_from_name(self.folder.name)
                id_ = self._storage.get_trial_id_from_study_id_trial_number(study_id, number)
                if self._storage.get_trial(id_).state.is_finished():
                    claim.release()
                    return None
                self._study.sampler = self._sampler(number)
                trial = optuna.Trial(self._study, id_)
                values = {one.key: one.value(_suggest(trial, one)) for one in self.space.parameters}
            return TakenTrial(self, trial, values, claim, again=again)
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
        trials = self.trials()
        self._check_possible(trials)
        limit, minutes = self.space.trials, self.space.options.minutes
        if limit is not None and len(trials) >= limit:
            return False
        return minutes is None or self.minutes() < minutes

    def minutes(self) -> float:
        """Minutes in which at least one worker trained a trial."""
        with quietly(self.place):
            found = self._study.get_trials(deepcopy=False)
        sessions = [one for trial in found for one in Work.of(trial.user_attrs).sessions]
        return _union(sessions) / 60

    def _check_possible(self, trials: Sequence[Trial]) -> None:
        limit = min(ALL_IMPOSSIBLE, self.space.trials or ALL_IMPOSSIBLE)
        if len(trials) < limit or any(one.status != "impossible" for one in trials):
            return
        raise SettingsError(
            f"{self.space.place}: all of the first {len(trials)} trials are impossible; the last: "
            f"{trials[-1].problem}\n(the study {self.folder} cannot change: correct the file, and "
            "start another one with --name)"
        )

    def reported(self, number: int) -> list[int]:
        """The tenths of a trial whose losses were reported."""
        with quietly(self.place):
            return list(self._study.get_trials(deepcopy=False)[number].intermediate_values)


def _suggest(trial: "optuna.Trial", one: Parameter) -> Any:
    """The label of the value that the sampler chooses, or has chosen before."""
    if not isinstance(one, Range):
        return trial.suggest_categorical(one.key, one.labels)
    if one.whole:
        step = int(one.step or 1)
        return trial.suggest_int(one.key, int(one.low), int(one.high), step=step, log=one.log)
    return trial.suggest_float(one.key, one.low, one.high, step=one.step, log=one.log)


def _pruner(name: str) -> "optuna.pruners.BasePruner":
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=TENTHS, reduction_factor=3)
    if name == "median":
        return MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    return NopPruner()


def _union(sessions: Sequence[tuple[float, float]]) -> float:
    """The length of the union of some intervals."""
    total, reached = 0.0, 0.0
    for begin, end in sorted(sessions):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _differences(old: Any, new: Any, place: str) -> Iterator[str]:
    """A line for each difference of two definitions."""
    for part in ("parameters", "fixed", "sweep"):
        for key in {**old[part], **new[part]}:
            before, now = old[part].get(key), new[part].get(key)
            if before != now:
                name = f"sweep.{key}" if part == "sweep" else key
                yield f"{place}: {name}: was {json.dumps(before)}, and is {json.dumps(now)}"
    if old["text"] != new["text"]:
        yield "the text is another one than at the start of the study"
