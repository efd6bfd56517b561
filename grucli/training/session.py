"""A run from its request to its end: new, resumed, or started from the weights of another.

Nothing here prints: what the user should know is in ``Session.notes`` and in the events of the
trainer. A run that is resumed is locked before anything of it is read, and stays so to the end.
"""

import contextlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from grucli.config import (
    RESUMABLE,
    Data,
    Settings,
    Values,
    changed_keys,
    flatten,
    renamed,
    resolve,
    to_yaml,
)
from grucli.data.corpus import Corpus
from grucli.data.corpus import read as read_corpus
from grucli.data.files import STANDARD_INPUT
from grucli.data.vocabulary import Unknown
from grucli.defaults import suited
from grucli.errors import (
    CheckpointError,
    CorpusError,
    RunError,
    SettingsError,
    UnknownCharacterError,
    UsageError,
    quote,
)
from grucli.files import replace_text, sha256
from grucli.storage.checkpoint import Checkpoint
from grucli.storage.directory import RunDirectory, find_checkpoint, is_run, open_checkpoint
from grucli.storage.run import Run
from grucli.training.events import Event, Finished, Started
from grucli.training.plan import Plan, describe, make_plan, resume, start
from grucli.training.plan import notes as notes_of
from grucli.training.trainer import Trainer

Layers = Sequence[tuple[str, Values]]
"""Where settings come from, and their values by dotted key; later layers win."""


class StoppedAtOnce(BaseException):
    """The user wants training to end now, without saving."""


