"""Training from a script or a notebook: what ``grucli train`` does, as two functions.

Nothing is printed; what the user should know is in the notes of ``Started`` and in the events.
"""

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from grucli.config import Values
from grucli.data.vocabulary import Unknown
from grucli.errors import RunError, SettingsError, UsageError
from grucli.storage.run import Run
from grucli.training.events import Event, Finished
from grucli.training.parallel import GUARD
from grucli.training.request import Request

if TYPE_CHECKING:
    from typing_extensions import Unpack

PathLike = str | os.PathLike[str]


class Options(TypedDict, total=False):
    """What ``train`` and ``train_events`` take besides the text, all of it by keyword."""

    minutes: float | None
    """Budget in minutes."""
    epochs: float | None
    """Budget in passes over the text, in place of minutes."""
    steps: int | None
    """Budget in updates, in place of minutes."""
    seed: int | None
    """Seed of all random numbers."""
    settings: Mapping[str, Any] | None
    """Settings by dotted key, such as ``{"model.hidden": 128}``."""
    config: PathLike | None
    """A settings file; ``settings`` take precedence over it."""
    name: str | None
    """Suffix of the run directory's name; that of the text if None."""
    runs_dir: PathLike | None
    """The directory in which to make the run directory; ``runs`` if None."""
    resume: PathLike | None
    """A run to go on with; it knows its text."""
    init_from: PathLike | None
    """A run or a checkpoint whose weights a new run starts from."""
    unknown: Unknown
    """Whether characters that these weights do not know are an ``"error"``, or ``"skip"``: they
    are left out."""
    extend_vocabulary: bool
    """Whether such characters are learned."""


def train(*sources: PathLike, **options: "Unpack[Options]") -> Run:
    """Train a model on a text, and return the run when it has ended.

    Args:
        sources: files and directories, read as one text.
        options: ``minutes``, ``epochs`` or ``steps``; ``seed``, ``settings``, ``config``, ``name``,
            ``runs_dir``, ``resume``, ``init_from``, ``unknown``, ``extend_vocabulary``, as
            described in ``Options``.

    Raises:
        UsageError: something asked for cannot be done; nothing has been written.
        RunError: a file cannot be written, or the run has diverged.
    """
    events = train_events(*sources, **options)
    (run,) = (event.run for event in events if isinstance(event, Finished))
    return run


def train_events(*sources: PathLike, **options: "Unpack[Options]") -> Iterator[Event]:
    """Train a model on a text, event by event; arguments and errors as of ``train``.

    Nothing is read or written before the first event, ``Started``, is asked for. The last event is
    ``Finished``. Leaving the loop stops the run after its step: it is saved, is marked as
    interrupted, and can be resumed. An exception inside a step, such as KeyboardInterrupt, marks it
    too and saves nothing more.
    """
    began = time.perf_counter()
    _check_not_imported_by_a_worker()
    if others := sorted(options.keys() - Options.__annotations__.keys()):
        raise TypeError(f"train() got an unexpected keyword argument {others[0]!r}")
    name, runs_dir, resume = (options.get(key) for key in ("name", "runs_dir", "resume"))
    if resume is not None and (name is not None or runs_dir is not None):
        raise UsageError("name and runs_dir are for a new run; resume has one")
    request = Request(
        [os.fspath(source) for source in sources],
        _path(options.get("config")),
        _values(options),
        resume=_path(options.get("resume")),
        init_from=_path(options.get("init_from")),
        unknown=options.get("unknown", "error"),
        extend_vocabulary=options.get("extend_vocabulary", False),
    )
    with closing(request.session()) as session:
        directory = _path(options.get("runs_dir")) or Path("runs")
        yield from session.events(options.get("name"), directory, time.perf_counter() - began)


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _values(options: Options) -> Values:
    """Settings by dotted key, with the numbers that have an argument of their own.

    Raises:
        SettingsError: one is given twice.
    """
    numbers = {key: options.get(key) for key in ("minutes", "epochs", "steps", "seed")}
    given = {f"train.{key}": value for key, value in numbers.items() if value is not None}
    settings = options.get("settings") or {}
    values = {**settings, **given}
    for key in given:
        if key in settings:
            raise SettingsError(f"{key} is given by settings and by an argument; keep one")
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    """A number of NumPy as one of Python, which a settings file can hold."""
    return value.item() if isinstance(value, np.generic) else value


def _check_not_imported_by_a_worker() -> None:
    """Refuse to train where a worker process imports the script that has started it.

    Raises:
        RunError: saying how to write the script.
    """
    # multiprocessing itself asks this, before it starts a process
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RunError(f"a worker process began to train by itself: {GUARD}")
