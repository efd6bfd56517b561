"""``grucli compare``: GRU against LSTM and RNN on one text."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from grucli.cli import narrate, render, subjects
from grucli.cli.request import request
from grucli.cli.train import Config, Epochs, Minutes, RunsDir, Sets, Steps, carry_out
from grucli.errors import UsageError

if TYPE_CHECKING:
    from grucli.analysis.comparison import Outcome
    from grucli.storage.directory import RunDirectory
    from grucli.training.events import Event, Finished
    from grucli.training.request import Request

Corpus = Annotated[
    list[str] | None,
    typer.Argument(
        help="Text files or directories, read as one text; with --runs, runs.",
        metavar="CORPUS",
        show_default=False,
    ),
]
Cells = Annotated[str, typer.Option("--cells", help="Cells to train.", metavar="A,B,...")]
Match = Annotated[
    Literal["width", "params"],
    typer.Option("--match", help="Equal units, or about equal numbers of parameters."),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", min=1, max=100, help="Runs of each cell [1].", metavar="N"),
]
Runs = Annotated[
    bool, typer.Option("--runs", help="What is named are runs: compare them, train nothing.")
]

HEADER = ("model", "params", "chars/s", "train", "val", "gap", "best at")


def compare(
    corpus: Corpus = None,
    cells: Cells = "gru,lstm,rnn",
    match: Match = "width",
    seeds: Seeds = None,
    config: Config = None,
    sets: Sets = None,
    steps: Steps = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    runs_dir: RunsDir = None,
    runs: Runs = False,
    as_json: subjects.AsJson = False,
) -> None:
    """Train each cell on a text under one budget, and compare what they reached.

    Losses are in nats a character. The gap, between text that was trained on and new text, is
    over-fitting. Seeds are 0, 1, ...; what follows plus-minus is half the range over them. Each
    run is an ordinary run directory; compare --runs RUN RUN ... compares what there is.
    """
    budget = {"steps": steps, "epochs": epochs, "minutes": minutes}
    if runs:
        if (
            sets
            or config
            or seeds is not None
            or any(value is not None for value in budget.values())
        ):
            raise UsageError(
                "--runs compares runs that there are; leave out budget, settings and --seeds"
            )
        compared = _existing([Path(run) for run in corpus or []])
    elif not corpus:
        raise UsageError("name a text to train on, or --runs RUN RUN ... to compare runs")
    else:
        names = subjects.cell_names(cells)
        _refuse_what_is_compared(corpus, config, sets or [])
        asked = request(corpus, config, sets, budget)
        compared = _train_all(asked, names, match, seeds or 1, runs_dir or Path("runs"))
    _report(compared, as_json)


def _refuse_what_is_compared(
    corpus: Sequence[str], config: Path | None, sets: Sequence[str]
) -> None:
    """What differs from run to run cannot be set, and each run reads the text."""
    for key, option in (("model.cell", "--cells"), ("train.seed", "--seeds")):
        if any(text.partition("=")[0].strip() == key for text in sets):
            raise UsageError(f"--set {key}: compare chooses it for each run; see {option}")
        if config is not None and _differs_from_default(config, key):
            render.warn(f"{config}: {key} is not used; compare chooses it: see {option}")
    if "-" in corpus:
        raise UsageError("-: standard input can be read once, and each run reads it: name a file")


def _differs_from_default(config: Path, key: str) -> bool:
    """Whether a settings file asks for something else; one from --print-config has every key."""
    from grucli.config import Settings, flatten, read_file

    default = flatten(Settings())[key]
    return bool(read_file(config).get(key, default) != default)


def _existing(paths: Sequence[Path]) -> "list[Outcome]":
    from grucli.analysis.comparison import check_comparable, judge_all
    from grucli.storage.directory import RunDirectory, find_checkpoint

    if not paths:
        raise UsageError("--runs: name the runs to compare; `grucli runs` lists them")
    for path in paths:
        find_checkpoint(path, "best")  # says what is wrong with the path
        if not path.is_dir():
            raise UsageError(f"{path}: --runs takes run directories, not files")
    found = {path.resolve(): RunDirectory(path) for path in paths}
    check_comparable(list(found.values()))
    return judge_all(list(found.values()))


def _train_all(
    asked: "Request", cells: Sequence[str], match: str, seeds: int, runs_dir: Path
) -> "list[Outcome]":
    """Train one run of each cell and seed."""
    from grucli.analysis.comparison import judge_all, plan_comparison

    comparison = plan_comparison(asked, cells, seeds, equal_parameters=match == "params")
    shown = _Shown(len(comparison.requests))
    _, signal = carry_out(
        lambda stop: comparison.train(runs_dir, stop),
        shown.follow,
        lambda: narrate.say_stopped(shown.run, asked.sources, at_once=True),
    )
    if len(shown.complete) < shown.total:
        narrate.say_stopped(shown.run, asked.sources)
        if shown.complete:
            render.say("compare what has been trained with:")
            paths = " ".join(render.quote(str(run.path)) for run in shown.complete)
            render.say_command(f"grucli compare --runs {paths}")
        raise typer.Exit(128 + signal)
    return judge_all(shown.complete, comparison.text)


class _Shown:
    """Shows runs that are trained one after the other.

    Attributes:
        total: how many there will be.
        run: the one that is being trained.
        complete: those that came to their end.
    """

    def __init__(self, total: int) -> None:
        self.total, self.began = total, time.perf_counter()
        self.run: RunDirectory | None = None
        self.complete: list[RunDirectory] = []

    def follow(self, events: "Iterator[Event]") -> None:
        """Say what has to be said of each event."""
        from grucli.storage.directory import RunDirectory
        from grucli.training.events import Finished, Started

        for event in events:
            narrate.warn(event)
            if isinstance(event, Started):
                self.run, self.began = RunDirectory(event.path), time.perf_counter()
                narrate.say_notes(event.notes if not self.complete else ())
            elif isinstance(event, Finished):
                self._say_finished(event)
                self.complete += [RunDirectory(event.run.path)] * event.complete

    def _say_finished(self, event: "Finished") -> None:
        settings, taken = event.run.settings, render.duration(time.perf_counter() - self.began)
        model = settings.model
        render.say(
            f"{len(self.complete) + 1} of {self.total}: {model.cell.upper()} "
            f"{model.layers} x {model.hidden}, seed {settings.train.seed}, {taken}: "
            f"{event.run.path}"
        )


def _report(outcomes: "Sequence[Outcome]", as_json: bool) -> None:
    from grucli.analysis.comparison import by_kind, claims

    found = claims(outcomes)
    if as_json:
        rows = [asdict(one) | {"gap": one.gap} for one in outcomes]
        render.write_json({"runs": rows, "claims": [asdict(claim) for claim in found]})
        return
    lines = [_cells(kind, seeds) for kind, seeds in by_kind(outcomes).items()]
    render.write_table([HEADER, *lines])
    for claim in found:
        render.write_line(f"\n{claim.text}: {claim.verdict}\n  {claim.figures}")


def _cells(kind: tuple[str, int, int, int], seeds: "Sequence[Outcome]") -> tuple[str, ...]:
    from grucli.analysis.comparison import mean, spread

    cell, layers, hidden, parameters = kind

    def figure(of: Any) -> str:
        about = f" \N{PLUS-MINUS SIGN} {spread(seeds, of):.4f}" if len(seeds) > 1 else ""
        return f"{mean(seeds, of):.4f}{about}"

    return (
        f"{cell.upper()} {layers} x {hidden}",
        f"{parameters:,}",
        f"{mean(seeds, lambda one: one.chars_per_s):,.0f}",
        figure(lambda one: one.train),
        figure(lambda one: one.val),
        figure(lambda one: one.gap),
        render.duration(mean(seeds, lambda one: one.seconds_to_best)),
    )