STOPS = (StoppedAtOnce, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends a run without anything being wrong with it."""


@dataclass(frozen=True)
class Origin:
    """The weights that a new run starts from.

    Attributes:
        path: a run directory or a checkpoint.
        unknown: whether characters that the weights do not know are an error or are left out.
        extend: whether such characters are added to the vocabulary.
    """

    path: Path
    unknown: Unknown = "error"
    extend: bool = False


@dataclass
class Session:
    """A run that is ready to start or to go on; to be closed if it is not trained.

    Attributes:
        plan: what it will do.
        begin: makes the checkpoint that it starts from.
        overrides: what the user has set.
        run: its directory, locked; None for a run that has none yet.
        suited: settings that were chosen to suit the length of the text.
        notes: what the user should know.
        init_from: what run.json says of the weights it starts from.
        file: the checkpoint file it goes on from.
    """

    plan: Plan
    begin: Callable[[], Checkpoint]
    overrides: Values
    run: RunDirectory | None = None
    suited: Values = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    init_from: dict[str, Any] | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        """Put first what the plan has to tell."""
        self.notes = [*notes_of(self.plan), *self.notes]

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Where it stands; initial weights are made when this is first asked for."""
        return self.begin()

    def close(self) -> None:
        """Release the lock of a run that was to be resumed."""
        if self.run is not None:
            self.run.release()

    @contextmanager
    def trainer(
        self, name: str | None = None, runs_dir: Path = Path("runs"), elapsed: float = 0.0
    ) -> Iterator[Trainer]:
        """Make the run directory, or bring it back to its last checkpoint, for a trainer.

        ``run.json`` tells how it ended when the context does.

        Args:
            name: suffix of a new directory's name; that of the text if None.
            runs_dir: where to make it.
            elapsed: seconds that were used before.

        Raises:
            UsageError: the directory cannot be written to.
            RunError: a file cannot be written later on, or the run has diverged.
        """
        try:
            run = self.run = self._created(name, runs_dir) if self.run is None else self._reopened()
            with _status(run), closing(self._trainer(run, elapsed)) as trainer:
                yield trainer
                trainer.recorder.catch_up()
                run.update_info(status="done" if trainer.finished else "interrupted")
        finally:
            self.close()

    def events(
        self,
        name: str | None = None,
        runs_dir: Path = Path("runs"),
        elapsed: float = 0.0,
        stop: Callable[[], bool] = lambda: False,
    ) -> Generator[Event, None, bool]:
        """Train, from ``Started`` to ``Finished``.

        Whoever closes this iterator stops the run, as ``stop`` does: it is saved and can be
        resumed. What is raised inside of it, such as KeyboardInterrupt, ends it without saving.

        Args:
            name: as of ``trainer``, as are ``runs_dir``, ``elapsed`` and the errors.
            runs_dir: where to make the directory.
            elapsed: seconds that were used before.
            stop: asked again and again whether to stop.

        Returns:
            Whether the run came to its end.
        """
        left = False
        with self.trainer(name, runs_dir, elapsed) as trainer:
            yield _started(trainer, self.notes)
            events = trainer.train(lambda: left or stop())
            while (event := _next(events)) is not None:
                try:
                    yield event
                except GeneratorExit:
                    left = True
                    while _next(events) is not None:
                        pass
                    raise
        yield Finished(Run(trainer.run.path), trainer.finished)
        return trainer.finished

    def _trainer(self, run: RunDirectory, elapsed: float) -> Trainer:
        if self.checkpoint.progress.seconds is None:
            elapsed += _seconds(run)  # of earlier sessions, which the checkpoint does not know of
        return Trainer(self.plan, self.checkpoint, run, elapsed)

    def _created(self, name: str | None, runs_dir: Path) -> RunDirectory:
        plan, model = self.plan, self.plan.settings.model
        info = {"status": "running", **describe(plan)}
        info |= {"model": f"{model.variant} {model.layers}x{model.hidden}"}
        if self.init_from is not None:
            info |= {"init_from": self.init_from}
        info |= {"step": 0, "best": {"step": None, "loss": None}}
        title = name or _title(plan.corpus.sources[0])
        return RunDirectory.create(runs_dir, title, plan.settings, self.overrides, info)

    def _reopened(self) -> RunDirectory:
        """Bring the files of a run back to the checkpoint it goes on from."""
        run, where = self.run, self.checkpoint.progress
        assert run is not None
        try:
            run.make_ready()
            if self.file is not None:
                self.notes += run.checkpoints.mend_pointers(self.file, self.checkpoint)
            if copy := run.drop_after(where.step):
                self.notes.append(
                    f"metrics.csv held lines that are no rows; as it was it is kept in {copy}"
                )
            run.checkpoints.prune(self.plan.settings.train.keep, where.evaluated_step)
            replace_text(run.path / "config.yaml", to_yaml(self.plan.settings))
            run.update_info(status="running", **describe(self.plan))
        except OSError as error:
            raise UsageError(
                f"{error.filename or run.path}: cannot be written: {error.strerror or error}"
            ) from None
        return run


@contextmanager
def _status(run: RunDirectory) -> Iterator[None]:
    """Keep in run.json how a run has ended if it was not by itself.

    Raises:
        RunError: what cannot be written, in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        _note_status(run, "failed")
        raise RunError(_cannot_write(run, error)) from error
    except BaseException as error:
        _note_status(run, "interrupted" if isinstance(error, STOPS) else "failed")
        raise


def _started(trainer: Trainer, notes: Sequence[str]) -> Started:
    """Where training begins, and how long it will take."""
    where = trainer.checkpoint.progress
    with np.errstate(all="ignore"):
        expected = trainer.estimate()
    return Started(trainer.run.path, where.step, where.best_loss, expected, tuple(notes))


def _next(events: Iterator[Event]) -> Event | None:
    """The next event, None at the end; the caller's own code keeps its warnings."""
    with np.errstate(all="ignore"):  # training itself checks that loss and gradient are finite
        return next(events, None)


def _note_status(run: RunDirectory, status: str) -> None:
    """Write a status if that can be: what has ended the run is what the user must hear of."""
    with contextlib.suppress(OSError, RunError, CheckpointError):
        run.update_info(status=status)


def _cannot_write(run: RunDirectory, error: OSError) -> str:
    saved = None
    with contextlib.suppress(CheckpointError):
        saved = run.checkpoints.pointer("last")
    safe = (
        f"the checkpoint of step {saved.step:,} is safe; when that is mended, go on with: "
        f"grucli train --resume {quote(str(run.path))}"
        if saved
        else "no checkpoint has been written yet"
    )
    return f"{error.filename or run.path}: cannot be written: {error.strerror or error}; {safe}"


def _title(source: str) -> str:
    """The suffix of a run's name that a text gives it."""
    if source == STANDARD_INPUT:
        return "stdin"
    return Path(source).name.removesuffix(".gz").rsplit(".", 1)[0]


def _seconds(run: RunDirectory) -> float:
    """Seconds that earlier sessions of a run have used."""
    return run.info.elapsed_s or 0.0


# ---- new runs


def new(
    sources: Sequence[str], layers: Layers, overrides: Values, text: Corpus | None = None
) -> Session:
    """A run with fresh weights, its settings suited to the text where the user has set nothing.

    Args:
        sources: files and directories, read as one text.
        layers: settings.
        overrides: of them, what is noted in overrides.yaml.
        text: what the sources hold, where they were read before with the same settings.

    Raises:
        UsageError: settings or text are not usable.
    """
    data = resolve(layers).data
    text = read_corpus(sources, data) if text is None else text
    values = suited(len(text.ids), [key for _, given in layers for key in given])
    plan = make_plan(resolve([("suited to the text", values), *layers]), text)
    return Session(plan, partial(start, plan), overrides, suited=values, notes=renamed(layers))


def from_weights(
    origin: Origin, sources: Sequence[str], layers: Layers, overrides: Values
) -> Session:
    """A new run that starts from the weights of another; arguments and errors as of ``new``."""
    if origin.extend and origin.unknown != "error":
        raise UsageError("--unknown skip and --extend-vocabulary are both given; keep one")
    file, old = open_checkpoint(origin.path)
    data = old.settings.data
    kept = Data(level=data.level, min_count=data.min_count, documents=data.documents)
    settings = resolve(layers, Settings(model=old.settings.model, data=kept))
    fixed = {f"model.{key}" for key in ("cell", "reset", "hidden", "layers")} | {"data.level"}
    if data.min_count > 1 or not origin.extend:
        fixed.add("data.min_count")
    _refuse(old.settings, settings, fixed, f"{origin.path} was trained with", layers)
    text = _text_for(origin, old, sources, settings)
    plan = make_plan(settings, text)
    notes = renamed(layers) + _what_differs(origin, old, text, settings)
    begin = partial(start, plan, old)
    return Session(plan, begin, overrides, notes=notes, init_from=_init_from(origin, file))


def _init_from(origin: Origin, file: Path) -> dict[str, Any]:
    """What run.json says of the weights that a run starts from."""
    return {
        "path": str(origin.path.resolve()),
        "file": str(file.resolve()),
        "sha256": sha256(file),
        "unknown": origin.unknown,
        "extend_vocabulary": origin.extend,
    }


def _what_differs(origin: Origin, old: Checkpoint, text: Corpus, settings: Settings) -> list[str]:
    """How the new text is read otherwise than the one that the weights come from."""
    notes = []
    if text.skipped:
        notes.append(f"{text.skipped:,} characters that {origin.path} does not know are left out")
    if origin.extend:
        count = len(text.vocabulary) - len(old.vocabulary)
        notes.append(f"{count:,} characters are new to {origin.path} and learned from the start")
    now, before = settings.data.documents, old.settings.data.documents
    if now != before:
        notes.append(
            f"data.documents is {now or 'null'} here and was {before or 'null'} for {origin.path}"
        )
    return notes


def _text_for(
    origin: Origin, old: Checkpoint, sources: Sequence[str], settings: Settings
) -> Corpus:
    """The corpus in the vocabulary of other weights, extended if so asked."""
    try:
        return read_corpus(
            sources, settings.data, old.vocabulary, origin.unknown, extend=origin.extend
        )
    except UnknownCharacterError as error:
        raise UnknownCharacterError(
            f"{', '.join(sources)}: {error}; --init-from keeps the vocabulary of "
            f"{origin.path}: --unknown skip leaves these out of the text, "
            "--extend-vocabulary learns them"
        ) from None


# ---- resumed runs


def resumed(path: Path, layers: Layers, overrides: Values, sources: Sequence[str] = ()) -> Session:
    """A run that goes on from its last checkpoint, or from its start if it has none.

    The run is locked from here on.

    Args:
        path: the run directory.
        layers: settings, of which some may change.
        overrides: what the user has set.
        sources: where the text lies now, if it has moved.

    Raises:
        UsageError: another process trains it, there is nothing to go on from, or nothing is left
            to do.
    """
    if not path.is_dir() or not is_run(path):
        find_checkpoint(path, "last")  # says what is wrong with the path
        raise UsageError(
            f"{path}: --resume takes a run directory and goes on from its last checkpoint; "
            "--init-from starts a new run from any checkpoint"
        )
    run = RunDirectory(path)
    try:
        run.lock()  # before anything is read: what is read must be what is gone on from
    except OSError as error:
        raise UsageError(f"{error.filename or path}: cannot be locked: {error.strerror}") from None
    try:
        if run.checkpoints.exist:
            return _gone_on(run, layers, overrides, sources)
        return _started_over(run, layers, overrides, sources)
    except BaseException:
        run.release()
        raise


def _gone_on(run: RunDirectory, layers: Layers, overrides: Values, given: Sequence[str]) -> Session:
    file, old, problem = run.checkpoints.last_sound()
    notes = [f"{problem}; going on from {file.name}, the newest sound one"] if problem else []
    edited = _edited(run, old.settings)
    if edited:
        notes.append(f"{run.path / 'config.yaml'} asks for {_listed(edited)}")
    all_layers = [(str(run.path / "config.yaml"), edited), *layers]
    notes += renamed(layers)
    settings = _resumable(old.settings, all_layers)
    text = read_corpus(_sources(run, given), settings.data, old.vocabulary, old.unknown)
    plan = make_plan(settings, text)
    if settings.train.minutes is not None and old.progress.seconds is None:
        old.progress.seconds = _seconds(run)
    notes += _changes(run, plan)
    checkpoint = resume(plan, old, done=run.info.status == "done")
    return Session(plan, lambda: checkpoint, overrides, run, notes=notes, file=file)


def _started_over(
    run: RunDirectory, layers: Layers, overrides: Values, given: Sequence[str]
) -> Session:
    """A run that was killed before its first checkpoint: it is begun again, to the same bytes."""
    sources = _sources(run, given)
    settings = _resumable(resolve([run.config()]), layers)
    origin = _origin_again(run)
    note = "no checkpoint was written before the run was stopped; it starts over"
    if origin is None:
        plan = make_plan(settings, read_corpus(sources, settings.data))
        session = Session(plan, partial(start, plan), overrides)
    else:
        every = [("config.yaml", flatten(settings))]
        session = from_weights(origin, sources, every, overrides)
    _check_same_text(run, session.plan)
    return replace(session, run=run, notes=[*_changes(run, session.plan), note])


def _origin_again(run: RunDirectory) -> Origin | None:
    """The weights that a run was started from, unchanged.

    Raises:
        CheckpointError: they have changed, or are gone.
    """
    told = run.info.init_from
    if told is None:
        return None
    with contextlib.suppress(OSError):
        file = Path(told.file)
        if sha256(file) == told.sha256:
            return Origin(file, told.unknown, told.extend_vocabulary)
    raise CheckpointError(
        f"{run.path}: was stopped before its first checkpoint, and the weights that it started "
        "from (init_from in run.json) have changed since; start a new run"
    )


def _check_same_text(run: RunDirectory, plan: Plan) -> None:
    if run.info.corpus.sha256 != plan.corpus.sha256:
        raise CorpusError(
            f"{', '.join(plan.corpus.sources)}: the corpus has changed since the run began; give "
            "the old text, or start a new run"
        )


def _edited(run: RunDirectory, old: Settings) -> Values:
    """What config.yaml says otherwise than the checkpoint: edited by hand, or by a last resume.

    Raises:
        SettingsError: it cannot be read, or a value is not possible.
    """
    if not (run.path / "config.yaml").exists():
        return {}
    try:
        now = resolve([run.config()], old)
    except SettingsError as error:
        raise SettingsError(
            f"{error}\n(mend the file, or delete it to go on with the settings of the checkpoint)"
        ) from None
    values = flatten(now)
    return {key: values[key] for key in changed_keys(old, now)}


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in values.items())


