import csv
import errno
import json
import signal
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from grucli import files
from grucli.errors import RunError, SettingsError, UsageError
from grucli.run.run import Run
from grucli.run.writer import RunWriter
from grucli.sweeps import study as studies
from grucli.sweeps.api import read_study
from grucli.sweeps.claims import LOST, ClaimedTrial, _take_over
from grucli.sweeps.events import Complete, TrialBegun, TrialEnded, Waiting
from grucli.sweeps.study import Study
from grucli.sweeps.summary import _union
from grucli.sweeps.trial_record import TrialRecord
from grucli.sweeps.worker import PruningMonitor
from grucli.training import plan
from grucli.training.events import Evaluated, Stepped
from tests.conftest import refused_locks, snapshot
from tests.sweeps.helpers import (
    LONG,
    claim,
    end,
    events,
    kill,
    start,
    train,
    wait_for,
    worker,
    write_file,
)  # fmt: skip

S = Path("runs/s")


def info(number: int, folder: Path = S) -> Any:
    return json.loads((folder / f"trial-{number:04d}" / "run.json").read_text())


def rows(number: int) -> list[list[str]]:
    with (S / f"trial-{number:04d}" / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def interrupt() -> None:
    raise KeyboardInterrupt


# ---- trials


def test_four_trials_are_runs_like_any_other(text_file: Path) -> None:
    summary = train(text_file)
    assert sorted(one.number for one in summary.trials) == [0, 1, 2, 3]
    assert {one.status for one in summary.trials} == {"done"}
    for one in summary.trials:
        run = Run(S / one.run)
        assert run.status == "done"
        assert run.info.best.loss == one.loss
        assert run.info.best.step == one.step
        assert run.settings.optim.lr == one.values["optim.lr"]
    losses = [one.loss for one in summary.trials]
    assert losses == sorted(losses)  # type: ignore[type-var]
    stored = worker(text_file, {}).study.optuna_study
    assert stored.best_value == losses[0]
    assert all(set(one.intermediate_values) == set(range(1, 11)) for one in stored.trials)
    assert 0 < summary.minutes < 1


def test_a_complete_study_does_nothing_and_may_grow(text_file: Path) -> None:
    train(text_file)
    assert events(worker(text_file, {})) == [Complete()]
    assert len(train(text_file, {"sweep.trials": 5}).trials) == 5


def test_one_worker_can_be_repeated(text_file: Path) -> None:
    settings = {"sweep.trials": 9, "model.hidden": {"range": [4, 9]}, "train.steps": 5}
    found = [train(text_file, settings, Path(name) / "s") for name in ("a", "b")]
    first, second = ([(one.values, one.loss) for one in each.trials] for each in found)
    assert first == second
    assert len({one.values["model.hidden"] for one in found[0].trials}) > 1
    assert len({one.values["optim.lr"] for one in found[0].trials}) == 9
    other = train(text_file, {**settings, "sweep.trials": 1, "sweep.seed": 1}, Path("c/s"))
    assert other.trials[0].values not in [one.values for one in found[0].trials]


def test_another_file_or_text_is_refused(text_file: Path, tmp_path: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    changes = {"optim.lr": {"log": [1e-3, 1]}, "train.batch": 5, "sweep.sampler": "random"}
    with pytest.raises(SettingsError) as caught:
        worker(text_file, changes)
    message = str(caught.value)
    assert 'settings: optim.lr: was {"low": 0.001, "high": 0.1,' in message
    assert "settings: train.batch: was 4, and is 5" in message
    assert 'settings: sweep.sampler: was "tpe", and is "random"' in message
    assert f"(the study {S} cannot change, except for sweep.trials and sweep.minutes" in message
    other = tmp_path / "other.txt"
    other.write_text(text_file.read_text() + "more")
    with pytest.raises(SettingsError, match="the text is another one"):
        worker(other, {})


def test_settings_without_an_effect_may_differ(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    changed = {"train.workers": 2, "train.keep": 0, "sample.length": 5, "train.products": "numpy"}
    assert len(train(text_file, {"sweep.trials": 2, **changed}).trials) == 2


def test_a_grid_is_visited_once(text_file: Path) -> None:
    grid = {
        "optim.lr": {"choice": [0.01, 0.02]},
        "optim.betas": {"choice": [[0.8, 0.9], [0.9, 0.99]]},
    }
    summary = train(text_file, {"sweep.sampler": "grid", "sweep.trials": None, **grid})
    found = {(one.values["optim.lr"], one.values["optim.betas"]) for one in summary.trials}
    assert found == {(lr, betas) for lr in (0.01, 0.02) for betas in ((0.8, 0.9), (0.9, 0.99))}


def test_the_time_of_the_study_ends_it(text_file: Path) -> None:
    summary = train(text_file, {"sweep.trials": None, "sweep.minutes": 0.02})
    assert summary.minutes >= 0.02
    assert 1 <= len(summary.trials) < 50


def test_a_budget_in_minutes_has_checkpoints_at_its_tenths(text_file: Path) -> None:
    minutes = {"train.steps": None, "train.minutes": 0.01, "sweep.trials": 1}
    train(text_file, minutes)
    assert Run(S / "trial-0000").settings.train.save_minutes == 0.001
    train(text_file, {**minutes, "train.save_minutes": 2}, Path("runs/t"))
    assert Run("runs/t/trial-0000").settings.train.save_minutes == 2


def test_the_time_of_several_workers_counts_once() -> None:
    assert _union([(0, 10), (2, 5), (8, 20), (30, 31)]) == 21


def test_data_settings_can_be_chosen(text_file: Path) -> None:
    choice = {"data.min_count": {"choice": [1, 5]}, "sweep.sampler": "grid"}
    summary = train(text_file, {**choice, "optim.lr": 0.01})
    assert [one.status for one in summary.trials] == ["done", "done"]
    assert {Run(S / one.run).settings.data.min_count for one in summary.trials} == {1, 5}


# ---- results that are none


def test_impossible_trials_are_told_with_their_reason(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "physical_memory", lambda: 200_000_000)
    windows = {"train.window": {"choice": [16, 60_000]}, "sweep.sampler": "grid"}
    windows["model.hidden"] = {"choice": [8, 2048]}
    summary = train(text_file, {**windows, "optim.lr": 0.01})
    assert [one.status for one in summary.trials] == ["done", *["impossible"] * 3]
    problems = " ".join(str(one.problem) for one in summary.trials)
    assert "the text is too short for train.batch x train.window = 4 x 60000" in problems
    assert "training would need" in problems
    assert len(list(S.glob("trial-*"))) == 1


@pytest.mark.parametrize("trials", [2, 9])
def test_if_all_are_impossible_the_sweep_ends(text_file: Path, trials: int) -> None:
    settings = {"train.window": {"range": [50_000, 60_000]}, "sweep.trials": trials}
    for _ in range(2):  # the next start says it again, and trains nothing
        with pytest.raises(SettingsError) as caught:
            train(text_file, settings)
        assert f"all of the first {min(trials, 5)} trials are impossible" in str(caught.value)
        assert "the text is too short" in str(caught.value)


def test_a_trial_that_diverges_is_told(text_file: Path) -> None:
    rates = {"optim.lr": {"choice": [0.01, 1e30]}, "sweep.sampler": "grid", "optim.clip": 1e30}
    summary = train(text_file, {**rates, "optim.weight_decay": 0.0})
    assert [one.status for one in summary.trials] == ["done", "diverged"]
    assert "the loss is" in str(summary.trials[1].problem)
    assert len(Run(S / "trial-0001").info.went_back) == 1  # it has not gone on to another rate


def test_pruned_trials_are_stopped_and_saved(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.pruners import ThresholdPruner

    monkeypatch.setattr(studies, "_pruner", lambda _: ThresholdPruner(upper=0.0))
    summary = train(text_file, {"sweep.trials": 2})
    assert [one.status for one in summary.trials] == ["pruned", "pruned"]
    for one in summary.trials:
        run = Run(S / one.run)
        assert run.status == "interrupted"
        assert one.loss == run.info.best.loss
        assert run.info.step == 11  # the evaluation at step 10 is the first; a step follows it
        assert Run(run.path).checkpoints.exist
    assert summary.best is None


@pytest.mark.parametrize("name", ["median", "hyperband", "none"])
def test_pruners(text_file: Path, name: str) -> None:
    trials = 3 if name == "none" else 8
    settings = {"sweep.pruner": name, "sweep.trials": trials, "optim.lr": {"log": [1e-5, 1e-1]}}
    found = [one.status for one in train(text_file, settings).trials]
    assert ("pruned" in found) == (name != "none")
    assert set(found) <= {"done", "pruned"}


def test_losses_are_reported_at_tenths_of_the_budget() -> None:
    class Taken:
        record, told = TrialRecord(0, "running", {}), list[tuple[float, list[int]]]()

        def report(self, loss: float, tenths: Sequence[int]) -> bool:
            self.told.append((loss, list(tenths)))
            return loss > 3

    taken: Any = Taken()
    watch = PruningMonitor(taken, lambda: False)
    for progress, loss in [(0.05, 1.0), (0.11, 1.1), (0.15, 1.2), (0.45, 1.3), (0.5, 4.0)]:
        watch.see(Stepped(1, 1.0, 1.0, progress, 1.0))
        watch.see(Evaluated(1, 1.0, 1.0, loss, False, False))
        assert watch.stop() == (loss > 3)
    assert taken.told == [(1.1, [1]), (1.3, [2, 3, 4]), (4.0, [5])]


# ---- workers that die


def test_two_workers_share_a_study(text_file: Path) -> None:
    path = write_file({"sweep.trials": 4, "train.steps": 400, "train.eval_every": 200})
    end([start(path, text_file), start(path, text_file)])
    settings = {"sweep.trials": 4, "train.steps": 400, "train.eval_every": 200}
    summary = worker(text_file, settings).study.summary()
    assert [one.status for one in summary.trials] == ["done"] * 4
    assert all(len(info(number)["commands"]) == 1 for number in range(4))
    stored = (S / "study.journal").read_text()
    assert len({json.loads(line)["worker_id"] for line in stored.splitlines()}) >= 2


def test_a_killed_worker_is_replaced_and_its_run_goes_on(text_file: Path) -> None:
    path = write_file({"sweep.trials": 2, **LONG})
    first = start(path, text_file)
    wait_for(S / "trial-0000" / "checkpoints" / "last.json", first)
    kill(first)
    saved = json.loads((S / "trial-0000/checkpoints/last.json").read_text())["step"]
    before = [row for row in rows(0)[1:] if int(row[0]) <= saved]
    assert before
    told = events(worker(text_file, {"sweep.trials": 2, **LONG}))
    begun = [event for event in told if isinstance(event, TrialBegun)]
    assert [(one.number, one.step) for one in begun] == [(0, saved), (1, None)]
    # the rows up to the checkpoint are those of the first worker, with its times
    assert rows(0)[1 : len(before) + 1] == before
    steps = [int(row[0]) for row in rows(0)[1:] if row[3] == "val"]
    assert steps == list(range(60, 601, 60))
    assert [one.trial.status for one in told if isinstance(one, TrialEnded)] == ["done", "done"]


def test_a_waiting_worker_continues_the_trial_of_one_that_is_killed(text_file: Path) -> None:
    settings = {"sweep.trials": 1, **LONG}
    first = start(write_file(settings), text_file)
    wait_for(S / "trial-0000" / "checkpoints" / "last.json", first)
    told = []
    for event in worker(text_file, settings).events():
        told.append(event)
        if isinstance(event, Waiting):
            kill(first)
    assert isinstance(told[0], Waiting)
    (begun,) = (event for event in told if isinstance(event, TrialBegun))
    assert begun.number == 0
    assert begun.step is not None
    assert told[-1] == Complete()
    assert len(list(S.glob("trial-*"))) == 1


def test_a_trial_without_a_run_begins_anew_with_its_values(text_file: Path) -> None:
    one = worker(text_file, {})
    taken = claim(one)
    assert taken is not None
    (taken.path / "samples").mkdir(parents=True)  # a run directory that was never complete
    taken._claim.release()  # as the system does when the process is killed
    begun = next(iter(worker(text_file, {}).events()))
    assert begun == TrialBegun(0, taken.record.values, None)
    assert [one.status for one in train(text_file).trials] == ["done"] * 4
    assert len(list(S.glob("trial-*"))) == 4


def test_a_trial_whose_values_are_not_all_chosen_is_completed(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna import Trial

    with monkeypatch.context() as patched:
        patched.setattr(Trial, "suggest_float", lambda *_, **__: interrupt())
        with pytest.raises(KeyboardInterrupt):
            claim(worker(text_file, {"model.hidden": {"choice": [7, 9]}}))
    taken = claim(worker(text_file, {"model.hidden": {"choice": [7, 9]}}))
    assert taken is not None
    assert taken.record.number == 0
    assert set(taken.record.values) == {"model.hidden", "optim.lr"}


def test_a_run_that_was_done_is_only_told(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(ClaimedTrial, "tell", lambda *_, **__: interrupt())
        with pytest.raises(KeyboardInterrupt):
            train(text_file, {"sweep.trials": 1})
    before = (S / "trial-0000" / "metrics.csv").stat().st_mtime_ns
    summary = train(text_file, {"sweep.trials": 1})
    assert summary.trials[0].loss == info(0)["best"]["loss"]
    assert summary.trials[0].status == "done"
    assert (S / "trial-0000" / "metrics.csv").stat().st_mtime_ns == before


def test_no_trial_is_taken_twice(text_file: Path) -> None:
    first, second = worker(text_file, {"sweep.trials": 2}), worker(text_file, {"sweep.trials": 2})
    taken = [claim(first), claim(second)]
    assert [one and one.record.number for one in taken] == [0, 1]
    assert claim(first) is None
    assert [one.status for one in first.study.trials()] == ["running", "running"]
    for one in taken:
        assert one is not None
        one.close()
    assert [one.status for one in first.study.trials()] == ["stopped", "stopped"]
    again = claim(first)
    assert again is not None
    assert again.record.number == 0
    again.close()


def test_a_trial_that_ends_while_it_is_looked_at_is_not_taken(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    one = worker(text_file, {"sweep.trials": 1})
    (record,) = one.study.trials()
    assert _take_over(one.study, one.space, record) is None
    assert one.study.claim(record).is_free()


def test_a_run_that_somebody_continues_by_hand_is_left_alone(text_file: Path) -> None:
    one = worker(text_file, {"sweep.trials": 1})
    events(one, stop=iter([False] * 12 + [True] * 99).__next__)
    assert one.study.trials()[0].status == "stopped"
    run = RunWriter(S / "trial-0000")
    run.lock()
    assert claim(one) is None
    run.release()
    taken = claim(one)
    assert taken is not None
    taken.close()


def test_a_trial_that_kills_its_workers_is_given_up(text_file: Path) -> None:
    for number in range(LOST + 1):
        taken = claim(worker(text_file, {"sweep.trials": 1}))
        assert taken is not None
        assert taken.begin(None) == (number < LOST)
        taken._claim.release()
    summary = train(text_file, {"sweep.trials": 1})
    assert summary.trials[0].status == "failed"
    assert "its workers died again and again" in str(summary.trials[0].problem)


def test_a_run_that_cannot_be_read_is_told(text_file: Path) -> None:
    one = worker(text_file, {"sweep.trials": 1})
    events(one, stop=iter([False] * 12 + [True] * 99).__next__)
    run = S / "trial-0000"
    (run / "run.json").write_text("[")
    for file in run.glob("checkpoints/*"):
        file.write_bytes(b"")
    (trial,) = train(text_file, {"sweep.trials": 1}).trials
    assert trial.status == "failed"
    assert "damaged" in str(trial.problem)


def test_a_trial_that_is_refused_has_no_loss(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("optuna.Study.tell", lambda *_, **__: interrupt())
        with pytest.raises(KeyboardInterrupt):
            train(text_file, {"sweep.trials": 1})
    (S / "trial-0000" / "run.json").write_text("[")
    (trial,) = train(text_file, {"sweep.trials": 1}).trials
    assert (trial.status, trial.loss, trial.step) == ("failed", None, None)


def test_a_stop_leaves_the_trial_which_goes_on_first(text_file: Path) -> None:
    path = write_file({"sweep.trials": 2, **LONG})
    process = start(path, text_file)
    wait_for(S / "trial-0000" / "checkpoints" / "last.json", process)
    out, err = kill(process, signal.SIGINT)
    assert process.returncode == 130
    assert out == "runs/s\n"
    assert "the same command goes on with it:\n  grucli sweep s.yaml" in err
    assert info(0)["status"] == "interrupted"
    saved = info(0)["step"]
    one = worker(text_file, {"sweep.trials": 2, **LONG})
    assert [trial.status for trial in one.study.trials()] == ["stopped"]
    begun = [event for event in one.events() if isinstance(event, TrialBegun)]
    assert [(event.number, event.step) for event in begun] == [(0, saved), (1, None)]


def test_leaving_the_loop_saves_the_run(text_file: Path) -> None:
    one = worker(text_file, {})
    for event in one.events():
        if isinstance(event, Stepped) and event.step == 7:
            break
    del event
    assert info(0)["status"] == "interrupted"
    assert info(0)["step"] == 7
    assert one.study.trials()[0].status == "stopped"


# ---- runs of others


OTHER = {"optim.lr": {"log": [1e-5, 1e-4]}, "sweep.trials": 3}


def test_a_study_without_its_journal_leaves_its_directory_to_nobody_else(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 3})
    (S / "study.journal").unlink()
    before = snapshot(S)
    for settings in (OTHER, {"sweep.trials": 3}):
        with pytest.raises(UsageError, match="runs/s: belongs to a study that is not in runs/s/st"):
            train(text_file, settings)
    assert snapshot(S) == before


def test_a_journal_of_another_study_does_not_take_the_runs(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    other = train(text_file, OTHER, Path("runs/other"))
    (S / "study.journal").write_bytes((other.path / "study.journal").read_bytes())
    with pytest.raises(UsageError, match="belongs to a study that is not in"):
        train(text_file, OTHER)
    with pytest.raises(UsageError, match="there is no such study"):
        read_study(S)


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


def test_the_best_settings_are_those_of_the_trial(text_file: Path) -> None:
    train(text_file, {"sweep.trials": 1})
    config = S / "trial-0000" / "config.yaml"
    config.write_text(config.read_text().replace("hidden: 8", "hidden: 9"))
    shown = read_study(S)
    assert "hidden: 8" in shown.settings
    assert shown.runs == []


def test_a_directory_with_the_name_of_a_trial_is_not_removed(text_file: Path) -> None:
    (S / "trial-0000" / "samples").mkdir(parents=True)
    (S / "trial-0000" / "notes.txt").write_text("mine")
    before = snapshot(S / "trial-0000")
    with pytest.raises(UsageError, match="trial-0000: is not a run of this study; move it away"):
        train(text_file, {"sweep.trials": 1})
    assert snapshot(S / "trial-0000") == before


# ---- the storage


def test_if_the_storage_does_not_answer_the_run_is_saved(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise RunError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(ClaimedTrial, "report", fail)
        with pytest.raises(RunError, match="no answer"):
            train(text_file, {"sweep.trials": 1})
    assert info(0)["status"] == "interrupted"
    assert info(0)["step"] == 11  # the step in which it stops
    assert [one.status for one in train(text_file, {"sweep.trials": 1}).trials] == ["done"]


def test_a_file_system_without_locks_is_refused(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(files, "_try_lock", lambda *_, **__: True)
        with pytest.raises(UsageError, match="its file system has no locks"):
            worker(text_file, {})
    with refused_locks(monkeypatch, errno.ENOSYS), pytest.raises(UsageError, match="cannot be lo"):
        worker(text_file, {})


def test_locks_that_fail_later_end_a_worker_and_not_the_trial_of_another(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = worker(text_file, {"sweep.trials": 1}), worker(text_file, {"sweep.trials": 1})
    taken = claim(first)
    assert taken is not None
    with refused_locks(monkeypatch, errno.ENOLCK):
        for one in (lambda: events(second), lambda: worker(text_file, {}), lambda: taken.begin(1)):
            with pytest.raises(RunError, match="cannot be locked: No locks available; without"):
                one()
        assert [one.status for one in second.study.trials()] == ["running"]
        monkeypatch.setattr(
            Study, "lock", lambda _: nullcontext()
        )  # only the claim cannot be locked
        assert claim(second) is None
    taken.close()
    events(second)
    assert [one.status for one in second.study.trials()] == ["done"]


def test_a_run_that_cannot_be_locked_is_not_the_end_of_its_trial(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = worker(text_file, {"sweep.trials": 1})
    events(one, stop=iter([False] * 12 + [True] * 99).__next__)
    with monkeypatch.context() as patched:

        def lock(*_: object) -> None:
            raise files.LockError(errno.EIO, "no", "lock")

        patched.setattr(RunWriter, "lock", lock)
        with pytest.raises(RunError, match="cannot be locked"):
            events(one)
    assert [trial.status for trial in train(text_file, {"sweep.trials": 1}).trials] == ["done"]


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "[]",
        "1",
        "null",
        '{"op_code":99,"worker_id":"a"}',
        '{"op_code":-1,"worker_id":"a"}',
        '{"op_code":4,"worker_id":"a"}',
        "[" * 100_000,
        '{"op_code":8,"worker_id":"a","trial_id":0,"user_attr":{"grucli":{"sessions":["a"]}}}',
        '{"op_code":8,"worker_id":"a","trial_id":0,"user_attr":{"grucli":{"loss":NaN}}}',
        '{"op_code":8,"worker_id":"a","trial_id":0,"user_attr":{"grucli":{"other":1}}}',
        '{"op_code":2,"worker_id":"a","study_id":0,"user_attr":{"grucli":[]}}',
        '{"op_code":2,"worker_id":"a","study_id":0,"user_attr":{"grucli":{"parameters":{"a":1}}}}',
    ],
)
def test_a_damaged_journal_is_one_message(text_file: Path, line: str) -> None:
    one = worker(text_file, {"sweep.trials": 1})
    events(one, stop=iter([False] * 12 + [True] * 99).__next__)
    with (S / "study.journal").open("a") as file:
        file.write(f"{line}\n")
        file.write('{"op_code":3,"worker_id":"a","study_id":0,"system_attr":{"a":1}}\n')
    for command in (lambda: read_study(S), lambda: train(text_file, {"sweep.trials": 1})):
        with pytest.raises(RunError) as caught:
            command()
        message = "runs/s/study.journal: damaged, or not a study of Optuna and grucli"
        assert str(caught.value) == message
