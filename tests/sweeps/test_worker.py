import csv
import errno
import json
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from grucli import files
from grucli.errors import RunError, SettingsError, WorkerError
from grucli.nn.backend import Backend
from grucli.nn.onednn import Unavailable
from grucli.run.run import Run
from grucli.run.writer import RunWriter
from grucli.sweeps import study as studies
from grucli.sweeps.summary import Complete, TrialBegun, TrialEnded, Waiting
from grucli.sweeps.worker import ClaimedTrial, Worker
from grucli.training import plan
from grucli.training.events import Stepped
from grucli.training.trainer import Trainer
from tests.sweeps.helpers import (
    LONG,
    S,
    claim,
    end,
    events,
    interrupt,
    kill,
    start,
    train,
    wait_for,
    worker,
    write_file,
)


def info(number: int, folder: Path = S) -> Any:
    return json.loads((folder / f"trial-{number:04d}" / "run.json").read_text())


def rows(number: int) -> list[list[str]]:
    with (S / f"trial-{number:04d}" / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


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


def test_a_budget_in_minutes_has_checkpoints_at_its_tenths(text_file: Path) -> None:
    minutes = {"train.steps": None, "train.minutes": 0.01, "sweep.trials": 1}
    train(text_file, minutes)
    assert Run(S / "trial-0000").settings.train.save_minutes == 0.001
    train(text_file, {**minutes, "train.save_minutes": 2}, Path("runs/t"))
    assert Run("runs/t/trial-0000").settings.train.save_minutes == 2


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


def test_a_trial_that_diverges_is_told(text_file: Path) -> None:
    rates = {"optim.lr": {"choice": [0.01, 1e30]}, "sweep.sampler": "grid", "optim.clip": 1e30}
    summary = train(text_file, {**rates, "optim.weight_decay": 0.0})
    assert [one.status for one in summary.trials] == ["done", "diverged"]
    assert "step 20: weights or states are not finite" in str(summary.trials[1].problem)
    assert len(Run(S / "trial-0001").info.went_back) == 1  # it has not gone on to another rate


def test_a_trial_that_diverged_before_a_crash_does_not_go_on(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"optim.lr": {"choice": [1e30]}, "optim.clip": 1e30, "optim.weight_decay": 0.0}
    settings = {**rates, "sweep.sampler": "grid", "sweep.trials": 1}
    with monkeypatch.context() as patched:
        patched.setattr(ClaimedTrial, "refuse", lambda *_: interrupt())
        with pytest.raises(KeyboardInterrupt):
            train(text_file, settings)
    monkeypatch.setattr(Worker, "_session", lambda *_: pytest.fail("it goes on"))
    (trial,) = train(text_file, settings).trials
    assert (trial.status, trial.loss) == ("diverged", None)
    assert "are not finite" in str(trial.problem)


def test_a_trial_of_another_machine_goes_on_with_what_this_one_has(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(library: str, precision: str) -> Backend:
        if library == "onednn":
            raise Unavailable("oneDNN is not installed")
        return real(library, precision)

    first = worker(text_file, {"sweep.trials": 1, "train.workers": 2})
    events(first, stop=iter([False] * 12 + [True] * 99).__next__)
    config = S / "trial-0000" / "config.yaml"
    config.write_text(config.read_text().replace("products: auto", "products: onednn"))
    real = plan.select
    monkeypatch.setattr(plan, "select", cannot)
    (trial,) = train(text_file, {"sweep.trials": 1}).trials
    assert (trial.status, trial.problem) == ("done", None)
    assert Run(S / "trial-0000").settings.train.workers == 1
    with pytest.raises(SettingsError, match="oneDNN is not installed"):
        worker(text_file, {"sweep.trials": 2, "train.products": "onednn"})


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
        assert Run(run.path).checkpoints.files()
    assert summary.best is None


@pytest.mark.parametrize("name", ["median", "hyperband", "none"])
def test_pruners(text_file: Path, name: str) -> None:
    trials = 3 if name == "none" else 8
    settings = {"sweep.pruner": name, "sweep.trials": trials, "optim.lr": {"log": [1e-5, 1e-1]}}
    found = [one.status for one in train(text_file, settings).trials]
    assert ("pruned" in found) == (name != "none")
    assert set(found) <= {"done", "pruned"}


def test_losses_are_reported_at_tenths_of_the_budget(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.pruners import ThresholdPruner

    monkeypatch.setattr(studies, "_pruner", lambda _: ThresholdPruner(upper=3.0))
    one = worker(text_file, {"sweep.trials": 1})
    with closing(claim(one)) as trial:  # type: ignore[type-var]
        assert trial is not None
        for progress, loss in [(0.05, 1.0), (0.11, 1.1), (0.15, 1.2), (0.45, 1.3), (0.5, 4.0)]:
            assert trial.report(loss, progress) == (loss > 3)
    (stored,) = one.study.optuna_study.trials
    assert stored.intermediate_values == {1: 1.1, 2: 1.3, 3: 1.3, 4: 1.3, 5: 4.0}


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
    wait_for(S / "trial-0000" / "checkpoints" / "best.json", first)
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
    wait_for(S / "trial-0000" / "checkpoints" / "best.json", first)
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
    (taken.path / "checkpoints").mkdir(parents=True)  # a run directory that was never complete
    (taken.path / "checkpoints" / "step-00000000.npz").write_bytes(b"")
    taken._claim.release()  # as the system does when the process is killed
    begun = next(iter(worker(text_file, {}).events()))
    assert begun == TrialBegun(0, taken.record.values, None)
    assert [one.status for one in train(text_file).trials] == ["done"] * 4
    assert len(list(S.glob("trial-*"))) == 4


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
    wait_for(S / "trial-0000" / "checkpoints" / "best.json", process)
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


@pytest.mark.parametrize("problem", [MemoryError(), WorkerError("a worker process has ended")])
def test_a_trial_that_takes_too_much_memory_does_not_end_the_sweep(
    text_file: Path, problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, failed = Trainer.step, list[int]()

    def fail_once(trainer: Trainer) -> Any:
        if not failed:
            failed.append(1)
            raise problem
        return step(trainer)

    monkeypatch.setattr(Trainer, "step", fail_once)
    trials = {one.number: one for one in train(text_file, {"sweep.trials": 2}).trials}
    assert [trials[0].status, trials[1].status] == ["impossible", "done"]
    assert trials[0].problem in ("there is not enough memory", "a worker process has ended")
