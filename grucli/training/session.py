"""Sessions: new runs, resumed runs, and runs that start from the weights of another run.

This module prints nothing. Notes for the user are in ``Session.notes`` and in the trainer's events.
A resumed run is locked before any of its files is read, and stays locked until the session ends.
"""

import contextlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
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
    resolve,
    to_yaml,
)
from grucli.data.corpus import Corpus
from grucli.data.corpus import read as read_corpus
from grucli.data.text_files import STANDARD_INPUT
from grucli.defaults import WARM, suited, suited_rate
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
from grucli.run.records import InitFrom
from grucli.run.report import report
from grucli.run.run import Run, is_run
from grucli.run.writer import RunWriter
from grucli.text_out import quote
from grucli.training import advice
from grucli.training.events import Event, Finished, NotReported, Saved, Started
from grucli.training.other_ranks import share_plan
from grucli.training.parallel import check_workers
from grucli.training.plan import Plan, describe, make_plan
from grucli.training.ranks import ALONE, Ranks
from grucli.training.request import Layers, Request
from grucli.training.start import resume, start
from grucli.training.trainer import Trainer


class StoppedAtOnce(BaseException):
    """The user wants training to end immediately, without saving."""


# Exceptions that interrupt a run but are not errors.
STOPS = (StoppedAtOnce, KeyboardInterrupt, SystemExit, GeneratorExit)

# Largest share of the time of a run that its reports take; only the first and the last are always
# written. A report of a long run takes longer.
REPORTS_SHARE = 0.01


@dataclass
class Session:
    """A run that is ready to start or to continue. It must be closed; ``events`` does that."""

    request: Request
    ranks: Ranks
    plan: Plan
    initial: Callable[[], Checkpoint]  # makes the state that the run starts or has started from
    saved: Checkpoint | None = None  # the state from which a resumed run continues
    file: Path | None = None  # the checkpoint file of that state
    run: RunWriter | None = None  # the locked run directory; None if the run is new
    suited: Values = field(default_factory=dict)  # settings chosen for the length of the text
    notes: list[str] = field(default_factory=list)  # for the user
    init_from: dict[str, Any] | None = None  # the weights from which the run starts, for run.json
    began: float = field(default_factory=time.perf_counter)  # training time counts from here
    conclusion: Conclusion | None = None  # of a run that has reached its end
    unreported: str = ""  # why the last report was not written, or is not complete

    def __post_init__(self) -> None:
        self.notes = [*advice.about_plan(self.plan), *self.notes]

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The state of the run. The first access makes the initial weights."""
        return self.saved or self.initial()

    def close(self) -> None:
        """Release the lock of the run, if it has one."""
        if self.run is not None:
            self.run.release()

    @contextmanager
    def trainer(self) -> Iterator[Trainer]:
        """Make a run directory, or reset it to its last checkpoint, and yield a trainer.

        At the end of the context, the status in ``run.json`` says how the run has ended. The run
        stays locked.
        """
        run = self.run = self._created() if self.run is None else self._reopened()
        with _status(run), closing(self._trainer(run)) as trainer:
            yield trainer
            trainer.recorder.catch_up()
            run.update_info(status="done" if trainer.finished else "interrupted")

    def events(self, stop: Callable[[], bool] = lambda: False) -> Generator[Event, None, bool]:
        """Train, and yield the events from ``Started`` to ``Finished``; return whether it is done.

        A caller that leaves the loop stops the run as ``stop`` does: it is saved and can be
        resumed. An exception inside the iterator, such as KeyboardInterrupt, saves nothing.

        Raises:
            UsageError: the run directory is not writable.
            RunError: a file could not be written during training, or the run has diverged.
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
                said = sentences(conclusion, self.plan.settings.data.noun)
                self.conclusion = conclusion
        except Stopped:
            pass
        except Exception as error:
            self.unreported = f"{run.path}: nothing is concluded from this run: {_reason(error)}"
        finally:
            problem = _write_report(run, said, text if trainer.finished else None)
            self.unreported = problem or self.unreported

    def _trainer(self, run: RunWriter) -> Trainer:
        elapsed = time.perf_counter() - self.began
        if self.checkpoint.progress.seconds is None:
            elapsed += run.info.elapsed_s or 0.0  # of earlier sessions; not in the checkpoint
        return Trainer(
            self.plan, self.checkpoint, run, elapsed, ranks=self.ranks, initial=self.initial
        )

    def _created(self) -> RunWriter:
        request, plan, model = self.request, self.plan, self.plan.settings.model
        info = {
            "status": "running",
            **describe(plan),
            "commands": self._commands([]),
            "model": f"{model.variant} {model.layers}x{model.hidden}",
            **({"init_from": self.init_from} if self.init_from else {}),
            **({"study": request.study} if request.study else {}),
            "step": 0,
            "best": {"step": None, "loss": None},
        }
        folder, name = request.runs_dir or Path("runs"), request.name or _title(plan)
        timed = request.study is None
        return RunWriter.create(folder, name, plan.settings, request.values, info, timed=timed)

    def _commands(self, before: Sequence[str]) -> list[str]:
        """The command lines of all sessions of the run, as far as they are known."""
        return [*before, self.request.command] if self.request.command else list(before)

    def _reopened(self) -> RunWriter:
        """Reset the files of a run to the checkpoint from which it continues."""
        run, where = self.run, self.checkpoint.progress
        assert run is not None
        try:
            run.make_ready()
            if self.file is not None:
                self.notes += run.checkpoints.mend_pointers(self.file, self.checkpoint)
            run.drop_after(where.step)
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
def _status(run: RunWriter) -> Iterator[None]:
    """Write the status to run.json if an exception ends the run. An OSError becomes a RunError."""
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


