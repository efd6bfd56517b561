"""A study: its trials in Optuna's storage, and the folder with their runs.

The workers that share the folder see its locks. A folder belongs to one study, which knows its id.
Each trial carries the id of its folder, so that a worker with another folder and the same database
does not take it, and each run carries it, so that no other study takes the run for one of its own.
"""

import json
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grucli.config import INFLUENCES, Values
from grucli.errors import CheckpointError, SettingsError, UsageError
from grucli.files import Lock, open_own, read_small, refuse_link, replace_text
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
from grucli.sweeps.trial import TENTHS, Trial, Work, trial_name

if TYPE_CHECKING:
    import optuna

DEFINITION = "grucli"
"""The attribute of a study that says what it is."""

FOLDER = "folder"
"""The attribute of a study for each of its folders, followed by the id of the folder."""

MAY_DIFFER = {key for key, one in INFLUENCES.items() if one in ("rounding", "nothing")}
"""Settings in which workers may differ, such as the number of processes: machines differ, too."""


@dataclass(frozen=True)
class Definition:
    """What all workers of a study must agree on.

    Attributes:
        parameters: the parameters.
        fixed: the other settings, by dotted key, without those that may differ.
        sweep: how values are chosen.
        text: SHA-256 of the text.
    """

    parameters: Sequence[Parameter]
    fixed: Values
    sweep: dict[str, Any]
    text: str

    @classmethod
    def of(cls, space: Space, text: str) -> "Definition":
        """The definition of a study on a text with this SHA-256."""
        fixed = {key: one for key, one in space.fixed.items() if key not in MAY_DIFFER}
        options = space.options.model_dump(include={"sampler", "pruner", "seed"})
        return cls(space.parameters, fixed, options, text)

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
    fixed = {key: one for key, one in stored["fixed"].items() if key not in MAY_DIFFER}
    return Definition(parameters, fixed, stored["sweep"], stored["text"])


