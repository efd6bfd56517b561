import errno
from contextlib import nullcontext
from pathlib import Path

import pytest

from grucli.errors import RunError, SettingsError
from grucli.sweeps.api import read_study
from grucli.sweeps.study import Study
from grucli.sweeps.worker import LOST
from tests.conftest import refused_locks
from tests.sweeps.helpers import S, claim, events, interrupt, train, worker


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
    assert one.take_over(record) is None
    assert one.study.claim(record).is_free()


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


def test_a_trial_that_kills_its_workers_is_given_up(text_file: Path) -> None:
    for number in range(LOST + 1):
        taken = claim(worker(text_file, {"sweep.trials": 1}))
        assert taken is not None
        assert taken.begin(None) == (number < LOST)
        taken._claim.release()
    summary = train(text_file, {"sweep.trials": 1})
    assert summary.trials[0].status == "failed"
    assert "its workers died again and again" in str(summary.trials[0].problem)


def test_a_trial_whose_worker_dies_while_it_tells_a_problem_goes_on(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = claim(worker(text_file, {"sweep.trials": 1}))
    assert trial is not None
    with monkeypatch.context() as patched:
        patched.setattr("optuna.Study.tell", lambda *_, **__: interrupt())
        with pytest.raises(KeyboardInterrupt):
            trial.refuse("impossible", "there is not enough memory")
    trial._claim.release()
    assert [one.status for one in read_study(S).trials] == ["stopped"]
    (record,) = train(text_file, {"sweep.trials": 1}).trials
    assert (record.status, record.problem) == ("done", None)


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


@pytest.mark.parametrize("trials", [2, 9])
def test_if_all_are_impossible_the_sweep_ends(text_file: Path, trials: int) -> None:
    settings = {"train.window": {"range": [50_000, 60_000]}, "sweep.trials": trials}
    for _ in range(2):  # the next start says it again, and trains nothing
        with pytest.raises(SettingsError) as caught:
            train(text_file, settings)
        assert f"all of the first {min(trials, 5)} trials are impossible" in str(caught.value)
        assert "the text is too short" in str(caught.value)


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
