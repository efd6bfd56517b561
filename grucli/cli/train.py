"""``grucli train``: from a text to a model."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from grucli.cli import render
from grucli.errors import SettingsError, UnknownCharacterError, UsageError

if TYPE_CHECKING:
    from grucli.checkpoint import Checkpoint
    from grucli.config import Settings, Values
    from grucli.runs import RunDirectory
    from grucli.training import Event, Plan, Trainer


def train(
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            help="Text files, .gz accepted, read as one text; - reads standard input.",
            metavar="CORPUS...",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Settings in YAML.", metavar="FILE"),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", help="One setting, as in model.hidden=512.", metavar="KEY=VALUE"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Ends the run's name [the corpus].", metavar="NAME")
    ] = None,
    runs_dir: Annotated[
        Path, typer.Option("--runs-dir", help="Where to make the run directory.", metavar="DIR")
    ] = Path("runs"),
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of all random numbers.", metavar="N")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Budget in updates.", metavar="N")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="Budget in passes over the text.", metavar="X")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="Budget in minutes.", metavar="X")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", help="Go on with this run from its last checkpoint.", metavar="RUN"
        ),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option("--init-from", help="Start a new run from these weights.", metavar="RUN|CKPT"),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the settings in YAML and stop.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and stop.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress and no samples.")
    ] = False,
) -> None:
    """Train a model on a text and print the path of the run directory.

    Settings come from --config, then --set and the flags; --print-config shows them all.
    """
    began = time.perf_counter()
    flags = {"train.seed": seed, "train.steps": steps, "train.epochs": epochs}
    given = {
        key: value
        for key, value in (flags | {"train.minutes": minutes}).items()
        if value is not None
    }
    request = _Request(corpus or [], config, sets or [], given, resume, init_from)
    if print_config:
        from grucli.config import to_yaml

        render.write(to_yaml(request.settings()).encode())
        return
    if resume is not None and name is not None:
        raise UsageError("--name cannot be changed on --resume; it is a new run's")
    session = request.session()
    _show_plan(session.plan, quiet)
    if dry_run:
        return
    _train(session, name, runs_dir, began, quiet)


# ---- what was asked for ----------------------------------------------------------------------


@dataclass
class _Session:
    """A run that is ready to start or to go on."""

    plan: "Plan"
    checkpoint: "Checkpoint"
    overrides: "Values"
    run: "RunDirectory | None"  # None for a run that has no directory yet


@dataclass
class _Request:
    """The words of the command line."""

    corpus: list[str]
    config: Path | None
    sets: list[str]
    flags: "Values"
    resume: Path | None
    init_from: Path | None

    def overrides(self) -> "Values":
        """What --set and the flags say; budgets that exclude each other are an error."""
        from grucli.config import BUDGETS, parse_override

        values: Values = {}
        for text in self.sets:
            values |= parse_override(text)
        budgets = [f"train.{key}" for key in BUDGETS]
        twice = [key for key in self.flags if key in values]
        if twice:
            raise SettingsError(f"{twice[0]} is given by --set and by a flag; keep one")
        values |= self.flags
        if len([key for key in budgets if values.get(key) is not None]) > 1:
            words = [f"--{key}" for key in BUDGETS if values.get(f"train.{key}") is not None]
            raise SettingsError(f"{' and '.join(words)} are both given; keep one budget")
        return values

    def settings(self, base: "Settings | None" = None) -> "Settings":
        """Resolved settings on top of ``base``."""
        from grucli.config import read_file, resolve

        layers = [(str(self.config), read_file(self.config))] if self.config else []
        return resolve([*layers, ("command line", self.overrides())], base)

    def session(self) -> _Session:
        """Read the corpus and all that goes with it; nothing is written."""
        if self.resume is not None and self.init_from is not None:
            raise UsageError("--resume goes on with a run, --init-from starts a new one; keep one")
        if self.resume is not None:
            return self._resumed(self.resume)
        if not self.corpus:
            raise UsageError(
                "name a text to train on: grucli train FILE; "
                "`grucli corpus python-reference` makes one to try"
            )
        return self._new() if self.init_from is None else self._from_weights(self.init_from)

    def _new(self) -> _Session:
        from grucli.corpus import read
        from grucli.training import make_plan, start

        settings = self.settings()
        plan = make_plan(settings, read(self.corpus, settings.data))
        return _Session(plan, start(plan), self.overrides(), None)

    def _from_weights(self, path: Path) -> _Session:
        from grucli import checkpoint as checkpoints
        from grucli.config import Settings
        from grucli.corpus import read
        from grucli.runs import find_checkpoint
        from grucli.training import make_plan, start

        old = checkpoints.read(find_checkpoint(path, "best"))
        base = Settings(model=old.settings.model)
        base = base.model_copy(
            update={"data": base.data.model_copy(update={"level": old.settings.data.level})}
        )
        settings = self.settings(base)
        fixed = {"model.cell", "model.reset", "model.hidden", "model.layers", "data.level"}
        _refuse(old.settings, settings, fixed, f"{path} was trained with")
        try:
            text = read(self.corpus, settings.data, old.vocabulary)
        except UnknownCharacterError as error:
            raise UnknownCharacterError(
                f"{', '.join(self.corpus)}: {error}; --init-from keeps the vocabulary of {path}: "
                "take these out of the text, or train from the start"
            ) from None
        plan = make_plan(settings, text)
        return _Session(plan, start(plan, old.model_to_use()), self.overrides(), None)

    def _resumed(self, path: Path) -> _Session:
        from grucli import checkpoint as checkpoints
        from grucli.config import RESUMABLE, flatten
        from grucli.corpus import read
        from grucli.runs import find_checkpoint, run_of
        from grucli.training import make_plan, resume

        run = run_of(path)
        if run is None:
            find_checkpoint(path, "last")  # says what is wrong with the path
            raise UsageError(f"{path}: --resume takes a run directory; start anew with --init-from")
        old = checkpoints.read(run.checkpoint("last"))
        settings = self.settings(old.settings)
        _refuse(
            old.settings, settings, set(flatten(settings)) - RESUMABLE, "the run was begun with"
        )
        sources = self.corpus or run.info["corpus"]["paths"]
        if sources == ["-"] and not self.corpus:
            raise UsageError(
                f"{run.path} was trained on standard input; give the same text again: "
                f"grucli train - --resume {render.quote(str(path))} < TEXT"
            )
        plan = make_plan(settings, read(sources, settings.data, old.vocabulary))
        return _Session(plan, resume(plan, old), self.overrides(), run)


def _refuse(old: "Settings", new: "Settings", fixed: set[str], words: str) -> None:
    """Name every setting that would have to stay as it was."""
    from grucli.config import changed_keys, flatten

    before, after = flatten(old), flatten(new)
    problems = [
        f"{key}: {words} {before[key]!r}; it cannot become {after[key]!r}"
        for key in changed_keys(old, new)
        if key in fixed
    ]
    if problems:
        raise SettingsError("\n".join(problems))


# ---- running ---------------------------------------------------------------------------------


def _train(session: _Session, name: str | None, runs_dir: Path, began: float, quiet: bool) -> None:
    from grucli.runs import RunDirectory
    from grucli.training import Trainer, describe

    plan, run, elapsed = session.plan, session.run, 0.0
    if run is None:
        title = name or _title(plan.corpus.sources[0])
        run = RunDirectory.create(runs_dir, title, plan.settings, session.overrides)
        model = plan.settings.model
        facts = describe(plan) | {"model": f"{model.cell} {model.layers}x{model.hidden}"}
        run.write_info(
            {"status": "running", **facts, "step": 0, "best": {"step": None, "loss": None}}
        )
    else:
        elapsed = _reopen(run, session, quiet)
    trainer = Trainer(plan, session.checkpoint, run, elapsed + time.perf_counter() - began)
    if not quiet:
        render.say(f"time     about {render.duration(trainer.estimate())}")
    with _stop_signals() as stop:
        try:
            _follow(trainer, stop, quiet)
        except BaseException:
            run.update_info(status="failed")
            raise
    stopped = stop.signal
    run.update_info(status="interrupted" if stopped else "done")
    _say_goodbye(trainer, stopped, quiet)
    render.write_line(str(run.path))
    if stopped:
        raise typer.Exit(128 + stopped)


def _reopen(run: "RunDirectory", session: _Session, quiet: bool) -> float:
    """Bring a run's files back to its last checkpoint; the seconds it has used so far."""
    from grucli.config import to_yaml
    from grucli.files import replace_text

    progress = session.checkpoint.progress
    run.drop_after(progress.step)
    replace_text(run.path / "config.yaml", to_yaml(session.plan.settings))
    run.update_info(status="running")
    if not quiet:
        best = "" if progress.best_loss is None else f", best loss so far {progress.best_loss:.4f}"
        render.say(f"resume   {run.path} at step {progress.step:,}{best}")
    return float(run.info.get("elapsed_s", 0.0)) if progress.seconds is None else 0.0


