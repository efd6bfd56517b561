"""Cells beside each other: what runs on one text reached, and whether that bears out the claims."""

import statistics
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from grucli.config import BUDGETS, Train, Values
from grucli.data.corpus import Corpus
from grucli.data.windows import split
from grucli.errors import CorpusError, UsageError
from grucli.evaluation import evaluate
from grucli.nn.model import shapes
from grucli.nn.params import count
from grucli.storage import checkpoint as checkpoints
from grucli.storage.checkpoint import Checkpoint
from grucli.storage.directory import RunDirectory, own_corpus
from grucli.threads import available_cores
from grucli.training.events import Event
from grucli.training.request import Request
from grucli.training.session import Session

LATE = 0.9
"""Share of a run from which on the best checkpoint does not show over-fitting: two evaluations
differ a little anyway."""


@dataclass(frozen=True)
class Outcome:
    """What one run reached.

    Attributes:
        run: name of its directory.
        cell: the cell, ``gru-after`` for a GRU with its reset gate after the product.
        hidden: units of a layer.
        layers: layers.
        seed: of all random numbers.
        parameters: number of them.
        chars_per_s: characters trained on in a second, median over the rows of metrics.csv.
        train: loss of the best checkpoint on training text, without dropout, nats a character.
        val: its loss on the validation text, nats a character.
        seconds_to_best: from the start to that checkpoint.
        budget: what was asked for, and whether it was used up.
        passed: whether it was judged long after that checkpoint, and was no better.
    """

    run: str
    cell: str
    hidden: int
    layers: int
    seed: int
    parameters: int
    chars_per_s: float
    train: float
    val: float
    seconds_to_best: float
    budget: str = ""
    passed: bool = True

    @property
    def gap(self) -> float:
        """How much better known text is predicted than new text: over-fitting."""
        return self.val - self.train

    @property
    def kind(self) -> tuple[str, int, int, int]:
        """What runs of several seeds have in common; parameters differ with the vocabulary."""
        return self.cell, self.layers, self.hidden, self.parameters


@dataclass(frozen=True)
class Claim:
    """A claim, and what this text says of it."""

    text: str
    verdict: str
    figures: str


@dataclass(frozen=True)
class Comparison:
    """Runs that are to be trained on one text: of each seed one of each cell.

    Attributes:
        requests: what they are asked to do, in this order.
        first: the first of them as it was asked for; its text is that of all.
    """

    requests: Sequence[Request]
    first: Session

    @property
    def text(self) -> Corpus:
        """The text of all runs."""
        return self.first.plan.corpus

    def train(
        self, runs_dir: Path = Path("runs"), stop: Callable[[], bool] = lambda: False
    ) -> Generator[Event, None, None]:
        """Train the runs one after the other; a run that is stopped is the last.

        Raises:
            RunError: a file cannot be written, or a run has diverged.
        """
        for request in self.requests:
            began = time.perf_counter()
            session = request.session(self.text)
            name = f"{request.decided['model.cell']}-{request.decided['train.seed']}"
            elapsed = time.perf_counter() - began
            if not (yield from session.events(name, runs_dir, elapsed, stop)):
                return


def plan_comparison(
    request: Request, cells: Sequence[str], seeds: int = 1, *, equal_parameters: bool = False
) -> Comparison:
    """What is to be trained to compare cells; what can be refused is refused here.

    Args:
        request: what the runs have in common.
        cells: the cells.
        seeds: runs of each of them.
        equal_parameters: whether they get about equal numbers of parameters, not of units.

    Raises:
        UsageError: settings or text are not usable.
    """
    first = request.session()
    plan = first.plan
    V, layers = len(plan.corpus.vocabulary), plan.settings.model.layers
    if not len(plan.splits.val):
        raise UsageError("data.val is 0: without validation text there is nothing to compare")
    requests = []
    for seed in range(seeds):
        for cell in cells:
            change: Values = {"model.cell": cell, "train.seed": seed}
            if equal_parameters:
                change["model.hidden"] = matching_hidden(V, layers, cell, plan.parameters)
            requests.append(request.with_values(change))
    for one in requests[: len(cells)]:
        one.session(plan.corpus)
    return Comparison(requests, first)


def judge_all(runs: Sequence[RunDirectory], text: Corpus | None = None) -> list[Outcome]:
    """What runs have reached. Without ``text`` theirs is read, once if it is the same.

    Raises:
        CorpusError: no validation text was held out, or the text has changed.
        CheckpointError: a run is damaged.
    """
    outcomes = []
    for run in runs:
        file = run.checkpoints.find("best")
        checkpoint = checkpoints.read(file)
        if text is None or not _was_read_so(text, checkpoint):
            text = own_corpus(file, checkpoint)
        outcomes.append(judge(run, checkpoint, text))
    return outcomes


