"""Train runs to compare them, and judge runs: their losses, their overfitting, their settings."""

import json
import statistics
from bisect import bisect_left
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import InstanceOf

from grucli.arguments import Several, checked
from grucli.config import INFLUENCES, Values, flatten
from grucli.data.corpus import Corpus
from grucli.defaults import SUITED
from grucli.errors import CorpusError, UsageError
from grucli.evaluation import evaluate
from grucli.nn.model import shapes
from grucli.nn.params import count
from grucli.run.run import Run
from grucli.stopping import closed_at_exit
from grucli.threads import available_cores
from grucli.training.events import Event
from grucli.training.preparation import prepare
from grucli.training.request import Request

# If the best checkpoint comes after this share of a run, the run does not show overfitting: losses
# of consecutive evaluations differ a little anyway.
LATE = 0.9
UNEQUAL = 1.1  # if one run made this many times the steps of another, their work is not equal

# Settings that are no conditions, besides those that influence nothing: the name of a model shows
# them, or, as the number of processes, they only change the order in which a gradient is summed.
NAMED = {"model.cell", "model.reset", "model.hidden", "model.layers"}
NO_CONDITIONS = NAMED | {"train.seed", "train.workers"}


@dataclass(frozen=True)
class Outcome:
    """The result of one run; losses are in nats per symbol."""

    run: str  # name of the run directory
    cell: str  # ``gru-after`` is a GRU that applies its reset gate after the product
    hidden: int
    layers: int
    seed: int
    steps: int  # updates that the run made
    parameters: int
    chars_per_s: float  # median over metrics.csv
    train: float  # loss of the best checkpoint on training text, without dropout
    val: float  # its loss on the validation text
    seconds_to_best: float  # from the start to the best checkpoint
    rise: float = 0.0  # last validation loss minus the lowest one
    passed: bool = True  # whether it was evaluated well after its best checkpoint, with no better
    status: str = "done"
    init_from: str | None = None  # hash of the checkpoint with the initial weights; None: random
    settings: Values = field(default_factory=dict)  # all of them, by dotted key

    @property
    def gap(self) -> float:
        """Validation loss minus training loss, a measure of overfitting."""
        return self.val - self.train

    @property
    def conditions(self) -> Values:
        """All that has an effect on the result, except the seed and the name of the model."""
        values = {
            key: value
            for key, value in self.settings.items()
            if INFLUENCES[key] != "nothing" and key not in NO_CONDITIONS
        }
        return values | {"status": self.status, "init_from": self.init_from}

    @property
    def kind(self) -> tuple[str, int, int, int, str]:
        """What runs that differ only in the seed have in common."""
        conditions = json.dumps(self.conditions, sort_keys=True)
        # vocabularies differ in the number of parameters
        return self.cell, self.layers, self.hidden, self.parameters, conditions


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the seed."""

    outcomes: Sequence[Outcome]
    differences: Values  # the settings in which not all groups are equal, with this one's values

    @property
    def first(self) -> Outcome:
        """The result of the first run; the others have the same model and settings."""
        return self.outcomes[0]

    def mean(self, of: Callable[[Outcome], float]) -> float:
        """The mean of a figure over the seeds."""
        return statistics.fmean(map(of, self.outcomes))

    def spread(self, of: Callable[[Outcome], float]) -> float:
        """The sample standard deviation of a figure over the seeds; there are several."""
        return statistics.stdev(map(of, self.outcomes))


def groups(outcomes: Sequence[Outcome]) -> list[Group]:
    """Group runs that differ only in the seed, and sort the groups by mean validation loss."""
    kinds: dict[object, list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault(outcome.kind, []).append(outcome)
    differ = differences([same[0].conditions for same in kinds.values()])
    grouped = [
        Group(same, {key: same[0].conditions[key] for key in differ}) for same in kinds.values()
    ]
    return sorted(grouped, key=lambda group: group.mean(lambda one: one.val))


def unequal_work(outcomes: Sequence[Outcome]) -> str | None:
    """A note if one budget in minutes gave runs different numbers of steps."""
    steps_of: dict[float, list[int]] = {}
    for outcome in outcomes:
        if minutes := outcome.settings.get("train.minutes"):
            steps_of.setdefault(minutes, []).append(outcome.steps)
    for minutes, steps in steps_of.items():
        if max(steps) > UNEQUAL * min(steps):
            return (
                f"in {minutes:g} minutes, the runs made from {min(steps):,} to {max(steps):,} "
                "steps, as cells and the load of the machine differ; --steps gives equal work"
            )
    return None


def differences(conditions: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys whose values differ, with the different values in order of appearance."""
    values: dict[str, list[Any]] = {}
    for one in conditions:
        for key, value in one.items():
            if value not in values.setdefault(key, []):
                values[key].append(value)
    return {key: several for key, several in values.items() if len(several) > 1}


