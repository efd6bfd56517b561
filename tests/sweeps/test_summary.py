from pathlib import Path

import pytest

from grucli.errors import UsageError
from grucli.run.run import Run
from grucli.sweeps.api import read_study
from grucli.sweeps.summary import TrialRecord, by_result, minutes_trained
from grucli.sweeps.worker import ClaimedTrial
from tests.cli.helpers import write
from tests.conftest import snapshot
from tests.sweeps.helpers import LONG, S, interrupt, train, worker
from tests.texts import prose


def test_the_time_of_several_workers_counts_once() -> None:
    sessions = [[(0, 600), (480, 1200)], [(120, 300), (1800, 1860)]]
    trials = [TrialRecord(0, "done", {}, sessions=each) for each in sessions]
    assert minutes_trained(trials) == 21


def test_the_best_settings_are_those_of_the_trial(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    config = S / "trial-0000" / "config.yaml"
    config.write_text(config.read_text().replace("hidden: 8", "hidden: 9"))
    shown = read_study(S)
    assert "hidden: 8" in shown.settings
    assert "Its run is not here" in shown.settings
    assert "dropout" not in shown.settings  # it would be none that the trial had
    assert shown.runs == []


def test_a_sweep_with_files_is_shown_from_elsewhere(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("valid.txt", prose(600, seed=1))
    summary = train(text_file, {"sweep.trials": 1, "data.val": "valid.txt"})
    before, folder = summary.settings, S.resolve()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    shown = read_study(folder)
    assert shown.runs == [folder / "trial-0000"]
    assert shown.settings == before


def test_only_trials_that_are_done_can_be_the_best() -> None:
    kinds = [("pruned", 1.0), ("done", 2.0), ("impossible", None), ("done", 1.5)]
    trials = [TrialRecord(n, kind, {}, loss, 1) for n, (kind, loss) in enumerate(kinds)]
    assert [one.number for one in sorted(trials, key=by_result)] == [3, 1, 0, 2]


# ---- runs of others


def test_a_run_of_other_settings_is_not_the_result_of_a_trial(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(ClaimedTrial, "tell", lambda *_, **__: interrupt())
        with pytest.raises(KeyboardInterrupt):
            train(text_file, {"sweep.trials": 1})
    config = S / "trial-0000" / "config.yaml"
    config.write_text(config.read_text().replace("steps: 20", "steps: 30"))
    with pytest.raises(UsageError, match=r"its run has train\.steps 30, and the trial 20"):
        train(text_file, {"sweep.trials": 1})


def test_an_old_journal_gets_the_runs_with_its_values_and_no_others(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    journal = (S / "study.journal").read_bytes()
    losses = {one.number: one.loss for one in train(text_file, {"sweep.trials": 4}).trials}
    (S / "trial-0002").rename("away")
    (S / "trial-0003").rename(S / "trial-0002")
    (S / "study.journal").write_bytes(journal)
    before = snapshot(S / "trial-0002")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"trial-0002: its run has optim\.lr .*move it away"):
            train(text_file, {"sweep.trials": 4})
    shown = read_study(S)
    assert {one.number: one.loss for one in shown.trials if one.loss} == {
        number: losses[number] for number in (0, 1)
    }
    assert {path.name for path in shown.runs} == {"trial-0000", "trial-0001"}
    assert snapshot(S / "trial-0002") == before
    (S / "trial-0002").rename(S / "trial-0003")
    again = {one.number: one.loss for one in train(text_file, {"sweep.trials": 4}).trials}
    assert again == losses


def test_a_directory_with_the_name_of_a_trial_is_not_removed(text_file: Path) -> None:
    (S / "trial-0000" / "samples").mkdir(parents=True)
    (S / "trial-0000" / "notes.txt").write_text("mine")
    before = snapshot(S / "trial-0000")
    with pytest.raises(UsageError, match="trial-0000: is not a run of this study; move it away"):
        train(text_file, {"sweep.trials": 1})
    assert snapshot(S / "trial-0000") == before


def test_former_settings_of_a_sweep_file_are_left_out(text_file: Path) -> None:
    former = {"optim.name": "adam", "optim.ema": 0.0, "model.locked": False}
    train(text_file, former | {"sweep.trials": 1})
    shown = read_study(S)
    assert shown.runs == [S / "trial-0000"]
    assert [one.name for one in shown.write()] == ["best.yaml", "report.html"]
    assert train(text_file, {"sweep.trials": 2}).trials[1].status == "done"


def test_a_sweep_goes_on_where_its_held_out_file_lies_now(text_file: Path) -> None:
    Path("old").mkdir()
    write("old/valid.txt", prose(600, seed=1))
    settings = LONG | {"sweep.trials": 2, "data.val": "old/valid.txt"}
    seen: list[object] = []
    stopped = worker(text_file, settings)
    for event in stopped.events(lambda: len(seen) > 30):
        seen.append(event)
    Path("old").rename("new")
    summary = train(text_file, settings | {"data.val": "new/valid.txt"})
    assert [one.status for one in summary.trials] == ["done", "done"]
    assert len(summary.runs) == 2
    assert Path(Run(summary.runs[0]).settings.data.files["val"][0]).exists()