class _Stop:
    """Whether the user has asked to stop, and by which signal."""

    signal: int = 0

    def __call__(self) -> bool:
        return self.signal != 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Ask to stop after this step; the second time, stop at once."""
        del frame
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        render.say("\nstopping after this step and saving; once more stops at once")


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    stop = _Stop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [signal.signal(number, stop.handle) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _follow(trainer: "Trainer", stop: Callable[[], bool], quiet: bool) -> None:
    """Train, and show what happens."""
    if quiet:
        for _ in trainer.train(stop):
            pass
    elif render.err.is_terminal:
        _follow_on_terminal(trainer, stop)
    else:
        for event in trainer.train(stop):
            _show(event, log=True)


def _follow_on_terminal(trainer: "Trainer", stop: Callable[[], bool]) -> None:
    from rich.progress import BarColumn, Progress, TextColumn

    from grucli.training import Stepped

    columns = (BarColumn(bar_width=None), TextColumn("{task.fields[status]}", markup=False))
    with Progress(*columns, console=render.err, transient=True, expand=True) as bar:
        task = bar.add_task("", total=1.0, status="")
        smooth = 0.0
        for event in trainer.train(stop):
            if not isinstance(event, Stepped):
                _show(event, log=False)
                continue
            smooth = event.loss if not smooth else 0.95 * smooth + 0.05 * event.loss
            status = (
                f"loss {smooth:.3f} {smooth / math.log(2):.2f} bpc "
                f"{event.chars_per_s / 1000:.0f}k chars/s {render.duration(event.remaining_s)} left"
            )
            bar.update(task, completed=event.progress, status=status)


def _show(event: "Event", *, log: bool) -> None:
    from grucli.training import Evaluated, Logged, Sampled

    if isinstance(event, Logged) and log:
        row = event.row
        render.say(
            f"step {row.step:>6,}  loss {row.loss:.4f}  {row.bpc:.3f} bpc  "
            f"{row.chars_per_s / 1000:.0f}k chars/s  {render.duration(row.elapsed_s)}"
        )
    elif isinstance(event, Evaluated):
        render.say(_evaluation_line(event), style="bold")
    elif isinstance(event, Sampled):
        text = render.printable(event.text.decode(errors="replace"))
        render.say("\n".join(f"  | {line}" for line in text.split("\n")), style="dim")


def _evaluation_line(event: "Event") -> str:
    from grucli.training import Evaluated

    assert isinstance(event, Evaluated)
    marks = " best" * event.best + " (averaged weights)" * event.averaged
    return (
        f"step {event.step:>6,}  epoch {event.epoch:5.2f}  train {event.train_loss:.4f}  "
        f"val {event.loss:.4f} ({event.loss / math.log(2):.3f} bpc){marks}"
    )


# ---- words before and after ------------------------------------------------------------------


def _title(source: str) -> str:
    return "stdin" if source == "-" else Path(source).name.removesuffix(".gz").rsplit(".", 1)[0]


def _show_plan(plan: "Plan", quiet: bool) -> None:
    """What is about to be done; what had to be adapted is said even when quiet."""
    from grucli.evaluation import baselines

    settings, windows, corpus = plan.settings, plan.windows, plan.corpus
    train = settings.train
    if (train.batch, train.window) != (windows.B, windows.T):
        render.warn(
            f"the text is short: batch {train.batch} x window {train.window} became "
            f"{windows.B} x {windows.T}, so that an epoch has {windows.per_epoch} steps"
        )
    if quiet:
        return
    unit = "bytes" if settings.data.level == "byte" else "characters"
    parts = [(len(plan.splits.train), "to train"), (len(plan.splits.val), "to validate")]
    parts += [(len(plan.splits.test), "to test")] * (len(plan.splits.test) > 0)
    uniform, unigram = (nats / math.log(2) for nats in baselines(plan.counts))
    model = settings.model
    dropout = f", dropout {model.dropout:g}" if model.dropout else ""
    render.say(f"corpus   {', '.join(corpus.sources)}")
    render.say(f"         {len(corpus.ids):,} {unit}, {len(corpus.vocabulary):,} different ones")
    render.say(f"         {', '.join(f'{count:,} {use}' for count, use in parts)}")
    render.say(
        f"model    {model.cell.upper()}, {model.layers} x {model.hidden} units{dropout}, "
        f"{plan.parameters:,} parameters"
    )
    render.say(f"guess    {uniform:.2f} bits per character uniformly, {unigram:.2f} by frequency")
    render.say(f"budget   {_budget(plan)}")
    threads = "1 thread" if plan.workers == 1 else f"{plan.workers} threads"
    render.say(f"memory   {render.size(plan.memory)}, {threads}")


def _budget(plan: "Plan") -> str:
    windows = plan.windows
    portion = f"{windows.B} x {windows.T} characters"
    if plan.budget.seconds is not None:
        return f"{render.duration(plan.budget.seconds)}, in steps of {portion}"
    assert plan.budget.steps is not None
    epochs = plan.budget.steps / windows.per_epoch
    return f"{plan.budget.steps:,} steps of {portion} = {epochs:.3g} epochs"


def _say_goodbye(trainer: "Trainer", stopped: int, quiet: bool) -> None:
    """How it went, and the commands that go on from here."""
    run, where = trainer.run, trainer.checkpoint.progress
    path = render.quote(str(run.path))
    sources = " ".join(
        render.quote(source) for source in trainer.plan.corpus.sources if source == "-"
    )
    resume = f"grucli train {sources + ' ' if sources else ''}--resume {path}"
    if stopped:
        render.say(f"stopped at step {where.step:,}, all saved; go on with:\n  {resume}")
        return
    if quiet:
        return
    _say_result(trainer)
    epochs = 2 * max(1, math.ceil(where.step / trainer.plan.windows.per_epoch))
    first = trainer.plan.corpus.sources[0]
    render.say("\nnext")
    render.say(f"  grucli sample {path}")
    render.say(f"  grucli eval {path} {'FILE' if first == '-' else render.quote(first)}")
    render.say(f"  {resume} --epochs {epochs}")


def _say_result(trainer: "Trainer") -> None:
    from grucli import checkpoint as checkpoints
    from grucli.evaluation import baselines, longest_copy
    from grucli.report import verdict
    from grucli.training import make_sample

    plan, run = trainer.plan, trainer.run
    train, val = run.evaluations()
    progress = trainer.checkpoint.progress
    if val and progress.best_loss is not None:
        uniform, unigram = baselines(plan.counts)
        bits = [nats / math.log(2) for nats in (progress.best_loss, unigram, uniform)]
        render.say(
            f"\nbest validation loss {progress.best_loss:.4f} nats = {bits[0]:.3f} bits per "
            f"character at step {progress.best_step:,}; guessing by frequency {bits[1]:.3f}, "
            f"uniformly {bits[2]:.3f}",
            style="bold",
        )
    model = plan.settings.model
    render.say(verdict(train, val, model.dropout, model.hidden))
    if plan.settings.sample.length:
        best = checkpoints.read(run.checkpoint("best"))
        ids, _ = make_sample(best, best.vocabulary, plan.settings.train.seed)
        length, start = longest_copy(ids, plan.splits.train)
        copied = best.vocabulary.decode(ids[start : start + length]).decode(errors="replace")
        render.say(
            f"The longest passage that a sample of {len(ids)} characters copies from the corpus "
            f"has {length} characters: {copied!r}."
            if length
            else f"A sample of {len(ids)} characters copies no 8 in a row from the corpus."
        )
