"""Check with runs what the lecture note claims about GRU and LSTM."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from grucli.analysis.comparison import UNEQUAL, Group, Outcome, differences, groups

FEWER = "a GRU has fewer parameters than an LSTM of its width"
OVERFITS = "a GRU overfits less than an LSTM"
BETTER = "a GRU predicts new text better"


@dataclass(frozen=True)
class Claim:
    """A claim of the lecture note, the verdict of these runs on it, and their figures."""

    text: str
    verdict: str
    figures: str


def claims(outcomes: Sequence[Outcome]) -> list[Claim]:
    """Check the claims; there is nothing to check if a cell has no run, or runs of two kinds."""
    grus, lstms = (
        groups([one for one in outcomes if one.cell.partition("-")[0] == cell])
        for cell in ("gru", "lstm")
    )
    if len(grus) != 1 or len(lstms) != 1:
        return []
    (gru,), (lstm,) = grus, lstms
    checked = [_overfitting(gru, lstm), _compared(BETTER, gru, lstm, lambda one: one.val, "loss")]
    first = gru.first, lstm.first
    differ = differences([one.conditions | {"model.layers": one.layers} for one in first])
    few, many = sorted(one.parameters for one in first)
    if many > UNEQUAL * few:
        differ |= differences([{"model.hidden": one.hidden} for one in first])
    if differ:
        named = "; ".join(f"{key}: {a} against {b}" for key, (a, b) in differ.items())
        verdict = f"undecided: the runs differ in {named}"
        checked = [replace(claim, verdict=verdict) for claim in checked]
    if (gru.first.hidden, gru.first.layers) == (lstm.first.hidden, lstm.first.layers):
        of_gru, of_lstm = gru.first.parameters, lstm.first.parameters
        figures = f"{of_gru:,} against {of_lstm:,} at {gru.first.hidden} units"
        checked.insert(0, Claim(FEWER, _verdict(of_gru < of_lstm), figures))
    return checked


def _overfitting(gru: Group, lstm: Group) -> Claim:
    """Compare the gaps of the best checkpoints; each run must have been trained past its best."""
    claim = _compared(OVERFITS, gru, lstm, lambda one: one.gap, "gap")
    runs = [*gru.outcomes, *lstm.outcomes]
    before = sum(not one.passed for one in runs)
    if before:
        verdict = f"undecided: {before} of {len(runs)} runs were not trained well past their best"
        return replace(claim, verdict=verdict)
    rises = [group.mean(lambda one: one.rise) for group in (gru, lstm)]
    figures = f"{claim.figures}; rise after the best {rises[0]:.4f} against {rises[1]:.4f}"
    return replace(claim, figures=figures)


def _compared(
    text: str, gru: Group, lstm: Group, of: Callable[[Outcome], float], what: str
) -> Claim:
    """Check whether the GRU's figure is smaller, and by more than the spread over seeds."""
    difference = lstm.mean(of) - gru.mean(of)
    verdict = _verdict(difference > 0)
    if min(len(gru.outcomes), len(lstm.outcomes)) < 2:
        verdict += ", by one seed"
    elif abs(difference) <= gru.spread(of) + lstm.spread(of):
        verdict = "undecided: the spread over seeds is larger"
    return Claim(text, verdict, f"{what} {gru.mean(of):.4f} against {lstm.mean(of):.4f}")


def _verdict(holds: bool) -> str:
    return "held" if holds else "did not hold"
