from pathlib import Path

from grucli.sweeps.api import read_study
from grucli.sweeps.summary import _union, by_result
from grucli.sweeps.trial_record import TrialRecord
from tests.sweeps.helpers import S, train


def test_the_time_of_several_workers_counts_once() -> None:
    assert _union([(0, 10), (2, 5), (8, 20), (30, 31)]) == 21


def test_the_best_settings_are_those_of_the_trial(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    config = S / "trial-0000" / "config.yaml"
    config.write_text(config.read_text().replace("hidden: 8", "hidden: 9"))
    shown = read_study(S)
    assert "hidden: 8" in shown.settings
    assert shown.runs == []


def test_only_trials_that_are_done_can_be_the_best() -> None:
    kinds = [("pruned", 1.0), ("done", 2.0), ("impossible", None), ("done", 1.5)]
    trials = [TrialRecord(n, kind, {}, loss, 1) for n, (kind, loss) in enumerate(kinds)]
    assert [one.number for one in sorted(trials, key=by_result)] == [3, 1, 0, 2]
