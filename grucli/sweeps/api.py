"""Sweeps from a script or a notebook: the library form of ``grucli sweep``.

Only its functions import Optuna, with the modules of this package that need it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grucli.arguments import PathLike, check_path, checked, file_names, plain
from grucli.errors import UsageError
from grucli.sweeps.summary import Summary
from grucli.text_out import word
from grucli.training.processes import check_not_imported_by_a_worker

if TYPE_CHECKING:
    from grucli.sweeps.worker import Worker


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

    Raises:
        UsageError: Optuna is missing, or the file, the text or the storage cannot be used.
        RunError: a file or the storage cannot be written.
    """
    worker = make_worker(file_names(sources), config, settings or {}, name, runs_dir, storage)
    for _ in worker.events():
        pass
    return worker.study.summary()


@checked
def read_study(folder: PathLike, storage: str | None = None) -> Summary:
    """Return the results so far of a study in a directory, or in the database with a URL."""
    _check_optuna()
    from grucli.sweeps.study import Study

    return Study.open(Path(folder), storage).summary()


def make_worker(
    sources: Sequence[str],
    config: PathLike | None,
    settings: Mapping[str, Any],
    name: str | None,
    runs_dir: PathLike | None,
    storage: str | None,
    words: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
) -> "Worker":
    """A worker of a study, which is made if there is none.

    ``words`` are the command line; the file has priority over the settings in ``base``.
    """
    _check_optuna()
    from grucli.sweeps.space import read_space
    from grucli.sweeps.storage import without_password
    from grucli.sweeps.worker import Worker

    check_not_imported_by_a_worker()
    file = None if config is None else Path(config)
    space = read_space(file, {key: plain(value) for key, value in settings.items()}, base)
    if storage is not None:
        words = [one.replace(storage, without_password(storage)) for one in words]
    command = " ".join(map(word, words)) or None
    return Worker(_study_folder(file, name, runs_dir), storage, space, sources, command)


def _check_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError(
            'a sweep needs Optuna: in the clone of grucli, pip install ".[sweep]"; '
            "all other commands work without it"
        ) from None


def _study_folder(config: Path | None, name: str | None, runs_dir: PathLike | None) -> Path:
    chosen = name or (config.stem if config else "sweep")
    if chosen != Path(chosen).name or chosen.startswith(".") or not chosen.isprintable():
        raise UsageError(f"name {chosen!r}: must be the name of a directory, without its path")
    return Path(check_path(Path("runs" if runs_dir is None else runs_dir) / chosen))
