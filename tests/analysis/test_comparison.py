import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grucli.analysis import comparison
from grucli.analysis.claims import claims
from grucli.analysis.comparison import Outcome, groups, unequal_work
from grucli.nn.model import shapes
from grucli.nn.params import count
from grucli.run.run import Run
from grucli.run.writer import RunWriter

GRU = Outcome("a", "gru", 64, 1, 0, 100, 1000, 5e4, train=1.2, val=1.5, seconds_to_best=9.0)
LSTM = replace(GRU, run="b", cell="lstm", parameters=1300, train=1.0, val=1.6)


def judged(run: Run) -> Outcome:
    (outcome,) = comparison.judge_all([run])
    return outcome


def verdicts(*outcomes: Outcome) -> dict[str, str]:
    return {claim.text: claim.verdict for claim in claims(outcomes)}


FEWER = "a GRU has fewer parameters than an LSTM of its width"
FITS = "a GRU overfits less than an LSTM"
BETTER = "a GRU predicts new text better"


def test_claims_of_one_seed_say_so() -> None:
    assert verdicts(GRU, LSTM) == {
        FEWER: "held",
        FITS: "held, by one seed",
        BETTER: "held, by one seed",
    }
    worse = replace(GRU, val=1.9)
    assert verdicts(worse, LSTM)[BETTER] == "did not hold, by one seed"


def test_claims_of_several_seeds_are_held_against_their_spread() -> None:
    def seeds(outcome: Outcome, differ: float) -> list[Outcome]:
        return [outcome, replace(outcome, seed=1, val=outcome.val + differ)]

    assert verdicts(*seeds(GRU, 0.01), *seeds(LSTM, 0.01))[BETTER] == "held"
    assert verdicts(*seeds(GRU, 0.2), *seeds(LSTM, 0.2))[BETTER].startswith("undecided")
    assert verdicts(*seeds(LSTM, 0.01)) == {}


def test_widths_are_compared_only_where_equal_and_over_fitting_only_where_it_is() -> None:
    assert FEWER not in verdicts(GRU, replace(LSTM, hidden=50))
    young = replace(LSTM, passed=False)
    assert verdicts(GRU, young)[FITS] == (
        "undecided: 1 of 2 runs were not trained well past their best"
    )
    assert verdicts(GRU, young)[BETTER] == "held, by one seed"


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


def test_nothing_is_claimed_where_settings_or_sizes_differ() -> None:
    short = replace(GRU, settings={"train.steps": 60, "train.seed": 0})
    long = replace(LSTM, settings={"train.steps": 200, "train.seed": 4}, status="interrupted")
    found = verdicts(short, long)
    words = "undecided: the runs differ in train.steps: 60 against 200; "
    assert found[BETTER] == found[FITS] == words + "status: done against interrupted"
    assert found[FEWER] == "held"
    assert verdicts(GRU, replace(GRU, hidden=32), LSTM) == {}
    assert verdicts(GRU, replace(GRU, settings={"optim.lr": 0.1}), LSTM) == {}


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