@dataclass(frozen=True)
class Comparison:
    """Runs to train on one text: one run of each cell for each seed."""

    requests: Sequence[Request]  # for the runs, in the order of training
    text: Corpus  # of all runs

    @closed_at_exit
    def train(
        self, runs_dir: Path = Path("runs"), stop: Callable[[], bool] = lambda: False
    ) -> Generator[Event, None, None]:
        """Train the runs one after the other. If a run is stopped, the others are not trained."""
        for request in self.requests:
            session = prepare(replace(request, runs_dir=runs_dir), text=self.text)
            if not (yield from session.events(stop)):
                return


@checked
def plan_comparison(
    request: InstanceOf[Request],
    cells: Several[str],
    seeds: int = 1,
    *,
    equal_parameters: bool = False,
) -> Comparison:
    """Plan ``seeds`` runs of each cell, with one learning rate and dropout, and check them all.

    They have equal numbers of units, or with ``equal_parameters`` about as many parameters.
    """
    plan = prepare(request).plan
    V, layers = len(plan.corpus.vocabulary), plan.settings.model.layers
    resolved = flatten(plan.settings)
    common = {key: resolved[key] for key in SUITED}
    if not len(plan.splits.val):
        raise UsageError("data.val is 0; a comparison needs validation text")
    requests = []
    for seed in range(seeds):
        for cell in cells:
            change: Values = {**common, "model.cell": cell, "train.seed": seed}
            if equal_parameters:
                change["model.hidden"] = matching_hidden(V, layers, cell, plan.parameters)
            values = {**request.values, **change}
            requests.append(replace(request, values=values, name=f"{cell}-{seed}"))
    for cell_request in requests[: len(cells)]:
        prepare(cell_request, text=plan.corpus)  # checks the settings
    return Comparison(requests, plan.corpus)


def judge_all(runs: Sequence[Run], text: Corpus | None = None) -> list[Outcome]:
    """The results of runs. Without ``text``, their own text is read, once if it is the same."""
    outcomes = []
    for run in runs:
        own = run.checkpoint.text_id, run.checkpoint.vocabulary
        if text is None or (text.text_id, text.vocabulary) != own:
            text = run.text
        outcomes.append(_judge(run, text))
    return outcomes


def _judge(run: Run, text: Corpus) -> Outcome:
    checkpoint = run.checkpoint.calibrated
    settings, best_step = checkpoint.settings, checkpoint.progress.step
    model, splits = checkpoint.model, checkpoint.splits(text)
    if len(splits.val) < 2:
        raise CorpusError(f"{run.path}: it has no validation text, so it cannot be compared")
    seen = splits.train[-len(splits.val) :]
    rows = run.rows()
    speeds = [row.chars_per_s for row in rows if row.split == "train"]
    evaluations = {row.step: row for row in rows if row.split == "val"}
    losses = [row.loss for row in rows if row.split == "val"]
    init_from = run.info.init_from
    return Outcome(
        run=run.path.name,
        cell=model.cell,
        hidden=model.H,
        layers=model.L,
        seed=settings.train.seed,
        steps=max((row.step for row in rows), default=best_step),
        parameters=model.params.flat.size,
        chars_per_s=statistics.median(speeds) if speeds else 0.0,
        train=evaluate(model, seen, available_cores(), begins=False).loss,
        val=evaluate(model, splits.val, available_cores()).loss,
        seconds_to_best=evaluations[best_step].elapsed_s if best_step in evaluations else 0.0,
        rise=losses[-1] - min(losses) if losses else 0.0,
        passed=best_step < LATE * max(evaluations, default=0),
        status=run.status,
        init_from=None if init_from is None else init_from.sha256,
        settings=flatten(settings),
    )


def check_comparable(runs: Sequence[Run]) -> None:
    """Refuse runs with different texts, or with different ways to read or divide their text."""
    of_runs = [(run.checkpoint.settings.data, run.checkpoint.text_id) for run in runs]
    # wherever their files are
    texts = [(one.model_copy(update=dict.fromkeys(one.files)), text) for one, text in of_runs]
    data, text = texts[0]
    for run, (other_data, other) in zip(runs, texts, strict=True):
        if other.sha256 != text.sha256:
            why = "were trained on different texts"
        elif (other_data, other) != (data, text):
            why = "read or divide their text differently (the settings under data, --unknown)"
        else:
            continue
        raise UsageError(
            f"{runs[0].path} and {run.path} {why}, so that their losses cannot be compared"
        )


def matching_hidden(V: int, layers: int, cell: str, parameters: int) -> int:
    """The number of units that gives a cell about this number of parameters."""

    def excess(hidden: int) -> int:
        return count(shapes(V, hidden, layers, cell)) - parameters

    larger = bisect_left(range(parameters), 0, lo=2, key=excess)
    return min(larger - 1, larger, key=lambda hidden: abs(excess(hidden)))