def _note_status(run: RunWriter, status: str) -> None:
    """Write a status, and ignore failures: the user must see the error that ended the run."""
    with contextlib.suppress(OSError, RunError, CheckpointError):
        run.update_info(status=status)
    _write_report(run)


def _ended_by(run: RunWriter, error: OSError) -> str:
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


def _title(plan: Plan) -> str:
    """The suffix of a run's name, made from the name of its text."""
    source = plan.corpus.sources[0]
    if source == STANDARD_INPUT:
        return "stdin"
    return Path(source).name.removesuffix(".gz").rsplit(".", 1)[0]


class _Reports:
    """The reports of a run in training."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.due = trainer, 0.0
        self.told = ""  # what was wrong with the last one, if anything

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


def _write_report(run: RunWriter, said: Sequence[str] = (), text: Corpus | None = None) -> str:
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

    ``text`` is that of a new run, if it was already read with the same settings.

    Raises:
        UsageError: the request contradicts itself, or is not possible.
        RunError: this process cannot start the worker processes of the settings.
    """
    began = time.perf_counter()
    _check(request, ranks)
    if request.resume is not None:
        session = _resumed(request, ranks, request.resume)
    elif request.init_from is not None:
        session = _from_weights(request, ranks, request.init_from)
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
    if request.extend_vocabulary and request.unknown != "error":
        raise UsageError("--unknown skip and --extend-vocabulary are both given; keep one")
    if ranks.size > 1 and STANDARD_INPUT in request.sources:
        raise UsageError("only one rank has a standard input: give the text as a file")
    if not resume and not request.sources:
        raise UsageError(
            "name a text to train on: grucli train FILE; "
            "`grucli corpus python-reference` makes one to try"
        )


# ---- new runs


def _new(request: Request, ranks: Ranks, text: Corpus | None = None) -> Session:
    """A session with random weights. Settings that the user has not given depend on the text."""
    layers = request.layers()
    data = resolve(layers).data
    text = read_corpus(request.sources, data) if text is None else text
    given = {key for _, values in layers for key in values}
    values = suited(len(text.ids), given)
    for_network = suited_rate(resolve([("suited to the text", values), *layers]), given)
    if "optim.lr" in values:
        values["optim.lr"] = min(values["optim.lr"], for_network.get("optim.lr", Optim().lr))
    values = for_network | values
    plan = make_plan(resolve([("suited to the text", values), *layers]), text, ranks)
    notes = advice.about_documents(plan)
    return Session(request, ranks, plan, partial(start, plan), suited=values, notes=notes)


def _from_weights(request: Request, ranks: Ranks, path: Path) -> Session:
    """A new run that starts from the weights of another run."""
    opened = Run.open(path)
    file, old = opened.file, opened.checkpoint
    layers, extended, data = request.layers(), request.extend_vocabulary, old.settings.data
    kept = ("level", "newlines", "min_count", "documents")
    base = Settings(
        model=old.settings.model, data=Data(**{key: getattr(data, key) for key in kept})
    )
    given = {key for _, values in layers for key in values}
    values = suited_rate(resolve(layers, base), given, WARM)
    settings = resolve([("suited to the weights", values), *layers], base)
    fixed = {f"model.{key}" for key in ("cell", "reset", "hidden", "layers")} | {"data.level"}
    if data.min_count > 1 or not extended:
        fixed.add("data.min_count")
    _refuse(old.settings, settings, fixed, f"{path} was trained with", layers)
    plan = make_plan(settings, _text_for(request, old, settings), ranks, old)
    notes = advice.about_weights(path, old, plan, extended=extended)
    init_from = {
        "path": str(path.resolve()),
        "file": str(file.resolve()),
        "sha256": sha256(file),
        "unknown": request.unknown,
        "extend_vocabulary": extended,
    }
    initial = partial(start, plan, old)
    return Session(request, ranks, plan, initial, suited=values, notes=notes, init_from=init_from)


def _text_for(request: Request, old: Checkpoint, settings: Settings) -> Corpus:
    """The corpus in the vocabulary of the old weights, extended if requested."""
    unknown, extend = request.unknown, request.extend_vocabulary
    try:
        return read_corpus(request.sources, settings.data, old.vocabulary, unknown, extend=extend)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(
            f"{', '.join(request.sources)}: {error}; --init-from keeps the vocabulary of "
            f"{request.init_from}: --unknown skip leaves these out of the text, "
            "--extend-vocabulary learns them"
        ) from None


