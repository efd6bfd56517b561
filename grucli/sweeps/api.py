"""Sweeps from a script or a notebook: two functions that do what ``grucli sweep`` does."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grucli.arguments import PathLike, check_path, checked, plain
from grucli.errors import UsageError
from grucli.sweeps.optuna_storage import check_optuna
from grucli.sweeps.space import read_space
from grucli.sweeps.study import Study
from grucli.sweeps.summary import Summary, summarize
from grucli.sweeps.worker import Worker
from grucli.training.parallel import check_not_imported_by_a_worker


@checked
def sweep(
    *sources: PathLike,
    config: PathLike | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
    runs_dir: PathLike | None = None,
    storage: str | None = None,
) -> Summary:
    """Train runs whose settings Optuna chooses, until the budget of the study is used.

    The same call in several processes, on any machines that share the directory, works on the same
    study. A call for a study that was stopped goes on with it.

    Args:
        sources: files and directories, read as one text.
        config: a sweep file.
        settings: values and ranges by dotted key, such as ``{"model.hidden": {"choice": [64, 128]},
            "sweep.trials": 8}``; they have priority over the file.
        name: the name of the study; None takes the name of the file, or "sweep".
        runs_dir: the directory in which the study has its directory; None means ``runs``.
        storage: the URL of a database, as for SQLAlchemy; None keeps the study beside its runs.

    Returns:
        What came of the study.

    Raises:
        UsageError: Optuna is missing, or the file, the text or the storage cannot be used.
        RunError: a file or the storage cannot be written.
    """
    check_optuna()
    check_not_imported_by_a_worker()
    file = None if config is None else Path(config)
    space = read_space(file, {key: plain(value) for key, value in (settings or {}).items()})
    study = Study(study_folder(file, name, runs_dir), storage)
    for _ in Worker(study, space, [os.fspath(source) for source in sources]).events():
        pass
    return summarize(study)


def study_folder(config: Path | None, name: str | None, runs_dir: PathLike | None) -> Path:
    """The folder of a study; arguments as in ``sweep``.

    Raises:
        UsageError: the name cannot be that of a folder.
    """
    chosen = name or (config.stem if config else "sweep")
    if chosen != Path(chosen).name or chosen.startswith(".") or not chosen.isprintable():
        raise UsageError(f"name {chosen!r}: must be the name of a directory, without its path")
    return Path(check_path(Path("runs" if runs_dir is None else runs_dir) / chosen))


@checked
def read_study(folder: PathLike, storage: str | None = None) -> Summary:
    """Return what came of a study so far.

    Args:
        folder: the directory of the study.
        storage: the URL of its database; None if the study lies in the directory.

    Raises:
        UsageError: Optuna is missing, or there is no such study.
        RunError: the storage cannot be read.
    """
    study = Study(Path(folder), storage)
    study.load()
    return summarize(study)