class Study:
    """A study and the folder of its runs.

    Args:
        folder: the folder; a new study has its name.
        url: the database; None for a journal in the folder.

    Attributes:
        folder: the folder.
        folder_id: its id, which all its trials and runs carry; empty before the study is made.
        place: the storage, for messages.
        lock: the lock under which trials are made and taken.
        storage: Optuna's storage.
        optuna: Optuna's study.
        definition: what all workers agree on.

    Raises:
        UsageError: Optuna is missing, or the database cannot be used.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        check_optuna()
        self.folder, self._url = folder, url
        self.place = str(folder / JOURNAL) if url is None else without_password(url)
        self.lock = WaitingLock(folder / "study.lock")
        self.folder_id = ""
        with quietly(self.place):
            self.storage: Any = None if url is None else database(url)
        self.optuna: Any = None
        self.definition: Definition

    # ---- open

    def create(self, space: Space, text: str) -> None:
        """Make the study, or join it if it is there.

        Args:
            space: what the sweep file asks for.
            text: SHA-256 of the text.

        Raises:
            SettingsError: the study was started with another file or another text.
            UsageError: the folder cannot be used, or belongs to another study.
        """
        import optuna

        self.space = space
        if (self.folder / "run.json").exists():
            raise UsageError(f"{self.folder}: is a run; choose another name with --name")
        try:
            (self.folder / "claims").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.folder}: cannot be made: {error.strerror}") from None
        _check_files(self.folder)
        with quietly(self.place), self.lock:
            if not locks_work(self.lock.path):
                raise UsageError(
                    f"{self.folder}: its file system has no locks, so that two workers could train "
                    "the same trial; choose another directory with --runs-dir"
                )
            name = self._name()
            if name is None:
                raise UsageError(
                    f"{self.folder}: belongs to a study that is not in {self.place}; choose "
                    "another name with --name, or move this directory away"
                )
            self.optuna = optuna.create_study(
                storage=self.storage, study_name=name, load_if_exists=True,
                pruner=_pruner(space.options.pruner),
            )  # fmt: skip
            self._agree(Definition.of(space, text))
            self._own_folder()

    def _name(self) -> str | None:
        """The name in the storage of the study of this folder, which may have been renamed.

        None if the folder belongs to a study that is not there.
        """
        path, is_new = self.folder / "folder", not (self.folder / "folder").exists()
        if not is_new and self._url is None and not (self.folder / JOURNAL).exists():
            return None
        self.storage = self.storage or journal(self.folder)
        studies = self.storage.get_all_studies()
        if is_new:  # a journal has a single study
            names = [one.study_name for one in studies if self._url is None]
            return names[0] if names else self.folder.name
        self.folder_id = read_small(path, 100).decode(errors="replace").strip()
        known = f"{FOLDER} {self.folder_id}"
        return next((one.study_name for one in studies if known in one.user_attrs), None)

    def _own_folder(self) -> None:
        """Give a new folder its id, of which the study knows first, in case of a kill."""
        if not self.folder_id:
            new = uuid.uuid4().hex
            self.optuna.set_user_attr(f"{FOLDER} {new}", True)
            replace_text(self.folder / "folder", new + "\n")
            self.folder_id = new

    def _agree(self, mine: Definition) -> None:
        """Store the definition of a new study; compare it with that of an old one."""
        new = json.loads(json.dumps(mine.to_dict()))
        old = self.optuna.user_attrs.get(DEFINITION)
        if old is None:
            self.optuna.set_user_attr(DEFINITION, new)
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
        _check_files(self.folder)
        if self._url is None and not (self.folder / JOURNAL).is_file():
            raise CheckpointError(
                f"{self.folder}: holds no {JOURNAL}, so it is no study, or one in a database, "
                "which --storage must name"
            )
        with quietly(self.place):
            name = self._name()
            if name is None:
                raise none
            try:
                self.optuna = optuna.load_study(study_name=name, storage=self.storage)
            except KeyError:
                raise none from None
            stored = self.optuna.user_attrs.get(DEFINITION)
            if stored is None:
                raise none
            self.definition = _read_definition(stored)

    # ---- read

    def trials(self) -> list[Trial]:
        """All trials, in their order."""
        with quietly(self.place):
            return [self._described(one) for one in self.optuna.get_trials(deepcopy=False)]

    def importances(self) -> dict[str, float]:
        """How much each parameter mattered, with the sum 1; empty if there are too few trials."""
        import optuna

        done = [one for one in self.trials() if one.status == "done"]
        if len(done) < 4 or len({one.loss for one in done}) < 2:
            return {}
        with quietly(self.place):
            found = optuna.importance.get_param_importances(self.optuna)
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
        if work.folder != self.folder_id:
            return "elsewhere"
        return "stopped" if self.claim(number).is_free() else "running"

    def _values(self, params: Values) -> Values:
        """The values of the settings, by the labels that Optuna stores."""
        return {
            one.key: one.value(params[one.key])
            for one in self.definition.parameters
            if one.key in params
        }

    def claim(self, number: int) -> Lock:
        """The lock that the worker of a trial holds."""
        return Lock(self.folder / "claims" / trial_name(number))

    def running(self) -> list[int]:
        """The numbers of the trials of this folder that are not at their end."""
        from optuna.trial import TrialState

        with quietly(self.place):
            found = self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            return [one.number for one in found if Work.of(one.user_attrs).folder == self.folder_id]

    def new_trial(self, template: "optuna.trial.FrozenTrial") -> int:
        """Make a trial; return the id that Optuna's storage gives to it."""
        study = self.storage.get_study_id_from_name(self.optuna.study_name)
        return int(self.storage.create_new_trial(study, template))

    def id_of_trial(self, number: int) -> int:
        """The id that Optuna's storage has given to a trial."""
        study = self.storage.get_study_id_from_name(self.optuna.study_name)
        return int(self.storage.get_trial_id_from_study_id_trial_number(study, number))

    def trains_here(self) -> bool:
        """Whether a worker on this machine trains a trial of this folder."""
        with quietly(self.place):
            found = self.optuna.get_trials(deepcopy=False)
            here = [one for one in found if Work.of(one.user_attrs).host == socket.gethostname()]
        return bool({one.number for one in here if not self.claim(one.number).is_free()})

    def minutes(self) -> float:
        """Minutes in which at least one worker trained a trial."""
        with quietly(self.place):
            found = self.optuna.get_trials(deepcopy=False)
            sessions = [one for trial in found for one in Work.of(trial.user_attrs).sessions]
        return _union(sessions) / 60


def _check_files(folder: Path) -> None:
    """Refuse links and what is no file: Optuna would follow them, or wait for the end of a pipe.

    Raises:
        UsageError: there is such a thing.
    """
    try:
        for name in (JOURNAL, "journal.lock", "study.lock", "folder"):
            with suppress(FileNotFoundError, NotADirectoryError):
                open_own(folder / name).close()
        for path in [folder / "claims", *folder.glob("claims/*"), *folder.glob("trial-*")]:
            refuse_link(path)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None


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