# ---- resumed runs


def _resumed(request: Request, ranks: Ranks, path: Path) -> Session:
    """A run that goes on from its last checkpoint, or from its start. The session has its lock."""
    if not path.is_dir() or not is_run(path):
        Run.open(path)  # raises an error if the path does not exist
        raise UsageError(
            f"{path}: --resume takes a run directory and continues from its last checkpoint; "
            "--init-from starts a new run from any checkpoint"
        )
    run = RunWriter(path)
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


def _continued(run: RunWriter, request: Request, ranks: Ranks) -> Session:
    """A run that goes on from its last checkpoint."""
    layers, config = request.layers(), run.path / "config.yaml"
    file, old, problem = run.checkpoints.last_sound()
    notes = [f"{problem}; continuing from {file.name}, the newest intact one"] if problem else []
    if edited := _edited(run, old.settings):
        listed = ", ".join(f"{key} {json.dumps(value)}" for key, value in edited.items())
        notes.append(f"{config} asks for {listed}")
    settings = _resumable(old.settings, [(str(config), edited), *layers])
    plan = make_plan(settings, _own_text(run, request.sources, settings, old), ranks, old)
    if settings.train.minutes is not None and old.progress.seconds is None:
        old.progress.seconds = run.info.elapsed_s or 0.0
    notes += advice.about_machine(run.info, plan)
    saved = resume(plan, old, done=run.info.status == "done")
    notes += advice.about_rate(plan, saved.progress)
    initial = partial(_initial, run, plan)
    return Session(request, ranks, plan, initial, saved, file, run, notes=notes)


def _initial(run: RunWriter, plan: Plan) -> Checkpoint:
    """The state that a run has started from."""
    weights = _first_weights(run)
    return start(plan, None if weights is None else Run.open(weights.file).checkpoint)


def _started_over(run: RunWriter, request: Request, ranks: Ranks) -> Session:
    """A run that was killed before its first checkpoint. It starts again and gives equal files."""
    if not (run.path / "run.json").exists():
        raise CheckpointError(
            f"{run.path}: holds neither a checkpoint nor run.json, so it was stopped before its "
            "training began; start a new run"
        )
    layers, config = request.layers(), run.config()
    settings = _resumable(resolve([config]), layers)
    again = replace(
        request,
        sources=_sources(run, request.sources),
        config=None,
        values=flatten(settings),
        origin="config.yaml",
    )
    if (weights := _first_weights(run)) is None:
        session = _new(again, ranks)
    else:
        path, extend = Path(weights.file), weights.extend_vocabulary
        again = replace(again, init_from=path, unknown=weights.unknown, extend_vocabulary=extend)
        session = _from_weights(again, ranks, path)
    if run.info.corpus.sha256 != session.plan.corpus.sha256:
        raise CorpusError(
            f"{', '.join(again.sources)}: the corpus has changed since the run began; give "
            "the old text, or start a new run"
        )
    session.run = run
    session.notes += advice.about_machine(run.info, session.plan)
    session.notes.append("no checkpoint was written before the run was stopped; it starts over")
    return session


def _first_weights(run: RunWriter) -> InitFrom | None:
    """The weights from which a run was started; None if they were random.

    Raises:
        CheckpointError: they have changed, or do not exist any more.
    """
    weights = run.info.init_from
    if weights is None:
        return None
    with contextlib.suppress(OSError):
        if sha256(Path(weights.file)) == weights.sha256:
            return weights
    raise CheckpointError(
        f"{run.path}: has to start again, but its initial weights (init_from in run.json) have "
        "changed since then; start a new run"
    )


def _config_layer(run: RunWriter) -> Layers:
    """What config.yaml says; nothing if the file is missing."""
    return [run.config()] if (run.path / "config.yaml").exists() else []


def _edited(run: RunWriter, old: Settings) -> Values:
    """The settings in config.yaml that differ from those in the checkpoint."""
    try:
        now = resolve(_config_layer(run), old)
    except SettingsError as error:
        raise SettingsError(
            f"{error}\n(correct the file, or delete it to use the settings of the checkpoint)"
        ) from None
    values = flatten(now)
    return {key: values[key] for key in changed_keys(old, now)}


def _resumable(old: Settings, layers: Layers) -> Settings:
    """The settings of a resumed run. Settings that have determined its weights cannot change."""
    settings = resolve(layers, old)
    fixed = {key for key, influenced in INFLUENCES.items() if influenced == "weights"}
    _refuse(old, settings, fixed, "the run was started with", layers)
    return settings


def _sources(run: RunWriter, given: Sequence[str]) -> Sequence[str]:
    """The paths of the text of a run."""
    sources = given or run.sources
    if STANDARD_INPUT in sources and not given:
        raise UsageError(
            f"{run.path} was trained on standard input; give the same text again: "
            f"{run.resume_command(sources)} < TEXT"
        )
    return sources


def _own_text(run: RunWriter, given: Sequence[str], settings: Settings, old: Checkpoint) -> Corpus:
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


def _keeps_its_text(run: RunWriter) -> str:
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
