import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from grucli.analysis import comparison
from grucli.analysis.comparison import Outcome
from grucli.nn.model import shapes
from grucli.nn.params import count
from grucli.storage.directory import RunDirectory

GRU = Outcome("a", "gru", 64, 1, 0, 1000, 5e4, train=1.2, val=1.5, seconds_to_best=9.0)
LSTM = replace(GRU, run="b", cell="lstm", parameters=1300, train=1.0, val=1.6)


def judged(run: RunDirectory) -> Outcome:
    (outcome,) = comparison.judge_all([run])
    return outcome


def verdicts(*outcomes: Outcome) -> dict[str, str]:
    return {claim.text: claim.verdict for claim in comparison.claims(outcomes)}


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
    young = [replace(one, passed=False) for one in (GRU, LSTM)]
    assert verdicts(*young)[FITS] == "undecided: no run was trained well past its best"
    assert verdicts(*young)[BETTER] == "held, by one seed"


def test_a_run_has_passed_its_best_only_long_after_it(trained: Path, tmp_path: Path) -> None:
    run = RunDirectory(Path(shutil.copytree(trained, tmp_path / "copy")))
    best = max(row.step for row in run.metrics())
    assert not judged(run).passed
    for step, split, passed in (
        (best + 1, "val", False),
        (2 * best, "train", False),
        (2 * best, "val", True),
    ):
        run.append_metrics(replace(run.metrics()[-1], step=step, split=split))
        assert judged(run).passed is passed


def test_nothing_is_claimed_where_budgets_or_sizes_differ() -> None:
    short, long = replace(GRU, budget="60 steps"), replace(LSTM, budget="200 steps, interrupted")
    found = verdicts(short, long)
    assert (
        found[BETTER]
        == found[FITS]
        == ("undecided: budgets differ (200 steps, interrupted, 60 steps)")
    )
    assert found[FEWER] == "held"
    assert verdicts(GRU, replace(GRU, hidden=32), LSTM) == {}


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


def test_kinds_are_ordered_by_loss() -> None:
    kinds = comparison.by_kind([LSTM, GRU, replace(GRU, seed=1)])
    assert list(kinds) == [("gru", 1, 64, 1000), ("lstm", 1, 64, 1300)]
    assert comparison.spread(kinds["gru", 1, 64, 1000], lambda one: one.val) == 0.0
