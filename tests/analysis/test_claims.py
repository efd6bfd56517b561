from dataclasses import replace

from grucli.analysis.claims import claims
from grucli.analysis.comparison import Outcome
from tests.analysis.test_comparison import GRU, LSTM


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


def test_nothing_is_claimed_where_settings_or_sizes_differ() -> None:
    short = replace(GRU, settings={"train.steps": 60, "train.seed": 0})
    long = replace(LSTM, settings={"train.steps": 200, "train.seed": 4}, status="interrupted")
    found = verdicts(short, long)
    words = "undecided: the runs differ in train.steps: 60 against 200; "
    assert found[BETTER] == found[FITS] == words + "status: done against interrupted"
    assert found[FEWER] == "held"
    deep = verdicts(GRU, replace(LSTM, layers=GRU.layers + 1))
    words = f"undecided: the runs differ in model.layers: {GRU.layers} against {GRU.layers + 1}"
    assert deep == {FITS: words, BETTER: words}
    wide = verdicts(GRU, replace(LSTM, hidden=4 * LSTM.hidden, parameters=9 * LSTM.parameters))
    assert wide[BETTER].startswith("undecided: the runs differ in model.hidden")
    assert verdicts(GRU, replace(GRU, hidden=32), LSTM) == {}
    assert verdicts(GRU, replace(GRU, settings={"optim.lr": 0.1}), LSTM) == {}
