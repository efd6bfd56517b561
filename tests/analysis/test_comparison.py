import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grucli.analysis import comparison
from grucli.analysis.comparison import (
    Outcome,
    groups,
    judge_all,
    plan_comparison,
    unequal_work,
)
from grucli.data import corpus
from grucli.errors import UsageError
from grucli.nn.model import shapes
from grucli.nn.params import count
from grucli.run.run import Run
from grucli.run.writer import RunWriter
from grucli.training.events import Finished
from grucli.training.request import Request
from tests.texts import prose
from tests.training import small_runs

GRU = Outcome("a", "gru", 64, 1, 0, 100, 1000, 5e4, train=1.2, val=1.5, seconds_to_best=9.0)
LSTM = replace(GRU, run="b", cell="lstm", parameters=1300, train=1.0, val=1.6)

SMALL = small_runs.SMALL | {"train.steps": 10, "train.eval_every": 5}


@pytest.fixture
def text() -> str:
    Path("text.txt").write_text(prose(4000), encoding="utf-8")
    return "text.txt"


def judged(run: Run) -> Outcome:
    (outcome,) = comparison.judge_all([run])
    return outcome


def test_a_run_has_passed_its_best_only_long_after_it(trained: Path, tmp_path: Path) -> None:
    run = RunWriter(Path(shutil.copytree(trained, tmp_path / "copy")))
    best = max(row.step for row in run.rows())
    assert not judged(run).passed
    for step, split, passed in (
        (best + 1, "val", False),
        (2 * best, "train", False),
        (2 * best, "val", True),
    ):
        run.append_metrics(replace(run.rows()[-1], step=step, split=split))
        assert judged(run).passed is passed


@pytest.mark.parametrize("cell", ["lstm", "rnn", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_matching_parameters_come_as_close_as_units_allow(cell: str, layers: int) -> None:
    wanted = count(shapes(65, 100, layers, "gru"))
    hidden = comparison.matching_hidden(65, layers, cell, wanted)
    here, below, above = (
        abs(count(shapes(65, hidden + d, layers, cell)) - wanted) for d in (0, -1, 1)
    )
    assert here <= min(below, above)
    assert cell != "gru" or hidden == 100


def test_groups_are_ordered_by_loss() -> None:
    found = groups([LSTM, GRU, replace(GRU, seed=1)])
    assert [(group.first.cell, len(group.outcomes)) for group in found] == [("gru", 2), ("lstm", 1)]
    assert found[0].spread(lambda one: one.val) == 0.0
    assert found[0].differences == {}
    spread = groups([replace(GRU, seed=n, val=1.0 + n) for n in range(3)])[0].spread
    assert spread(lambda one: one.val) == pytest.approx(1.0)  # half the range is 1, too
    assert spread(lambda one: one.val**2) == pytest.approx(np.std([1, 4, 9], ddof=1))


def test_unequal_work_is_noted() -> None:
    slow, fast = (replace(GRU, steps=steps, settings={"train.minutes": 1.0}) for steps in (39, 113))
    note = unequal_work([slow, fast])
    assert note is not None
    assert "in 1 minutes, the runs made from 39 to 113 steps" in note
    assert "--steps gives equal work" in note
    longer = replace(fast, steps=500, settings={"train.minutes": 5.0})
    assert unequal_work([fast, longer]) is None
    assert unequal_work([fast, replace(fast, steps=105)]) is None
    assert unequal_work([GRU, replace(GRU, steps=50)]) is None  # it ran out of patience


def test_only_runs_that_differ_in_the_seed_share_a_group() -> None:
    settings = {"optim.lr": 0.01, "train.seed": 0, "train.keep": 2, "model.hidden": 64}
    first = replace(GRU, settings=settings)
    seed = replace(GRU, seed=1, settings=settings | {"train.seed": 1, "train.keep": 9})
    rate = replace(GRU, val=9.0, settings=settings | {"optim.lr": 0.001})
    stopped = replace(rate, val=10.0, status="interrupted")
    warm = replace(GRU, val=11.0, settings=settings, init_from="ab12")
    found = groups([first, seed, rate, stopped, warm])
    assert [len(group.outcomes) for group in found] == [2, 1, 1, 1]
    assert [group.differences for group in found] == [
        {"optim.lr": 0.01, "status": "done", "init_from": None},
        {"optim.lr": 0.001, "status": "done", "init_from": None},
        {"optim.lr": 0.001, "status": "interrupted", "init_from": None},
        {"optim.lr": 0.01, "status": "done", "init_from": "ab12"},
    ]


def test_a_comparison_reads_its_text_once(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, original = [], corpus.read

    def counted(*arguments: Any, **named: Any) -> Any:
        read.append(arguments)
        return original(*arguments, **named)

    monkeypatch.setattr(corpus, "read", counted)
    comparison = plan_comparison(Request([text], values=SMALL), ["gru", "rnn"], seeds=2)
    found = [event.run for event in comparison.train() if isinstance(event, Finished)]
    paths = [Run(run.path) for run in found]
    outcomes = judge_all(paths, comparison.text)
    assert len(read) == 1
    assert judge_all(paths) == outcomes
    assert len(read) == 2
    assert [(run.settings.model.cell, run.settings.train.seed) for run in found] == [
        ("gru", 0),
        ("rnn", 0),
        ("gru", 1),
        ("rnn", 1),
    ]
    assert found[3].path.name.endswith("-rnn-1")


def test_a_comparison_that_is_stopped_ends_with_its_run(text: str) -> None:
    comparison = plan_comparison(Request([text], values=SMALL), ["gru", "rnn"])
    (finished,) = [e for e in comparison.train(stop=lambda: True) if isinstance(e, Finished)]
    assert not finished.complete


def test_a_comparison_needs_validation_text(text: str) -> None:
    with pytest.raises(UsageError, match=r"data\.val is 0"):
        plan_comparison(Request([text], values=SMALL | {"data.val": 0.0}), ["gru"])
