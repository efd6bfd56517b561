"""A study: its trials in Optuna's storage, and the folder with their runs.

The workers that share the folder see its locks. Trials and runs carry the id of their folder, so
that no worker with another folder and the same database, and no other study, takes them.
"""

import hashlib
import json
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from grucli.config import INFLUENCES, held_out_files, without_former
from grucli.errors import CheckpointError, SettingsError, UsageError
from grucli.files import Lock, open_own, read_small, refuse_link, replace_text
from grucli.nn.cells.from_file import FILES
from grucli.sweeps.space import Space, from_json, from_optuna, to_json
from grucli.sweeps.storage import JOURNAL, WaitingLock, connect, journal, quietly
from grucli.sweeps.summary import ENOUGH, TENTHS, Summary, TrialRecord, by_result, minutes_trained

DEFINITION = "grucli"  # the attribute of a study that says what all of its workers agree on
FOLDER = "folder"  # and one for each of its folders: this word and the id of the folder
LOCK, FOLDER_ID = "study.lock", "folder"  # files of the folder
ENDS = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}

# settings in which workers may differ, such as the number of processes: machines differ, too
MAY_DIFFER = {key for key, what in INFLUENCES.items() if what in ("rounding", "nothing")}

# JSON of what all workers agree on: "parameters", the settings that have a range; "fixed", the
# others, without those that may differ; "sweep", how values are chosen; "text", its SHA-256;
# "cells", that of the file of each cell that is none of the package
Definition = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A study that is in its storage, and the folder of its runs."""

    folder: Path
    folder_id: str  # all trials and runs of the folder carry it
    storage_name: str  # for messages
    storage: BaseStorage
    optuna_study: optuna.Study
    definition: Definition

    # ---- open

    @classmethod
    def create(cls, folder: Path, url: str | None, space: Space, text: str) -> "Study":
        """Make a study on a text with this SHA-256, or join it if it is there."""
        storage_name, storage = connect(folder, url)
        _make_folder(folder)
        with quietly(storage_name), WaitingLock(folder / LOCK) as lock:
            if Lock(lock.path).is_free():
                raise UsageError(
                    f"{folder}: its file system has no locks, so that two workers could train the "
                    "same trial; choose another directory with --runs-dir"
                )
            if url is None and ((folder / JOURNAL).exists() or not (folder / FOLDER_ID).exists()):
                storage = journal(folder)
            folder_id, name = _names(folder, storage)
            if storage is None or name is None:
                raise UsageError(
                    f"{folder}: belongs to a study that is not in {storage_name}; choose "
                    "another name with --name, or move this directory away"
                )
            study = optuna.create_study(
                storage=storage, study_name=name, load_if_exists=True,
                pruner=_pruner(space.options.pruner),
            )  # fmt: skip
            definition = _agreed_definition(study, folder, space, text)
            if not folder_id:  # of which the study knows first, in case of a kill
                folder_id = uuid.uuid4().hex
                study.set_user_attr(f"{FOLDER} {folder_id}", True)
                replace_text(folder / FOLDER_ID, folder_id + "\n")
        return cls(folder, folder_id, storage_name, storage, study, definition)

    @classmethod
    def open(cls, folder: Path, url: str | None) -> "Study":
        """Open a study that exists, to read it; CheckpointError if there is none."""
        storage_name, storage = connect(folder, url)
        _check_files(folder)
        if url is None and not (folder / JOURNAL).is_file():
            raise CheckpointError(
                f"{folder}: holds no {JOURNAL}, so it is no study, or one in a database, "
                "which --storage must name"
            )
        with quietly(storage_name):
            storage = storage or journal(folder)
            folder_id, name = _names(folder, storage)
            known = name in [one.study_name for one in storage.get_all_studies()]
            study = optuna.load_study(study_name=name, storage=storage) if known else None
            definition = None if study is None else _stored_definition(study)
        if study is None or definition is None:
            raise CheckpointError(f"{folder}: there is no such study in {storage_name}")
        return cls(folder, folder_id, storage_name, storage, study, definition)

    # ---- read

    @property
    def id(self) -> int:
        """Its number in the storage."""
        return self.storage.get_study_id_from_name(self.optuna_study.study_name)

    def trials(self) -> list[TrialRecord]:
        with quietly(self.storage_name):
            return [self.record(one) for one in self.optuna_study.get_trials(deepcopy=False)]

    def record(self, frozen: FrozenTrial) -> TrialRecord:
        values = {
            key: from_optuna(key, frozen.params[key])
            for key in self.definition["parameters"]
            if key in frozen.params
        }
        end = ENDS.get(frozen.state.name, "")
        record = TrialRecord.read(frozen.number, end, values, frozen.user_attrs)
        if end:
            status = record.kind or end
        elif record.folder != self.folder_id:
            status = "elsewhere"
        else:
            status = "stopped" if self.claim(record).is_free() else "running"
        return replace(record, status=status)

    def claim(self, record: TrialRecord) -> Lock:
        """The lock that the worker of a trial holds."""
        return Lock(self.folder / "claims" / record.run)

    def lock(self) -> WaitingLock:
        """The lock under which trials are made and claimed."""
        return WaitingLock(self.folder / LOCK)

    def trains_here(self) -> bool:
        """Whether a worker on this machine trains a trial of this folder."""
        host = socket.gethostname()
        return any(one.status == "running" and one.host == host for one in self.trials())

    def summary(self) -> Summary:
        trials = self.trials()
        return Summary(
            self.folder, sorted(trials, key=by_result), self._importances(trials),
            minutes_trained(trials), self.definition["fixed"], self.folder_id,
        )  # fmt: skip

    def _importances(self, trials: Sequence[TrialRecord]) -> dict[str, float]:
        """How much each parameter mattered, with the sum 1; empty if there are too few trials."""
        losses = [one.loss for one in trials if one.status == "done"]
        if len(losses) < ENOUGH or len({*losses}) < 2:
            return {}
        with quietly(self.storage_name):
            shares = optuna.importance.get_param_importances(self.optuna_study)
        return {key: float(share) for key, share in shares.items()}


# ---- the folder


def _make_folder(folder: Path) -> None:
    """Make the folder of a study; UsageError if this is impossible, or another thing is there."""
    if (folder / "run.json").exists():
        raise UsageError(f"{folder}: is a run; choose another name with --name")
    try:
        (folder / "claims").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}") from None
    _check_files(folder)


def _check_files(folder: Path) -> None:
    """Refuse links and what is no file: Optuna would follow them, or wait for the end of a pipe."""
    try:
        for name in (JOURNAL, "journal.lock", LOCK, FOLDER_ID):
            with suppress(FileNotFoundError, NotADirectoryError):
                open_own(folder / name).close()
        for path in [folder / "claims", *folder.glob("claims/*"), *folder.glob("trial-*")]:
            refuse_link(path)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None


def _names(folder: Path, storage: BaseStorage | None) -> tuple[str, str | None]:
    """The id of a folder, empty if it is new, and the name in the storage of its study, or None."""
    studies = [] if storage is None else storage.get_all_studies()
    if not (folder / FOLDER_ID).exists():
        in_journal = isinstance(storage, optuna.storages.JournalStorage)  # which has a single study
        return "", studies[0].study_name if in_journal and studies else folder.name
    folder_id = read_small(folder / FOLDER_ID, 100).decode(errors="replace").strip()
    attribute = f"{FOLDER} {folder_id}"
    names = [one.study_name for one in studies if attribute in one.user_attrs]
    return folder_id, names[0] if names else None


# ---- what all workers agree on


def _agreed_definition(study: optuna.Study, folder: Path, space: Space, text: str) -> Definition:
    """Store the definition of a new study; SettingsError if an old one has another."""
    new: Definition = {
        "parameters": {key: to_json(one) for key, one in space.distributions.items()},
        "fixed": {key: one for key, one in space.fixed.items() if key not in MAY_DIFFER},
        "sweep": space.options.model_dump(include={"sampler", "pruner", "seed"}),
        "text": text,
        "cells": _own_cells(space),
    }
    new, old = json.loads(json.dumps(new)), _stored_definition(study)
    if old is None:
        study.set_user_attr(DEFINITION, new)
    elif lines := list(_differences(old, new, space.source)):
        raise SettingsError(
            "\n".join(lines) + f"\n(the study {folder} cannot change, except for sweep.trials "
            "and sweep.minutes; --name starts another one)"
        )
    return new


def _stored_definition(study: optuna.Study) -> Definition | None:
    stored = study.user_attrs.get(DEFINITION)
    if stored is None:
        return None
    ranges = {key: to_json(from_json(one)) for key, one in stored["parameters"].items()}
    kept = without_former(stored["fixed"])
    fixed = {key: one for key, one in kept.items() if key not in MAY_DIFFER}
    return {**stored, "fixed": fixed, "parameters": ranges}


def _differences(old: Definition, new: Definition, source: str) -> Iterator[str]:
    moved = held_out_files(old["fixed"]).keys() & held_out_files(new["fixed"])
    for part in ("parameters", "fixed", "sweep"):
        for key in {**old[part], **new[part]}:
            before, now = old[part].get(key), new[part].get(key)
            if before != now and key not in moved:  # their text is compared
                name = f"sweep.{key}" if part == "sweep" else key
                yield f"{source}: {name}: was {json.dumps(before)}, and is {json.dumps(now)}"
    if old["text"] != new["text"]:
        yield "the text is another one than at the start of the study"
    for cell in old.get("cells", {}):
        if old["cells"][cell] != new["cells"].get(cell):
            what = "is another one" if cell in new["cells"] else "is missing"
            yield f"the file of the cell {cell} {what}; name that of the study with --cell-file"


def _own_cells(space: Space) -> dict[str, str]:
    """The SHA-256 of the file of each cell of the study that is none of the package."""
    choice = getattr(space.distributions.get("model.cell"), "choices", ())
    own = FILES.keys() & {*choice, space.fixed.get("model.cell")}
    return {cell: hashlib.sha256(FILES[cell][1]).hexdigest() for cell in sorted(own)}


def _pruner(name: str) -> BasePruner:
    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=TENTHS, reduction_factor=3)
    if name == "median":
        return MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    return NopPruner()
