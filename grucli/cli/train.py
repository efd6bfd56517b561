"""``grucli train``: from a text to a model."""

import contextlib
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from grucli.cli import narrate, render
from grucli.cli.request import Request, Session
from grucli.errors import RunError, UsageError

if TYPE_CHECKING:
    from grucli.runs import RunDirectory
    from grucli.training import Trainer

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Corpus = Annotated[
    list[str] | None,
    typer.Argument(
        help="Text files, .gz accepted, or directories, read as one text; - reads standard input.",
        metavar="CORPUS",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings in YAML.", metavar="FILE")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="One setting, as in model.hidden=512.", metavar="KEY=VALUE"),
]
Name = Annotated[
    str | None, typer.Option("--name", help="Ends the run's name [the corpus].", metavar="NAME")
]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", help="Where to make the run directory [runs].", metavar="DIR"),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Of all random numbers.", metavar="N")]
Steps = Annotated[int | None, typer.Option("--steps", help="Budget in updates.", metavar="N")]
Epochs = Annotated[
    float | None, typer.Option("--epochs", help="Budget in passes over the text.", metavar="X")
]
Minutes = Annotated[float | None, typer.Option("--minutes", help="Budget in minutes.", metavar="X")]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", help="Go on with this run from its last checkpoint.", metavar="RUN"),
]
InitFrom = Annotated[
    Path | None,
    typer.Option("--init-from", help="Start a new run from these weights.", metavar="RUN|CKPT"),
]
Unknown = Annotated[
    Literal["error", "skip"],
    typer.Option(
        "--unknown",
        help="With --init-from: characters that it never saw: error or skip.",
        metavar="error|skip",
    ),
]
ExtendVocabulary = Annotated[
    bool,
    typer.Option(
        "--extend-vocabulary", help="With --init-from: learn characters that are new to it."
    ),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print the settings in YAML and stop.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and stop.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no samples.")]


def train(
    corpus: Corpus = None,
    config: Config = None,
    sets: Sets = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    seed: Seed = None,
    steps: Steps = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    resume: Resume = None,
    init_from: InitFrom = None,
    unknown: Unknown = "error",
    extend_vocabulary: ExtendVocabulary = False,
    print_config: PrintConfig = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a text and print the path of the run directory.

    Settings come from --config, then --set and the flags; --print-config shows them all.
    """
    began = time.perf_counter()
    numbers = {"seed": seed, "steps": steps, "epochs": epochs, "minutes": minutes}
    flags = {f"train.{key}": value for key, value in numbers.items() if value is not None}
    request = Request(
        corpus or [], config, sets or [], flags, resume, init_from, unknown, extend_vocabulary
    )
    if print_config:
        if resume is not None or init_from is not None:
            raise UsageError("--print-config is for a new run; an old one has its config.yaml")
        _print_config(request)
        return
    if resume is not None and (name is not None or runs_dir is not None):
        raise UsageError("--name and --runs-dir are for a new run; --resume has one")
    if not quiet:
        narrate.say_reading(request.corpus)
    session = request.session()
    narrate.show_plan(session.plan, session.suited, quiet)
    if dry_run:
        return
    trainer, signal = carry_out(session, name, runs_dir or Path("runs"), began, quiet)
    render.write_line(str(trainer.run.path))
    if not trainer.finished:
        narrate.say_stopped(trainer.run, session.plan)
        raise typer.Exit(128 + signal)
    if not quiet:
        narrate.say_goodbye(trainer)


def _print_config(request: Request) -> None:
    """All settings, as they suit the corpus if one is given."""
    from grucli.config import to_yaml

    settings = request.session().plan.settings if request.corpus else request.settings()
    render.write(to_yaml(settings).encode())


def carry_out(
    session: Session, name: str | None, runs_dir: Path, began: float, quiet: bool
) -> "tuple[Trainer, int]":
    """Train in a run directory of its own; the trainer, and the signal that has stopped it or 0.

    Raises:
        RunError: a file cannot be written, or the loss is not finite.
    """
    import numpy as np

    from grucli.training import Trainer

    np.seterr(all="ignore")  # training checks for itself that loss and gradient are finite
    with _stop_signals() as stop, _run_of(session, name, runs_dir) as run:
        elapsed = _time_used(run, session) + time.perf_counter() - began
        trainer = None
        try:
            with closing(Trainer(session.plan, session.checkpoint, run, elapsed)) as trainer:
                expected = trainer.estimate()
                if not quiet:
                    render.say(f"time     about {render.duration(expected)}")
                narrate.follow(trainer, stop, quiet)
            run.update_info(status="done" if trainer.finished else "interrupted")
        except _StoppedAtOnce:
            run.update_info(status="interrupted")
            narrate.say_stopped(run, session.plan, at_once=True)
            raise typer.Exit(128 + stop.signal) from None
        except OSError as error:
            raise RunError(_cannot_write(run, error)) from error
        except BaseException:
            run.update_info(status="failed")
            raise
    return trainer, stop.signal


@contextmanager
def _run_of(session: Session, name: str | None, runs_dir: Path) -> Iterator["RunDirectory"]:
    """The run directory, new or brought back to its last checkpoint, and locked."""
    from grucli.plan import describe
    from grucli.runs import RunDirectory

    plan = session.plan
    if session.run is None:
        title = name or _title(plan.corpus.sources[0])
        run = RunDirectory.create(runs_dir, title, plan.settings, session.overrides)
        lock = run.lock()
        model = plan.settings.model
        facts = describe(plan) | {"model": f"{model.variant} {model.layers}x{model.hidden}"}
        if session.init_from is not None:
            facts["init_from"] = str(session.init_from.resolve())
        best = {"step": None, "loss": None}
        run.write_info({"status": "running", **facts, "step": 0, "best": best})
    else:
        run = session.run
        lock = run.lock()
        _reopen(run, session)
    try:
        yield run
    finally:
        lock.release()


def _reopen(run: "RunDirectory", session: Session) -> None:
    """Bring a run's files back to its last checkpoint."""
    from grucli.config import to_yaml
    from grucli.files import replace_text
    from grucli.plan import describe

    progress = session.checkpoint.progress
    try:
        run.make_ready()
        if session.fallen_back_to is not None:
            run.fall_back_to(session.fallen_back_to, session.checkpoint)
        if copy := run.drop_after(progress.step):
            render.warn(f"metrics.csv held lines that are no rows; as it was it is kept in {copy}")
        run.prune(session.plan.settings.train.keep)
        replace_text(run.path / "config.yaml", to_yaml(session.plan.settings))
        run.update_info(status="running", **describe(session.plan))
    except OSError as error:
        raise UsageError(
            f"{error.filename or run.path}: cannot be written: {error.strerror or error}"
        ) from None
    best = progress.best_loss
    known = "" if best is None else f", best loss so far {best:.4f}"
    render.say(f"resume   {run.path} at step {progress.step:,}{known}")


def _time_used(run: "RunDirectory", session: Session) -> float:
    """Seconds of earlier sessions that the checkpoint does not know of."""
    if session.run is None or session.checkpoint.progress.seconds is not None:
        return 0.0
    return run.info.elapsed_s or 0.0


def _cannot_write(run: "RunDirectory", error: OSError) -> str:
    with contextlib.suppress(OSError):
        run.update_info(status="failed")
    saved = run.pointer("last")
    safe = (
        f"the checkpoint of step {saved.step:,} is safe; when that is mended, go on with: "
        f"grucli train --resume {render.quote(str(run.path))}"
        if saved
        else "no checkpoint has been written yet"
    )
    return f"{error.filename or run.path}: cannot be written: {error.strerror or error}; {safe}"


class _StoppedAtOnce(BaseException):
    """The second signal."""


class _Stop:
    """Whether the user has asked to stop, and by which signal."""

    signal: int = 0

    def __call__(self) -> bool:
        return self.signal != 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Ask to stop after this step; the second time, stop at once."""
        del frame
        if self.signal:
            for again in STOP_SIGNALS:
                signal.signal(again, signal.SIG_IGN)  # what is left to do takes a moment
            raise _StoppedAtOnce
        self.signal = number
        render.say("\nstopping after this step and saving; once more stops at once")


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    stop = _Stop()
    before = [signal.signal(number, stop.handle) for number in STOP_SIGNALS]
    try:
        yield stop
    finally:
        for number, handler in zip(STOP_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def _title(source: str) -> str:
    return "stdin" if source == "-" else Path(source).name.removesuffix(".gz").rsplit(".", 1)[0]
