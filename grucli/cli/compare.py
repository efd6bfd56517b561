"""``grucli compare``: compare GRU, LSTM and RNN on one text."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Literal

import typer

from grucli.analysis import comparison
from grucli.analysis.claims import Claim, claims
from grucli.analysis.subject import cell_names
from grucli.cli import narrate, render
from grucli.cli.request import request
from grucli.cli.train import carry_out
from grucli.config import Settings, flatten, read_file
from grucli.data.text_files import STANDARD_INPUT
from grucli.errors import UsageError
from grucli.mpiexec import refuse_equal_runs
from grucli.nn.cells import in_words
from grucli.run.run import Run
from grucli.text_out import duration, quote
from grucli.training.events import Event, Finished, Started
from grucli.training.request import Request, TrainOptions

HEADER = ("model", "seeds", "steps", "params", "{}s/s", "train", "val", "gap", "rise", "best at")
# Columns that a narrow terminal does not show; the first of them goes first.
LEAST_USED = ("chars/s", "bytes/s", "best at", "rise", "params", "gap")


def compare(
    compared: list[str] | None = None,
    cells: str | None = None,
    own_cell: str | None = None,
    match: Literal["width", "params"] | None = None,
    seeds: int | None = None,
    config: Path | None = None,
    sets: list[str] | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    runs_dir: Path | None = None,
    existing: bool = False,
    as_json: bool = False,
) -> None:
    """Train each cell on a text with the same budget, and compare the results.

    Losses are of the best checkpoint, in nats per character or byte. The gap (validation minus
    training loss) measures overfitting; the rise is the last validation loss minus the lowest one.
    Runs that differ only in the seed (0, 1, ...) share a row; the number after plus-minus is their
    sample standard deviation. Without --cells: gru, lstm, rnn, and that of --cell-file.
    """
    for_new = (cells, match, config, sets, seeds, steps, epochs, minutes, runs_dir)
    if existing and any(one is not None for one in for_new):
        raise UsageError("--runs trains nothing; it takes only runs, --cell-file and --json")
    if not compared:
        raise UsageError(
            "--runs: name the runs to compare; `grucli runs` lists them"
            if existing
            else "name a text to train on, or --runs RUN RUN ... to compare runs"
        )
    if existing:
        _report(_existing(compared), as_json)
        return
    all_cells = ",".join(filter(None, ["gru,lstm,rnn", own_cell]))
    names = cell_names(all_cells if cells is None else cells)
    _refuse_what_is_compared(compared, config, sets or [])
    budget = TrainOptions(config=config, steps=steps, epochs=epochs, minutes=minutes)
    asked = request(compared, sets, budget)
    _report(_train_all(asked, names, match or "width", seeds or 1, runs_dir), as_json)


def _refuse_what_is_compared(
    corpus: Sequence[str], config: Path | None, sets: Sequence[str]
) -> None:
    """Refuse settings that compare chooses itself, standard input, and several processes."""
    refuse_equal_runs()
    defaults = flatten(Settings())
    values = defaults | ({} if config is None else read_file(config))
    for key, option in (("model.cell", "--cells"), ("train.seed", "--seeds")):
        if any(text.partition("=")[0].strip() == key for text in sets):
            raise UsageError(f"--set {key}: compare chooses the value for each run; see {option}")
        if values[key] != defaults[key]:  # a file from --print-config has all keys
            render.warn(f"{config}: {key} is not used; compare chooses the value; see {option}")
    if STANDARD_INPUT in corpus:
        raise UsageError(
            "-: each run reads the text, but standard input can be read only once; name a file"
        )


def _existing(compared: Sequence[str]) -> list[comparison.Outcome]:
    runs = list({run.path.resolve(): run for run in map(Run, compared)}.values())
    comparison.check_comparable(runs)
    return comparison.judge_all(runs)


def _train_all(
    asked: Request, cells: Sequence[str], match: str, seeds: int, runs_dir: Path | None
) -> list[comparison.Outcome]:
    planned = comparison.plan_comparison(asked, cells, seeds, equal_parameters=match == "params")
    display = ComparisonDisplay(len(planned.requests))
    _, signal = carry_out(
        lambda stop: planned.train(runs_dir or Path("runs"), stop),
        display.follow,
        lambda: narrate.say_stopped(display.run, asked.sources, at_once=True),
    )
    if len(display.complete) < display.total:
        narrate.say_stopped(display.run, asked.sources)
        if display.complete:
            render.say("to compare the runs that are complete:")
            paths = " ".join(quote(str(run.path)) for run in display.complete)
            render.say_command(f"grucli compare --runs {paths}")
        raise typer.Exit(128 + signal)
    return comparison.judge_all(display.complete, planned.text)


class ComparisonDisplay:
    """The display of runs that are trained one after the other."""

    def __init__(self, total: int) -> None:
        self.total, self.began = total, time.perf_counter()
        self.run: Run | None = None  # the run that is being trained
        self.complete: list[Run] = []

    def follow(self, events: Iterator[Event]) -> None:
        for event in events:
            narrate.warn(event)
            if isinstance(event, Started):
                self.run, self.began = Run(event.path), time.perf_counter()
                render.warn(*(event.notes if not self.complete else ()))
            elif isinstance(event, Finished):
                model, seed = event.run.settings.model, event.run.settings.train.seed
                took = duration(time.perf_counter() - self.began)
                render.say(
                    f"{len(self.complete) + 1} of {self.total}: {in_words(model.variant)} "
                    f"{model.layers} x {model.hidden}, seed {seed}, {took}: {event.run.path}"
                )
                self.complete += [Run(event.run.path)] * event.complete


def _report(outcomes: Sequence[comparison.Outcome], as_json: bool) -> None:
    if note := comparison.unequal_work(outcomes):
        render.warn(note)
    checked = claims(outcomes)
    runs = [asdict(outcome) | {"gap": outcome.gap} for outcome in outcomes]
    records = {"runs": runs, "claims": [asdict(claim) for claim in checked]}
    render.answer(records, _lines(outcomes, checked), as_json=as_json)


def _lines(outcomes: Sequence[comparison.Outcome], checked: Sequence[Claim]) -> Iterator[str]:
    grouped, level = comparison.groups(outcomes), outcomes[0].settings["data.level"]
    header = [name.format(level) for name in HEADER]
    yield from render.table([header, *map(_cells, grouped)], drop=LEAST_USED)
    if any(len(group.outcomes) > 1 for group in grouped):
        yield "\N{PLUS-MINUS SIGN}: the sample standard deviation over the seeds"
    for claim in checked:
        yield ""
        yield f"{claim.text}: {claim.verdict}"
        yield f"  {claim.figures}"


def _cells(group: comparison.Group) -> tuple[str, ...]:
    first, steps = group.first, [one.steps for one in group.outcomes]
    name = [f"{in_words(first.cell)} {first.layers} x {first.hidden}"]
    name += [
        f"{key.partition('.')[2] or key} {value}"
        for key, value in group.differences.items()
        if value is not None
    ]
    return (
        ", ".join(name),
        _seeds([one.seed for one in group.outcomes]),
        "-".join(f"{number:,}" for number in sorted({min(steps), max(steps)})),
        f"{first.parameters:,}",
        f"{group.mean(attrgetter('chars_per_s')):,.0f}",
        *(_with_spread(group, name) for name in ("train", "val", "gap", "rise")),
        duration(group.mean(attrgetter("seconds_to_best"))),
    )


def _with_spread(group: comparison.Group, figure: str) -> str:
    of = attrgetter(figure)
    spread = f" \N{PLUS-MINUS SIGN} {group.spread(of):.4f}" if len(group.outcomes) > 1 else ""
    return f"{group.mean(of):.4f}{spread}"


def _seeds(seeds: Sequence[int]) -> str:
    """Seeds in a short form: "0-4" for 0, 1, 2, 3, 4."""
    ordered = sorted(seeds)
    if len(seeds) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]}-{ordered[-1]}"
    return ", ".join(map(str, ordered))
