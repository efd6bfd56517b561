"""From a request to a session: a new run, one from the weights of another, or one that goes on.

A resumed run is locked before any of its files is read, and stays locked until its session ends.
The other ranks of a run take over the plan of rank 0, and train as it does.
"""

import json
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from grucli.config import BUDGET_KEYS, INFLUENCES, Data, Settings, Values, changes, flatten, resolve
from grucli.data.corpus import Corpus, hashes, read_again, read_texts
from grucli.data.text_files import STANDARD_INPUT
from grucli.defaults import TYPICAL, WARM, Text, suited, suited_length, suited_rate
from grucli.errors import (
    CheckpointError,
    CorpusError,
    GrucliError,
    RunError,
    SettingsError,
    UnknownCharacterError,
    UsageError,
)
from grucli.files import LockError
from grucli.run.checkpoint import Checkpoint
from grucli.run.names import is_run, named_run
from grucli.run.records import NOT_TRAINED
from grucli.run.run import Run, check_there, with_moved
from grucli.run.writer import RunWriter
from grucli.text_out import quote
from grucli.training import advice
from grucli.training.plan import Plan, make_plan, measured_speed, resume, start
from grucli.training.processes import check_workers
from grucli.training.ranks import ALONE, Ended, Ranks
from grucli.training.request import Layers, Request
from grucli.training.session import Session, described
from grucli.training.trainer import Trainer

CHANGED = "the corpus has changed since the run began"


def prepare(request: Request, ranks: Ranks = ALONE, text: Corpus | None = None) -> Session:
    """Read the text, unless that of a new run is given, and prepare the run; write no file."""
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
        shared_plan(session.plan, ranks)
    except BaseException:
        session.close()
        raise
    return session


def _check(request: Request, ranks: Ranks) -> None:
    resume, init_from = request.resume is not None, request.init_from is not None
    if resume and (request.name is not None or request.runs_dir is not None):
        raise UsageError("--name and --runs-dir are for a new run; leave them out with --resume")
    if resume and init_from:
        raise UsageError("--resume continues a run, --init-from starts a new one; keep one")
    skips = request.unknown != "error" and (resume or not request.settings().data.files)
    if not init_from and (request.extend_vocabulary or skips):
        raise UsageError(
            "--unknown and --extend-vocabulary can only be used with --init-from, and --unknown "
            "with files for --val or --test"
        )
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
    layers = _without_null_budgets(request.layers())
    data = resolve(layers).data
    text = text or read_texts(request.sources, data, unknown=request.unknown)
    symbols = len(text.vocabulary)

    def settings(values: Values) -> Settings:
        return resolve([("suited to the text", values), *layers])

    def speed() -> float:  # all trials of a study get the same network, on any machine
        return TYPICAL if request.study else measured_speed(settings({}), symbols, ranks)

    given = {key for _, values in layers for key in values}
    values = suited(settings, Text(len(text.ids), symbols), given, speed)
    plan = make_plan(settings(values), text, ranks)
    notes = list(advice.about_documents(plan))
    return Session(request, plan, partial(start, plan), suited=values, notes=notes)


def _from_weights(request: Request, ranks: Ranks, path: Path) -> Session:
    opened = Run.open(path)
    file, old = opened.file, opened.checkpoint
    layers, data = _without_null_budgets(request.layers()), old.settings.data
    extended = request.extend_vocabulary
    kept = data.model_dump(include={"level", "newlines", "min_count", "documents", "separator"})
    base = Settings(model=old.settings.model, data=Data(**kept))
    given = {key for _, values in layers for key in values}
    settings = resolve(layers, base)
    fixed = {f"model.{key}" for key in ("cell", "reset", "hidden", "layers")} | {"data.level"}
    if data.min_count > 1 or not extended:
        fixed.add("data.min_count")
    _refuse(old.settings, settings, fixed, f"{path} was trained with", layers)
    text = _text_for(request, old, settings)
    chars = len(text.ids)
    values = suited_length(settings.train, chars, given)
    settings = resolve([("suited to the text", values), *layers], base)
    values |= suited_rate(settings, chars, given, WARM)
    plan = make_plan(resolve([("suited to the weights", values), *layers], base), text, ranks, old)
    notes = list(advice.about_weights(path, old, plan, extended=extended))
    init_from = {"path": str(path.resolve()), "file": str(file.resolve()), "sha256": opened.sha256}
    make_state = partial(start, plan, old)
    return Session(request, plan, make_state, suited=values, notes=notes, init_from=init_from)