def _was_read_so(text: Corpus, checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint was trained on this text, read with this vocabulary."""
    known, symbols = text.vocabulary.symbols, checkpoint.vocabulary.symbols
    return checkpoints.same_text(text, checkpoint) and np.array_equal(known, symbols)


def judge(run: RunDirectory, checkpoint: Checkpoint, text: Corpus) -> Outcome:
    """What a run reached.

    Args:
        run: its directory.
        checkpoint: its best checkpoint.
        text: what it was trained on.

    Raises:
        CorpusError: no validation text was held out.
    """
    settings, where, model = checkpoint.settings, checkpoint.progress, checkpoint.model_to_use()
    splits = split(text.ids, settings.data)
    if len(splits.val) < 2:
        raise CorpusError(f"{run.path}: held out no validation text, so it cannot be compared")
    seen = splits.train[-len(splits.val) :]
    rows = run.metrics()
    speeds = [row.chars_per_s for row in rows if row.split == "train"]
    judged = {row.step: row.elapsed_s for row in rows if row.split == "val"}
    return Outcome(
        run=run.path.name,
        cell=model.cell,
        hidden=model.H,
        layers=model.L,
        seed=settings.train.seed,
        parameters=model.params.flat.size,
        chars_per_s=statistics.median(speeds) if speeds else 0.0,
        train=evaluate(model, seen, available_cores()).loss,
        val=evaluate(model, splits.val, available_cores()).loss,
        seconds_to_best=judged.get(where.step, 0.0),
        budget=_budget(run, settings.train),
        passed=where.step < LATE * max(judged, default=0),
    )


def _budget(run: RunDirectory, train: Train) -> str:
    (asked,) = (f"{getattr(train, key):g} {key}" for key in BUDGETS if getattr(train, key))
    return asked if run.status == "done" else f"{asked}, {run.status}"


def check_comparable(runs: Sequence[RunDirectory]) -> None:
    """Refuse runs that were judged by different texts, or read the same one differently.

    Raises:
        UsageError: naming two of them.
    """
    first, *others = [checkpoints.read(run.checkpoints.find("best")) for run in runs]
    for run, other in zip(runs[1:], others, strict=True):
        why = None
        if other.corpus["sha256"] != first.corpus["sha256"]:
            why = "were trained on different texts"
        elif (other.settings.data, other.corpus["chars"]) != (
            first.settings.data,
            first.corpus["chars"],
        ):
            why = "read or divide their text differently (the settings under data, --unknown)"
        if why:
            raise UsageError(
                f"{runs[0].path} and {run.path} {why}, so that their losses cannot be compared"
            )


def matching_hidden(V: int, layers: int, cell: str, parameters: int) -> int:
    """The number of units with which a cell comes closest to so many parameters."""

    def distance(hidden: int) -> int:
        return abs(count(shapes(V, hidden, layers, cell)) - parameters)

    low, high = 1, 2
    while count(shapes(V, high, layers, cell)) < parameters:
        low, high = high, 2 * high
    return min(range(low, high + 1), key=distance)


def by_kind(outcomes: Sequence[Outcome]) -> dict[tuple[str, int, int, int], list[Outcome]]:
    """Runs that differ by their seed alone, together; the lowest validation loss first."""
    kinds: dict[tuple[str, int, int, int], list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault(outcome.kind, []).append(outcome)
    return dict(sorted(kinds.items(), key=lambda kind: mean(kind[1], lambda one: one.val)))


def mean(outcomes: Sequence[Outcome], of: Callable[[Outcome], float]) -> float:
    """The mean over seeds."""
    return statistics.fmean(map(of, outcomes))


def spread(outcomes: Sequence[Outcome], of: Callable[[Outcome], float]) -> float:
    """Half of what lies between the smallest and the largest over seeds."""
    values = list(map(of, outcomes))
    return (max(values) - min(values)) / 2


def claims(outcomes: Sequence[Outcome]) -> list[Claim]:
    """What the lecture note asserts of GRU and LSTM, held against these runs."""
    cells = {
        name: [one for one in outcomes if one.cell.partition("-")[0] == name]
        for name in ("gru", "lstm")
    }
    gru, lstm = cells["gru"], cells["lstm"]
    if any(len({one.kind for one in of_cell}) != 1 for of_cell in (gru, lstm)):
        return []  # one of them is missing, or there are several of different sizes
    found = [
        _compared("a GRU over-fits less than an LSTM", gru, lstm, lambda one: one.gap, "gap"),
        _compared("a GRU predicts new text better", gru, lstm, lambda one: one.val, "loss"),
    ]
    if not any(one.passed for one in [*gru, *lstm]):
        found[0] = replace(found[0], verdict="undecided: no run had passed its best")
    if len({one.budget for one in [*gru, *lstm]}) > 1:
        budgets = ", ".join(sorted({one.budget for one in [*gru, *lstm]}))
        found = [replace(one, verdict=f"undecided: budgets differ ({budgets})") for one in found]
    if gru[0].hidden == lstm[0].hidden:
        fewer = gru[0].parameters < lstm[0].parameters
        figures = f"{gru[0].parameters:,} against {lstm[0].parameters:,} at {gru[0].hidden} units"
        text = "a GRU has fewer parameters than an LSTM of its width"
        found.insert(0, Claim(text, "held" if fewer else "did not hold", figures))
    return found


def _compared(
    text: str,
    gru: Sequence[Outcome],
    lstm: Sequence[Outcome],
    of: Callable[[Outcome], float],
    what: str,
) -> Claim:
    """Whether the GRU's figure is the smaller one, by more than seeds differ."""
    difference = mean(lstm, of) - mean(gru, of)
    figures = f"{what} {mean(gru, of):.4f} against {mean(lstm, of):.4f}"
    if len(gru) < 2 or len(lstm) < 2:
        verdict = "held" if difference > 0 else "did not hold"
        return Claim(text, f"{verdict}, by one seed", figures)
    if abs(difference) <= spread(gru, of) + spread(lstm, of):
        return Claim(text, "undecided: seeds differ by more", figures)
    return Claim(text, "held" if difference > 0 else "did not hold", figures)
