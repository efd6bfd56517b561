"""``grucli train``: train a model on a text."""

import signal
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TypeVar

import typer

from grucli.cli import narrate, render
from grucli.cli.request import request
from grucli.config import to_yaml
from grucli.data.vocabulary import Unknown
from grucli.errors import UsageError
from grucli.exchange.curves import EventFile
from grucli.mpiexec import refuse_equal_runs
from grucli.stopping import STOP_SIGNALS, stop_signals
from grucli.training.preparation import prepare, take_part
from grucli.training.ranks import Ranks, joined
from grucli.training.request import Request, TrainOptions

T = TypeVar("T")
E = TypeVar("E")


def train(
    corpus: list[str] | None = None,
    config: Path | None = None,
    sets: list[str] | None = None,
    val: list[str] | None = None,
    test: list[str] | None = None,
    own_cell: str | None = None,
    name: str | None = None,
    runs_dir: Path | None = None,
    seed: int | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    resume: Path | None = None,
    init_from: Path | None = None,
    unknown: Unknown = "error",
    extend_vocabulary: bool = False,
    print_config: bool = False,
    dry_run: bool = False,
    mpi: bool = False,
    tensorboard: bool = False,
    quiet: bool = False,
) -> None:
    """Train a model on a text and print the path of the run directory.

    Settings come from --config; --set and flags override them. --print-config shows all of them.
    """
    budget = TrainOptions(config=config, seed=seed, steps=steps, epochs=epochs, minutes=minutes)
    run = TrainOptions(name=name, runs_dir=runs_dir, resume=resume, init_from=init_from, mpi=mpi)
    texts = TrainOptions(val=val, test=test, unknown=unknown, extend_vocabulary=extend_vocabulary)
    refuse_equal_runs(joined=mpi)
    with joined(mpi) as ranks:
        if ranks.rank:
            take_part(ranks)
            return
        asked = request(corpus, sets, budget | run | texts, own_cell)
        if print_config:
            _print_config(asked, ranks)
        else:
            _train(asked, ranks, dry_run=dry_run, quiet=quiet, tensorboard=tensorboard)


def _train(asked: Request, ranks: Ranks, *, dry_run: bool, quiet: bool, tensorboard: bool) -> None:
    render.show_log(quiet=quiet)
    board = EventFile() if tensorboard else None
    if not quiet:
        narrate.say_reading(asked.sources)
    with closing(prepare(asked, ranks)) as session:
        narrate.show_plan(session, quiet)
        if dry_run:
            return
        finished, signal = carry_out(
            session.events,
            lambda events: narrate.follow(
                session, map(board, events) if board else events, quiet=quiet
            ),
            lambda: narrate.say_stopped(session.run, asked.sources, at_once=True),
        )
    render.write_path(finished.run.path)
    if not finished.complete:
        narrate.say_stopped(session.run, asked.sources)
        raise typer.Exit(128 + (signal or ranks.signal))
    if not quiet:
        narrate.show_result(session)


def _print_config(asked: Request, ranks: Ranks) -> None:
    """Print all settings; if a corpus is given, they are adapted to it."""
    if asked.resume is not None or asked.init_from is not None:
        raise UsageError("--print-config is for a new run; an existing run has a config.yaml")
    settings = prepare(asked, ranks).plan.settings if asked.sources else asked.settings()
    render.write(to_yaml(settings).encode())


def carry_out(
    start: Callable[[Callable[[], bool]], Generator[E, None, object]],
    show: Callable[[Generator[E, None, object]], T],
    say_stopped: Callable[[], None],
) -> tuple[T, int]:
    """Train and show the events, until training ends or a signal stops it.

    ``start`` begins the training; its argument tells whether to stop. The result is that of
    ``show``, and the signal that stopped training, or 0. A second signal stops it at once.
    """
    signals: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        """Ask to stop after this step; the second time, stop at once."""
        del frame
        if signals:
            for again in STOP_SIGNALS:
                signal.signal(again, signal.SIG_IGN)  # the rest takes only a moment
            raise KeyboardInterrupt
        signals.append(number)
        render.say("\nstopping after this step and saving; press Ctrl-C again to stop at once")

    with stop_signals(handle):
        events = start(lambda: bool(signals))
        try:
            try:
                return show(events), sum(signals)
            except BaseException as problem:
                events.throw(problem)  # the run must know of errors in ``show``
                raise
        except KeyboardInterrupt:
            say_stopped()
            raise typer.Exit(128 + sum(signals)) from None