def _without_null_budgets(layers: Layers) -> Layers:
    """The same, but without any budget if the last layer that names it has null for it."""
    budgets = dict.fromkeys(BUDGET_KEYS)
    for _, values in layers:
        given = {key: values[key] for key in BUDGET_KEYS if key in values}
        replaced = any(one is not None for one in given.values())
        budgets = (dict.fromkeys(BUDGET_KEYS) if replaced else budgets) | given
    if any(one is not None for one in budgets.values()):
        return layers
    return [
        (source, {key: one for key, one in values.items() if key not in BUDGET_KEYS})
        for source, values in layers
    ]


def _text_for(request: Request, old: Checkpoint, settings: Settings) -> Corpus:
    """The corpus in the vocabulary of the old weights, extended if requested."""
    unknown, extend = request.unknown, request.extend_vocabulary
    try:
        return read_texts(request.sources, settings.data, old.vocabulary, unknown, extend=extend)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(
            f"{error}; --init-from keeps the vocabulary of {request.init_from}: --unknown skip "
            "leaves these out of the text, --extend-vocabulary learns them"
        ) from None


# ---- resumed runs


def _resumed(request: Request, ranks: Ranks, path: Path) -> Session:
    """A run that goes on from its last checkpoint. The session has its lock."""
    path = named_run(path)
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
        if (status := run.info.status) in NOT_TRAINED:
            raise UsageError(
                f"{path}: holds weights that were {status}, so there is no training to continue; "
                f"--init-from {quote(str(path))} starts a new run from them"
            )
        if not run.checkpoints.files():
            raise CheckpointError(f"{path}: holds no checkpoint to continue from; start a new run")
        return _continued(run, request, ranks)
    except BaseException:
        run.release()
        raise


def _continued(run: RunWriter, request: Request, ranks: Ranks) -> Session:
    layers, config = request.layers(), run.path / "config.yaml"
    file, old, problem = run.checkpoints.last_sound()
    notes = [f"{problem}; continuing from {file.name}, the newest intact one"] if problem else []
    if edited := _edited(run, old.settings):
        listed = ", ".join(f"{key} {json.dumps(value)}" for key, value in edited.items())
        notes.append(f"{config} asks for {listed}")
    layers = [(str(config), edited), *layers]
    settings = resolve(layers, old.settings)
    fixed = {key for key, influenced in INFLUENCES.items() if influenced == "weights"}
    _refuse(old.settings, settings, fixed, "the run was started with", layers)
    plan = make_plan(settings, _own_text(run, request.sources, settings, old), ranks, old)
    if settings.train.minutes is not None and old.progress.seconds is None:
        old.progress.seconds = run.info.elapsed_s or 0.0
    notes += advice.about_machine(run.info, plan)
    try:
        saved = resume(plan, old, done=run.info.status == "done")
    except SettingsError as error:
        mended = list[str]()
        with suppress(OSError, GrucliError):  # the other error is what matters
            mended += _mend(run, file, old, plan)
        raise SettingsError("\n".join([*mended, str(error)])) from None
    notes += advice.about_rate(plan, saved.progress)
    return Session(request, plan, lambda: saved, file, run, notes=notes)


def _mend(run: RunWriter, file: Path, old: Checkpoint, plan: Plan) -> list[str]:
    """Mend the files of a run that has nothing left to train; say what was mended."""
    said, settings = list[str](), run.settings
    files, corpus = plan.settings.data.files, described(plan, run)["corpus"]
    try:
        run.checkpoints.find("best")
    except CheckpointError:
        said += run.checkpoints.mend_pointers(file, old)
    if files != settings.data.files or corpus["paths"] != run.info.corpus.paths:
        data = settings.data.model_copy(update=files)
        run.write_settings(settings.model_copy(update={"data": data}))
        run.update_info(corpus=corpus)
        said.append(f"{run.path} names its text where it lies now")
    return said


