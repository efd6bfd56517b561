"""Training from a script or a notebook: two functions that do what ``grucli train`` does.

These functions print nothing. Notes for the user are in the event ``Started``.
"""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from grucli.arguments import PathLike, checked, file_names, plain
from grucli.config import Values
from grucli.data.vocabulary import Unknown
from grucli.errors import SettingsError, UsageError
from grucli.run.run import Run
from grucli.training.events import Event, Finished, closed_at_exit
from grucli.training.mpi import joined
from grucli.training.other_ranks import take_part
from grucli.training.request import Request


def train(
    *sources: PathLike,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    config: PathLike | None = None,
    name: str | None = None,
    runs_dir: PathLike | None = None,
    resume: PathLike | None = None,
    init_from: PathLike | None = None,
    unknown: Unknown = "error",
    extend_vocabulary: bool = False,
    mpi: bool = False,
) -> Run:
    """Train a model on a text. Arguments and errors are those of ``train_events``.

    Returns:
        The run, after it has ended.
    """
    events = train_events(
        *sources,
        minutes=minutes,
        epochs=epochs,
        steps=steps,
        seed=seed,
        settings=settings,
        config=config,
        name=name,
        runs_dir=runs_dir,
        resume=resume,
        init_from=init_from,
        unknown=unknown,
        extend_vocabulary=extend_vocabulary,
        mpi=mpi,
    )
    (run,) = (event.run for event in events if isinstance(event, Finished))
    return run


@checked
def train_events(
    *sources: PathLike,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    config: PathLike | None = None,
    name: str | None = None,
    runs_dir: PathLike | None = None,
    resume: PathLike | None = None,
    init_from: PathLike | None = None,
    unknown: Unknown = "error",
    extend_vocabulary: bool = False,
    mpi: bool = False,
) -> Generator[Event, None, None]:
    """Train a model on a text and yield the events, from ``Started`` to ``Finished``.

    Nothing is read or written before the first event is requested. If the generator is closed, as
    by leaving the loop, or at exit, the run stops after its step: it is saved, and can be resumed.
    An exception inside a step, such as KeyboardInterrupt, saves nothing.

    Args:
        sources: files and directories, read as one text; a resumed run reads its own text.
        minutes: the training budget as time, in minutes.
        epochs: the training budget as passes over the text.
        steps: the training budget as a number of updates.
        seed: the random seed.
        settings: values by dotted key, such as ``{"model.hidden": 128}``.
        config: a settings file; ``settings`` has priority over it.
        name: suffix of the run directory's name; None takes the name of the text.
        runs_dir: the directory for the new run directory; None means ``runs``.
        resume: a run to resume.
        init_from: a run or a checkpoint whose weights a new run starts from.
        unknown: ``"error"``, or ``"skip"``: leave out characters that these weights do not know.
        extend_vocabulary: whether such characters are added to the vocabulary.
        mpi: whether all processes of mpiexec train this run; all but rank 0 end with it.

    Raises:
        UsageError: the request is not possible; nothing has been written.
        RunError: a file cannot be written, or the run has diverged.
    """
    numbers = {"minutes": minutes, "epochs": epochs, "steps": steps, "seed": seed}
    origin = (resume, init_from, unknown, extend_vocabulary)
    return _events(_request(sources, config, settings, numbers, *origin), name, runs_dir, mpi=mpi)


def _request(
    sources: Sequence[PathLike],
    config: PathLike | None,
    settings: Mapping[str, Any] | None,
    numbers: Mapping[str, float | None],
    resume: PathLike | None,
    init_from: PathLike | None,
    unknown: Unknown,
    extend_vocabulary: bool,
) -> Request:
    """The request that the arguments of ``train_events`` make."""
    return Request(
        file_names(sources),
        None if config is None else Path(config),
        _values(settings or {}, numbers),
        resume=None if resume is None else Path(resume),
        init_from=None if init_from is None else Path(init_from),
        unknown=unknown,
        extend_vocabulary=extend_vocabulary,
    )


@closed_at_exit
def _events(
    request: Request, name: str | None, runs_dir: PathLike | None, *, mpi: bool
) -> Generator[Event, None, None]:
    began = time.perf_counter()
    if request.resume is not None and (name is not None or runs_dir is not None):
        raise UsageError("name and runs_dir are for a new run; resume has one")
    with joined(mpi) as ranks:
        if ranks.rank:
            take_part(ranks)
            raise SystemExit(0)
        with closing(replace(request, ranks=ranks).session()) as session:
            directory = Path("runs" if runs_dir is None else runs_dir)
            yield from session.events(name, directory, time.perf_counter() - began)


def _values(settings: Mapping[str, Any], numbers: Mapping[str, float | None]) -> Values:
    """Settings by dotted key, including those that have their own argument.

    Raises:
        SettingsError: a setting is given twice.
    """
    given = {f"train.{key}": value for key, value in numbers.items() if value is not None}
    values = {**settings, **given}
    for key in given:
        if key in settings:
            raise SettingsError(f"{key} is given by settings and by an argument; keep one")
    return {key: plain(value) for key, value in values.items()}
