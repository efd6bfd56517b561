"""``grucli train``: from a text to a model."""

import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from grucli.cli import narrate, render
from grucli.cli.request import request
from grucli.errors import UsageError

if TYPE_CHECKING:
    from grucli.training.events import Event
    from grucli.training.request import Request

T = TypeVar("T")

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
    origin = {"resume": resume, "init_from": init_from, "unknown": unknown}
    asked = request(corpus, config, sets, numbers, extend_vocabulary=extend_vocabulary, **origin)
    if print_config:
        _print_config(asked)
        return
    if resume is not None and (name is not None or runs_dir is not None):
        raise UsageError("--name and --runs-dir are for a new run; --resume has one")
    if not quiet:
        narrate.say_reading(asked.sources)
    _train(asked, name, runs_dir or Path("runs"), began, dry_run=dry_run, quiet=quiet)


def _train(
    asked: "Request",
    name: str | None,
    runs_dir: Path,
    began: float,
    *,
    dry_run: bool,
    quiet: bool,
) -> None:
    with closing(asked.session()) as session:
        narrate.show_plan(session, quiet)
        if dry_run:
            return
        told, sources = len(session.notes), session.plan.corpus.sources
        finished, signal = carry_out(
            lambda stop: session.events(name, runs_dir, time.perf_counter() - began, stop),
            lambda events: narrate.follow(events, quiet, told),
            lambda: narrate.say_stopped(session.run, sources, at_once=True),
        )
    render.write_path(finished.run.path)
    if not finished.complete:
        narrate.say_stopped(session.run, sources)
        raise typer.Exit(128 + signal)
    if not quiet:
        narrate.say_goodbye(session)


def _print_config(asked: "Request") -> None:
    """All settings, as they suit the corpus if one is given."""
    from grucli.config import to_yaml

    if asked.resume is not None or asked.init_from is not None:
        raise UsageError("--print-config is for a new run; an old one has its config.yaml")
    settings = asked.session().plan.settings if asked.sources else asked.settings()
    render.write(to_yaml(settings).encode())


def carry_out(
    start: "Callable[[Callable[[], bool]], Generator[Event, None, object]]",
    show: "Callable[[Generator[Event, None, object]], T]",
    say_stopped: Callable[[], None],
) -> tuple[T, int]:
    """Train and show it, until it ends or a signal stops it.

    Args:
        start: from what asks whether to stop, the events.
        show: shows them.
        say_stopped: says that training was stopped at once.

    Returns:
        What ``show`` returns, and the signal that has stopped training, or 0.

    Raises:
        RunError: a file cannot be written, or the loss is not finite.
        typer.Exit: a second signal has stopped it at once.
    """
    from grucli.training.session import StoppedAtOnce

    with _stop_signals(StoppedAtOnce) as stop:
        events = start(stop)
        try:
            try:
                return show(events), stop.signal
            except BaseException as problem:
                events.throw(problem)  # a run must learn of what happens while it is shown
                raise
        except StoppedAtOnce:
            say_stopped()
            raise typer.Exit(128 + stop.signal) from None


class _Stop:
    """Whether the user has asked to stop, and by which signal; the next one raises ``at_once``."""

    def __init__(self, at_once: type[BaseException]) -> None:
        self.signal, self.at_once = 0, at_once

    def __call__(self) -> bool:
        return self.signal != 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Ask to stop after this step; the second time, stop at once."""
        del frame
        if self.signal:
            for again in STOP_SIGNALS:
                signal.signal(again, signal.SIG_IGN)  # what is left to do takes a moment
            raise self.at_once
        self.signal = number
        render.say("\nstopping after this step and saving; once more stops at once")


@contextmanager
def _stop_signals(at_once: type[BaseException]) -> Iterator[_Stop]:
    stop = _Stop(at_once)
    before = [signal.signal(number, stop.handle) for number in STOP_SIGNALS]
    try:
        yield stop
    finally:
        for number, handler in zip(STOP_SIGNALS, before, strict=True):
            signal.signal(number, handler)