def _edited(run: RunWriter, old: Settings) -> Values:
    """The settings in config.yaml, if it exists, that differ from those in the checkpoint."""
    try:
        config = [run.config()] if (run.path / "config.yaml").exists() else []
        return changes(old, resolve(config, old))
    except SettingsError as error:
        raise SettingsError(
            f"{error}\n(correct the file, or delete it to use the settings of the checkpoint)"
        ) from None


def _naming_text(run: RunWriter, words: str) -> str:
    resume = f"--resume {quote(str(run.path))}{run.cell_option()}"
    return f"name it where it lies: grucli train {words} {resume}"


def _own_text(run: RunWriter, given: Sequence[str], settings: Settings, old: Checkpoint) -> Corpus:
    """The text of a run, which must be the same as before."""
    data = with_moved(settings.data)
    for name, files in data.files.items():
        check_there(files, _naming_text(run, f"--{name} FILE"))
    moved = given or settings.data.files != old.settings.data.files
    problem = f"this is not the text of {run.path}" if moved else CHANGED
    changed = (
        f"{problem}; a resumed run keeps its text, which can be named again only if it has moved; "
        f"--init-from {quote(str(run.path))} starts a new run on another text from these weights"
    )
    sources = given or run.sources
    if STANDARD_INPUT in sources and not given:
        again = f"give the same text again: {run.resume_command(sources)} < TEXT"
        raise UsageError(f"{run.path} was trained on standard input; {again}")
    if not given:
        check_there(sources, f"copy it into this directory, or {_naming_text(run, 'FILE')}")
    return read_again(sources, data, old.vocabulary, old.text_id, changed)


def _refuse(old: Settings, new: Settings, fixed: set[str], words: str, layers: Layers) -> None:
    """Raise an error that names every changed setting that is fixed, and its origin."""
    before, origins = flatten(old), {key: origin for origin, values in layers for key in values}
    moved = set(old.data.files) & set(new.data.files)  # where held-out files are may change
    problems = [
        f"{origins[key]}: {key}: {words} {before[key]!r}; it cannot become {now!r}"
        for key, now in changes(old, new).items()
        if key in fixed and key.removeprefix("data.") not in moved
    ]
    if problems:
        raise SettingsError("\n".join(problems))


# ---- the other ranks


def take_part(ranks: Ranks) -> None:
    """Train in the run of rank 0, until it ends. The other ranks call this."""
    with suppress(Ended):
        plan = shared_plan(None, ranks)
        with closing(Trainer(plan, start(plan), RunWriter.nowhere())) as trainer:
            trainer.estimate()
            for _ in trainer.train(lambda: ranks.signal != 0):
                pass
        ranks.meet()  # rank 0 ends the run after its last file


def shared_plan(plan: Plan | None, ranks: Ranks) -> Plan:
    """The plan of rank 0, which the other ranks, who have None, make from texts of their own."""
    ranks.meet()
    text = plan and replace(plan.corpus, ids=plan.corpus.ids[:0], held_out={})
    settings, corpus = ranks.exchange(plan and (plan.settings, text))[0]
    problem = ""
    if plan is None:
        try:
            plan = make_plan(settings, _same_text(settings, corpus), ranks)
        except GrucliError as error:
            problem = f"rank {ranks.rank} on {ranks.host}: {error}"
    problems = [each for each in ranks.exchange(problem) if each]
    ranks.apart = True
    if problems and not ranks.rank:
        raise UsageError("\n".join(problems))
    while problems or plan is None:
        ranks.meet()  # rank 0 ends the run
    return plan


def _same_text(settings: Settings, there: Corpus) -> Corpus:
    """Read the text of rank 0, ``there``, from this machine."""
    changed = f"this is another text than on rank 0, where the SHA-256 is {hashes(there.text_id)}"
    data = with_moved(settings.data)
    try:
        return read_again(there.sources, data, there.vocabulary, there.text_id, changed)
    except GrucliError as error:
        raise CorpusError(f"{error}; every rank reads the text from its own machine") from None
