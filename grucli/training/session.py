"""Sessions: new runs, resumed runs, and runs that start from the weights of another run.

This module prints nothing. Notes for the user are in ``Session.notes`` and in the trainer's events.
A resumed run is locked before any of its files is read, and stays locked until the session ends.
"""

import contextlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from grucli.config import (
    INFLUENCES,
    Data,
    Optim,
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
from grucli.data.text_files import STANDARD_INPUT
from grucli.data.vocabulary import Unknown
from grucli.defaults import WARM, learning_rate, suited, warmup
from grucli.errors import (
    CheckpointError,
    CorpusError,
    GrucliError,
    RunError,
    SettingsError,
    UnknownCharacterError,
    UsageError,
)
from grucli.evaluation import Stopped
from grucli.files import LockError, replace_text, sha256
from grucli.run.checkpoint import Checkpoint, same_text
from grucli.run.conclusion import Conclusion, conclude_run, sentences
from grucli.run.directory import RunDirectory, find_checkpoint, is_run, open_checkpoint
from grucli.run.report import report
from grucli.run.run import Run
from grucli.text_out import quote
from grucli.training import advice
from grucli.training.events import Event, Finished, NotReported, Saved, Started
from grucli.training.other_ranks import share_plan
from grucli.training.plan import Plan, check_prompt, describe, make_plan, resume, start
from grucli.training.processes import check_workers
from grucli.training.ranks import ALONE, Ranks
from grucli.training.request import Layers, Request
from grucli.training.trainer import Trainer


class StoppedAtOnce(BaseException):
    """The user wants training to end immediately, without saving."""


STOPS = (StoppedAtOnce, KeyboardInterrupt, SystemExit, GeneratorExit)
"""Exceptions that interrupt a run but are not errors."""

REPORTS_SHARE = 0.01
"""Largest share of the time of a run that its reports take; only the first and the last are always
written. A report of a long run takes longer."""


@dataclass(frozen=True)
class Origin:
    """The weights that a new run starts from.

    Attributes:
        path: a run directory or a checkpoint.
        unknown: whether characters that the weights do not know are an error or are left out.
        extend: whether these characters are added to the vocabulary.
    """

    path: Path
    unknown: Unknown = "error"
    extend: bool = False


@dataclass
class Session:
    """A run that is ready to start or to continue. It must be closed; ``events`` does that.

    Attributes:
        request: what a person asked for.
        ranks: the ranks that train the run.
        plan: the plan of the run.
        begin: makes the checkpoint from which the run starts or continues.
        initial: makes the initial state of a resumed run; that of a new run is ``begin``'s.
        run: the locked run directory; None if the run is new.
        suited: settings that were chosen to suit the length of the text.
        notes: notes for the user.
        init_from: the entry in run.json for the weights from which the run starts.
        file: the checkpoint file from which a resumed run continues.
        began: when the preparation of the run began; the time since then is training time.
        conclusion: what a run that has reached its end has come to; None before.
        unreported: why the last report could not be written, or is not complete; empty if it is.
    """

    request: Request
    ranks: Ranks
    plan: Plan
    begin: Callable[[], Checkpoint]
    run: RunDirectory | None = None
    initial: Callable[[], Checkpoint] | None = None
    suited: Values = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    init_from: dict[str, Any] | None = None
    file: Path | None = None
    began: float = field(default_factory=time.perf_counter)
    conclusion: Conclusion | None = None
    unreported: str = ""

    def __post_init__(self) -> None:
        """Check the plan, and put its notes first."""
        check_prompt(self.plan.settings, self.plan.corpus, self.plan.unseen)
        self.notes = [*advice.about_plan(self.plan), *self.notes]

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The state of the run. The first access makes the initial weights."""
        return self.begin()

    def close(self) -> None:
        """Release the lock of the run, if it has one."""
        if self.run is not None:
            self.run.release()

    @contextmanager
    def trainer(self) -> Iterator[Trainer]:
        """Make a run directory, or reset it to its last checkpoint, and yield a trainer.

        At the end of the context, the status in ``run.json`` says how the run has ended. The run
        stays locked.

        Raises:
            UsageError: the run directory is not writable.
            RunError: a file could not be written during training, or the run has diverged.
        """
        run = self.run = self._created() if self.run is None else self._reopened()
        with _status(run), closing(self._trainer(run)) as trainer:
            yield trainer
            trainer.recorder.catch_up()
            run.update_info(status="done" if trainer.finished else "interrupted")

    def events(self, stop: Callable[[], bool] = lambda: False) -> Generator[Event, None, bool]:
        """Train, and yield the events from ``Started`` to ``Finished``; errors as in ``trainer``.

        Closing this iterator stops the run, as soon as ``stop`` returns True, too: the run is saved
        and can be resumed. An exception inside it, such as KeyboardInterrupt, saves nothing. The
        result is whether the run has reached its end.
        """
        left = False
        with closing(self):
            with self.trainer() as trainer:
                yield _started(trainer, self.notes)
                events = trainer.train(lambda: left or self.ranks.signal != 0 or stop())
                reports = _Reports(trainer)
                while (event := _next(events)) is not None:
                    try:
                        if isinstance(event, Saved):
                            yield from reports.when_due()
                        yield event
                    except GeneratorExit:
                        left = True
                        while _next(events) is not None:
                            pass
                        raise
            self._report_the_end(trainer)
        if self.unreported not in ("", reports.told):
            yield NotReported(self.unreported)
        yield Finished(Run(trainer.run.path), trainer.finished)
        return trainer.finished

    @np.errstate(all="ignore")
    def _report_the_end(self, trainer: Trainer) -> None:
        """Conclude a run that has reached its end, and write the last report."""
        run, text, said = trainer.run, self.plan.corpus, list[str]()
        try:
            if trainer.finished:
                conclusion = conclude_run(run.path, text, trainer.stop)
                symbol = "byte" if self.plan.settings.data.level == "byte" else "character"
                said, self.conclusion = sentences(conclusion, symbol), conclusion
        except Stopped:
            pass
        except Exception as error:
            self.unreported = f"{run.path}: nothing is concluded from this run: {_reason(error)}"
        finally:
            problem = _write_report(run, said, text if trainer.finished else None)
            self.unreported = problem or self.unreported

    def _trainer(self, run: RunDirectory) -> Trainer:
        elapsed = time.perf_counter() - self.began
        if self.checkpoint.progress.seconds is None:
            elapsed += _seconds(run)  # time of earlier sessions, which is not in the checkpoint
        initial = self.initial or self.begin
        return Trainer(self.plan, self.checkpoint, run, elapsed, ranks=self.ranks, initial=initial)

    def _created(self) -> RunDirectory:
        request, plan, model = self.request, self.plan, self.plan.settings.model
        info = {"status": "running", **describe(plan), "commands": self._commands([])}
        info |= {"model": f"{model.variant} {model.layers}x{model.hidden}"}
        if self.init_from is not None:
            info |= {"init_from": self.init_from}
        if request.study is not None:
            info |= {"study": request.study}
        info |= {"step": 0, "best": {"step": None, "loss": None}}
        folder, title = request.runs_dir or Path("runs"), request.name
        return RunDirectory.create(
            folder,
            title or _title(plan.corpus.sources[0]),
            plan.settings,
            request.values,
            info,
            timed=request.study is None,
        )

    def _commands(self, before: Sequence[str]) -> list[str]:
        """The command lines of all sessions of the run, as far as they are known."""
        return [*before, self.request.command] if self.request.command else list(before)

    def _reopened(self) -> RunDirectory:
        """Reset the files of a run to the checkpoint from which it continues."""
        run, where = self.run, self.checkpoint.progress
        assert run is not None
        try:
            run.make_ready()
            if self.file is not None:
                self.notes += run.checkpoints.mend_pointers(self.file, self.checkpoint)
            if copy := run.drop_after(where.step):
                self.notes.append(
                    f"metrics.csv had lines that are not rows; {copy} keeps the original file"
                )
            run.checkpoints.prune(self.plan.settings.train.keep, where.evaluated_step)
            replace_text(run.path / "config.yaml", to_yaml(self.plan.settings))
            commands = self._commands(run.info.commands)
            run.update_info(status="running", **describe(self.plan), commands=commands)
        except OSError as error:
            raise UsageError(
                f"{error.filename or run.path}: cannot be written: {error.strerror or error}"
            ) from None
        return run


@contextmanager
def _status(run: RunDirectory) -> Iterator[None]:
    """Write the status to run.json if an exception ends the run.

    Raises:
        RunError: a file cannot be written, or the system refuses something else; replaces the
            OSError.
    """
    try:
        yield
    except OSError as error:
        _note_status(run, "failed")
        raise RunError(_ended_by(run, error)) from error
    except BaseException as error:
        _note_status(run, "interrupted" if isinstance(error, STOPS) else "failed")
        raise


def _started(trainer: Trainer, notes: Sequence[str]) -> Started:
    """The event that begins training, with an estimate of the time."""
    where = trainer.checkpoint.progress
    with np.errstate(all="ignore"):
        expected = trainer.estimate()
    return Started(trainer.run.path, where.step, where.best_loss, expected, tuple(notes))


def _next(events: Iterator[Event]) -> Event | None:
    """The next event, or None at the end. NumPy's warnings are off only inside this call."""
    with np.errstate(all="ignore"):  # training checks that loss and gradient are finite
        return next(events, None)


def _note_status(run: RunDirectory, status: str) -> None:
    """Write a status, and ignore failures: the user must see the error that ended the run."""
    with contextlib.suppress(OSError, RunError, CheckpointError):
        run.update_info(status=status)
    _write_report(run)


def _ended_by(run: RunDirectory, error: OSError) -> str:
    """What an error of the system means for a run: only its own files are written."""
    name, saved, sources = str(error.filename or ""), None, []
    with contextlib.suppress(CheckpointError):
        saved = run.checkpoints.pointer("last")
        sources = run.sources
    safe = (
        f"the checkpoint of step {saved.step:,} is safe; after solving the problem, continue with: "
        f"{run.resume_command(sources)}"
        if saved
        else "no checkpoint has been written yet"
    )
    if name.startswith(str(run.path)):
        problem = f"{name}: cannot be written"
    else:
        problem = "the system ended the training" + f": {name}" * bool(name)
    return f"{problem}: {error.strerror or error}; {safe}"


def _title(source: str) -> str:
    """The suffix of a run's name, made from the name of its text."""
    if source == STANDARD_INPUT:
        return "stdin"
    return Path(source).name.removesuffix(".gz").rsplit(".", 1)[0]


def _seconds(run: RunDirectory) -> float:
    """Seconds that earlier sessions of the run have used."""
    return run.info.elapsed_s or 0.0


class _Reports:
    """The reports of a run in training.

    Attributes:
        told: what was wrong with the last one, if anything.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.due, self.told = trainer, 0.0, ""

    def when_due(self) -> Iterator[NotReported]:
        """Write a report, if ``REPORTS_SHARE`` allows it; tell once what is wrong."""
        began = self.trainer.elapsed
        if began < self.due:
            return
        problem, before = _write_report(self.trainer.run), self.told
        ended = self.trainer.elapsed
        self.due, self.told = ended + (ended - began) / REPORTS_SHARE, problem
        if problem not in ("", before):
            yield NotReported(problem)


def _write_report(run: RunDirectory, said: Sequence[str] = (), text: Corpus | None = None) -> str:
    """Write the report of a run; return what is wrong, since no trouble with it may end a run.

    Only with a text it has a passage coloured by surprise: that takes another look at the text.
    """
    try:
        made = report(run.path, said=said, passage=text is not None, text=text)
        run.write_report(made.html)
    except Exception as error:
        return f"{run.path / 'report.html'}: cannot be written: {_reason(error)}"
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, GrucliError):
        return str(error)
    return getattr(error, "strerror", None) or repr(error)


# ---- the preparation of a run


def prepare(request: Request, ranks: Ranks = ALONE, text: Corpus | None = None) -> Session:
    """Read the text and prepare the run. No file is written.

    Args:
        request: what a person asked for.
        ranks: the ranks that train the run; this process is rank 0.
        text: the text of a new run, if it was already read with the same settings.

    Raises:
        UsageError: the request contradicts itself, or is not possible.
        RunError: this process cannot start the worker processes of the settings.
    """
    began = time.perf_counter()
    _check(request, ranks)
    if request.resume is not None:
        session = _resumed(request, ranks, request.resume)
    elif request.init_from is not None:
        origin = Origin(request.init_from, request.unknown, request.extend_vocabulary)
        session = _from_weights(request, ranks, origin, request.sources, request.layers())
    else:
        session = _new(request, ranks, text)
    session.began = began
    try:
        check_workers(session.plan.workers)
        share_plan(session.plan, ranks)
    except BaseException:
        session.close()
        raise
    return session


def _check(request: Request, ranks: Ranks) -> None:
    """Refuse a request that contradicts itself."""
    resume, init_from = request.resume is not None, request.init_from is not None
    if resume and (request.name is not None or request.runs_dir is not None):
        raise UsageError("--name and --runs-dir are for a new run; leave them out with --resume")
    if resume and init_from:
        raise UsageError("--resume continues a run, --init-from starts a new one; keep one")
    if not init_from and (request.extend_vocabulary or request.unknown != "error"):
        raise UsageError("--unknown and --extend-vocabulary can only be used with --init-from")
    if ranks.size > 1 and STANDARD_INPUT in request.sources:
        raise UsageError("only one rank has a standard input: give the text as a file")
    if not resume and not request.sources:
        raise UsageError(
            "name a text to train on: grucli train FILE; "
            "`grucli corpus python-reference` makes one to try"
        )


# ---- new runs


def _new(request: Request, ranks: Ranks, text: Corpus | None) -> Session:
    """A session with random weights. Settings that the user has not given depend on the text."""
    layers = request.layers()
    data = resolve(layers).data
    text = read_corpus(request.sources, data) if text is None else text
    values = suited(len(text.ids), _keys(layers))
    for_network = _learning_rate(resolve([("suited to the text", values), *layers]), layers)
    if "optim.lr" in values:
        values["optim.lr"] = min(values["optim.lr"], for_network.get("optim.lr", Optim().lr))
    values = for_network | values
    plan = make_plan(resolve([("suited to the text", values), *layers]), text, ranks)
    notes = [*renamed(layers), *advice.about_documents(plan)]
    return Session(request, ranks, plan, partial(start, plan), suited=values, notes=notes)


def _keys(layers: Layers) -> set[str]:
    """The keys of all settings that the user has given."""
    return {key for _, given in layers for key in given}


def _learning_rate(settings: Settings, layers: Layers, share: float = 1.0) -> Values:
    """Learning rate and warm-up for network, batch and budget, unless they are defaults or given.

    ``share`` is a factor for the rate.
    """
    given = _keys(layers)
    values = {
        "optim.lr": learning_rate(settings.model, settings.train, share),
        "optim.warmup": warmup(settings.train.batch),
    }
    defaults = flatten(Settings())
    return {key: one for key, one in values.items() if key not in given and one != defaults[key]}


def _from_weights(
    request: Request, ranks: Ranks, origin: Origin, sources: Sequence[str], layers: Layers
) -> Session:
    """A new run that starts from the weights of another run."""
    if origin.extend and origin.unknown != "error":
        raise UsageError("--unknown skip and --extend-vocabulary are both given; keep one")
    file, old = open_checkpoint(origin.path)
    data = old.settings.data
    kept = Data(
        level=data.level,
        newlines=data.newlines,
        min_count=data.min_count,
        documents=data.documents,
    )
    base = Settings(model=old.settings.model, data=kept)
    values = _learning_rate(resolve(layers, base), layers, WARM)
    settings = resolve([("suited to the weights", values), *layers], base)
    fixed = {f"model.{key}" for key in ("cell", "reset", "hidden", "layers")} | {"data.level"}
    if data.min_count > 1 or not origin.extend:
        fixed.add("data.min_count")
    _refuse(old.settings, settings, fixed, f"{origin.path} was trained with", layers)
    text = _text_for(origin, old, sources, settings)
    plan = make_plan(settings, text, ranks, old)
    notes = renamed(layers)
    notes += advice.about_weights(origin.path, old, plan, extended=origin.extend)
    begin = partial(start, plan, old)
    init_from = _init_from(origin, file)
    return Session(request, ranks, plan, begin, suited=values, notes=notes, init_from=init_from)


def _init_from(origin: Origin, file: Path) -> dict[str, Any]:
    """The entry in run.json for the weights from which a run starts."""
    return {
        "path": str(origin.path.resolve()),
        "file": str(file.resolve()),
        "sha256": sha256(file),
        "unknown": origin.unknown,
        "extend_vocabulary": origin.extend,
    }


def _text_for(
    origin: Origin, old: Checkpoint, sources: Sequence[str], settings: Settings
) -> Corpus:
    """The corpus in the vocabulary of the old weights, extended if requested."""
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


def _resumed(request: Request, ranks: Ranks, path: Path) -> Session:
    """Resume a run from its last checkpoint, or from its start if it has no checkpoint.

    The session holds the lock of the run.

    Raises:
        UsageError: another process trains the run, it cannot be resumed, or it is done.
        RunError: it cannot be locked now.
    """
    if not path.is_dir() or not is_run(path):
        find_checkpoint(path, "last")  # raises an error if the path does not exist
        raise UsageError(
            f"{path}: --resume takes a run directory and continues from its last checkpoint; "
            "--init-from starts a new run from any checkpoint"
        )
    run = RunDirectory(path)
    try:
        run.lock()  # before reading: no other process may change the files later
    except LockError as error:
        raise RunError(
            f"{error.filename}: cannot be locked: {error.strerror}; another process may be "
            "training this run. Try again, or if none is, set status in run.json to interrupted"
        ) from None
    except OSError as error:
        raise UsageError(f"{error.filename or path}: cannot be used: {error.strerror}") from None
    try:
        if run.checkpoints.exist:
            return _continued(run, request, ranks)
        return _started_over(run, request, ranks)
    except BaseException:
        run.release()
        raise


def _continued(run: RunDirectory, request: Request, ranks: Ranks) -> Session:
    """A run that goes on from its last checkpoint."""
    layers = request.layers()
    file, old, problem = run.checkpoints.last_sound()
    notes = [f"{problem}; continuing from {file.name}, the newest intact one"] if problem else []
    edited = _edited(run, old.settings)
    if edited:
        notes.append(f"{run.path / 'config.yaml'} asks for {_listed(edited)}")
    all_layers = [(str(run.path / "config.yaml"), edited), *layers]
    notes += renamed([*_config_layer(run), *layers])
    settings = _resumable(old.settings, all_layers)
    text = _own_text(run, request.sources, settings, old)
    plan = make_plan(settings, text, ranks, old)
    if settings.train.minutes is not None and old.progress.seconds is None:
        old.progress.seconds = _seconds(run)
    notes += advice.about_machine(run.info, plan)
    checkpoint = resume(plan, old, done=run.info.status == "done")
    notes += advice.about_rate(plan, checkpoint.progress)
    initial = partial(_initial, run, plan)
    return Session(request, ranks, plan, lambda: checkpoint, run, initial, notes=notes, file=file)


def _initial(run: RunDirectory, plan: Plan) -> Checkpoint:
    """The state that a run has started from; errors as in ``_origin_again``."""
    origin = _origin_again(run)
    return start(plan, None if origin is None else open_checkpoint(origin.path)[1])


def _started_over(run: RunDirectory, request: Request, ranks: Ranks) -> Session:
    """A run that was killed before its first checkpoint. It starts again and gives equal files."""
    if not (run.path / "run.json").exists():
        raise CheckpointError(
            f"{run.path}: holds neither a checkpoint nor run.json, so it was stopped before its "
            "training began; start a new run"
        )
    sources, layers = _sources(run, request.sources), request.layers()
    settings = _resumable(resolve([run.config()]), layers)
    origin = _origin_again(run)
    note = "no checkpoint was written before the run was stopped; it starts over"
    if origin is None:
        plan = make_plan(settings, read_corpus(sources, settings.data), ranks)
        session = Session(request, ranks, plan, partial(start, plan))
    else:
        every = [("config.yaml", flatten(settings))]
        session = _from_weights(request, ranks, origin, sources, every)
    _check_same_text(run, session.plan)
    session.run = run
    session.notes += [
        *renamed([run.config(), *layers]),
        *advice.about_machine(run.info, session.plan),
        note,
    ]
    return session


def _origin_again(run: RunDirectory) -> Origin | None:
    """The weights from which a run was started; None if they were random.

    Raises:
        CheckpointError: the weights have changed, or do not exist any more.
    """
    told = run.info.init_from
    if told is None:
        return None
    with contextlib.suppress(OSError):
        file = Path(told.file)
        if sha256(file) == told.sha256:
            return Origin(file, told.unknown, told.extend_vocabulary)
    raise CheckpointError(
        f"{run.path}: has to start again, but its initial weights (init_from in run.json) have "
        "changed since then; start a new run"
    )


def _check_same_text(run: RunDirectory, plan: Plan) -> None:
    if run.info.corpus.sha256 != plan.corpus.sha256:
        raise CorpusError(
            f"{', '.join(plan.corpus.sources)}: the corpus has changed since the run began; give "
            "the old text, or start a new run"
        )


def _config_layer(run: RunDirectory) -> Layers:
    """What config.yaml says; nothing if the file is missing."""
    return [run.config()] if (run.path / "config.yaml").exists() else []


def _edited(run: RunDirectory, old: Settings) -> Values:
    """The settings in config.yaml that differ from those in the checkpoint.

    Raises:
        SettingsError: the file cannot be read, or a value is not possible.
    """
    try:
        now = resolve(_config_layer(run), old)
    except SettingsError as error:
        raise SettingsError(
            f"{error}\n(correct the file, or delete it to use the settings of the checkpoint)"
        ) from None
    values = flatten(now)
    return {key: values[key] for key in changed_keys(old, now)}


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in values.items())


def _resumable(old: Settings, layers: Layers) -> Settings:
    """The settings of a resumed run. Settings that have determined its weights cannot change."""
    settings = resolve(layers, old)
    fixed = {key for key, influenced in INFLUENCES.items() if influenced == "weights"}
    _refuse(old, settings, fixed, "the run was started with", layers)
    return settings


def _sources(run: RunDirectory, given: Sequence[str]) -> Sequence[str]:
    """The paths of the text of a run."""
    sources = given or run.sources
    if STANDARD_INPUT in sources and not given:
        raise UsageError(
            f"{run.path} was trained on standard input; give the same text again: "
            f"{run.resume_command(sources)} < TEXT"
        )
    return sources


def _own_text(
    run: RunDirectory, given: Sequence[str], settings: Settings, old: Checkpoint
) -> Corpus:
    """The text of a run that is resumed.

    Raises:
        CorpusError: the user has given another text.
    """
    sources = _sources(run, given)
    try:
        text = read_corpus(sources, settings.data, old.vocabulary, old.unknown)
    except UnknownCharacterError as error:
        raise CorpusError(f"{', '.join(sources)}: {error}; {_keeps_its_text(run)}") from None
    if given and not same_text(text, old):
        raise CorpusError(
            f"{', '.join(given)}: is not the text of {run.path}; {_keeps_its_text(run)}"
        )
    return text


def _keeps_its_text(run: RunDirectory) -> str:
    return (
        "a resumed run keeps its text, which can be named again only if it has moved; "
        f"--init-from {quote(str(run.path))} starts a new run on another text from these weights"
    )


def _refuse(old: Settings, new: Settings, fixed: set[str], words: str, layers: Layers) -> None:
    """Raise an error that names every changed setting that is fixed, and its origin."""
    before, after = flatten(old), flatten(new)
    where = {key: name for name, values in layers for key in values}
    problems = [
        f"{where[key]}: {key}: {words} {before[key]!r}; it cannot become {after[key]!r}"
        for key in changed_keys(old, new)
        if key in fixed
    ]
    if problems:
        raise SettingsError("\n".join(problems))