def _resumable(old: Settings, layers: Layers) -> Settings:
    """Settings on top of those of a run, where nothing changes that has shaped its weights."""
    settings = resolve(layers, old)
    fixed = set(flatten(settings)) - RESUMABLE
    _refuse(old, settings, fixed, "the run was begun with", layers)
    return settings


def _sources(run: RunDirectory, given: Sequence[str]) -> Sequence[str]:
    """Where the text of a run lies."""
    sources = given or run.sources
    if STANDARD_INPUT in sources and not given:
        again = " ".join(map(quote, sources))
        raise UsageError(
            f"{run.path} was trained on standard input; give the same text again: "
            f"grucli train {again} --resume {quote(str(run.path))} < TEXT"
        )
    return sources


def _changes(run: RunDirectory, plan: Plan) -> list[str]:
    """What may change the last bits of results from here on."""
    now, before = describe(plan), run.info
    versions = before.versions
    changes = [
        f"{name} was {old} and is {new}"
        for name, old, new in [
            ("the number of workers", before.workers, now["workers"]),
            *((name, versions.get(name), version) for name, version in now["versions"].items()),
        ]
        if old is not None and old != new
    ]
    if not changes:
        return []
    return [
        f"{'; '.join(changes)}: the run goes on, though not to the very bits it would have "
        "reached without the change"
    ]


def _refuse(old: Settings, new: Settings, fixed: set[str], words: str, layers: Layers) -> None:
    """Name every setting that would have to stay as it was, and where it was changed."""
    before, after = flatten(old), flatten(new)
    where = {key: name for name, values in layers for key in values}
    problems = [
        f"{where[key]}: {key}: {words} {before[key]!r}; it cannot become {after[key]!r}"
        for key in changed_keys(old, new)
        if key in fixed
    ]
    if problems:
        raise SettingsError("\n".join(problems))
