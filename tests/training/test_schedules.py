import pytest

from grucli.config import Optim, Train, resolve
from grucli.training.schedules import (
    Budget,
    early_evaluation,
    evaluation_interval,
    is_early_evaluation,
    learning_rate,
)


def train(**values: object) -> Train:
    return resolve([("test", {f"train.{key}": value for key, value in values.items()})]).train


def test_budgets() -> None:
    budgets = [{"steps": 70}, {"epochs": 2.5}, {"epochs": 0.001}, {"minutes": 2}]
    found = [Budget.of(train(**one), 50) for one in budgets]
    assert [(one.steps, one.seconds) for one in found] == [
        (70, None), (125, None), (1, None), (None, 120.0),
    ]  # fmt: skip


def test_a_budget_describes_measures_and_doubles_itself() -> None:
    steps, epochs, minutes = (
        Budget("steps", 70, 50),
        Budget("epochs", 1, 50),
        Budget("minutes", 0.3, 50),
    )
    assert [*map(str, (steps, epochs, minutes))] == ["70 steps", "1 epoch", "0.3 minutes"]
    assert [one.used(75, 30.0) for one in (steps, epochs, minutes)] == [75, 1.5, 0.5]
    assert steps.doubled(70, 0.0) == "--steps 140"
    assert Budget("steps", 10**7, 50).doubled(10**7, 0.0) == "--steps 20000000"
    assert [epochs.doubled(step, 0.0) for step in (1, 50, 51)] == [
        "--epochs 2", "--epochs 2", "--epochs 4",
    ]  # fmt: skip
    assert minutes.doubled(9, 18.4) == "--minutes 0.6"
    assert minutes.doubled(9, 0.0) == "--minutes 0.6"
    assert minutes.doubled(9, 45.0) == "--minutes 1.2"
    assert Budget("minutes", 1.40031, 50).doubled(9, 84.1) == "--minutes 2.8"
    assert Budget("minutes", 720.0, 50).doubled(9, 43_200.0) == "--minutes 1440"


def test_a_budget_in_minutes_may_end_after_some_epochs() -> None:
    budget = Budget.of(train(minutes=2, most_epochs=10), 50)
    assert str(budget) == "2 minutes, at most 10 epochs"
    assert (budget.seconds, budget.steps) == (120.0, 500)
    assert budget.progress(125, 6.0) == 0.25
    assert budget.progress(125, 60.0) == 0.5
    assert budget.progress(0, 0.0, reserve=200.0) == 1.0
    assert budget.ended_by(499) is budget
    epochs = budget.ended_by(500)
    assert (str(epochs), epochs.doubled(500, 9.0)) == ("10 epochs", "--epochs 20")
    alone = Budget.of(train(epochs=20, most_epochs=10), 50)  # of another budget, it says nothing
    assert alone.steps == 1000
    assert alone.ended_by(1000) is alone
    assert Budget.of(train(steps=70, most_epochs=1), 50).steps == 70


def test_progress_counts_steps_or_the_clock() -> None:
    assert Budget("steps", 100, 9).progress(25, 1e9) == 0.25
    assert Budget("minutes", 2, 9).progress(10**9, 30.0) == 0.25
    assert Budget("minutes", 2, 9).progress(0, 50.0, reserve=20.0) == 0.5
    assert Budget("minutes", 1 / 6, 9).progress(0, 0.0, reserve=20.0) == 1.0


def test_the_learning_rate_warms_up_and_falls_to_near_zero() -> None:
    optim = Optim(lr=0.01, warmup=10, final_lr=0.01)
    assert learning_rate(optim, 0, 0.0) == pytest.approx(0.001)
    assert learning_rate(optim, 9, 0.0) == pytest.approx(0.01)
    assert learning_rate(optim, 505, 505 / 1000) == pytest.approx(0.01 * 0.505)
    assert learning_rate(optim, 1000, 1.0) == pytest.approx(0.0001)


@pytest.mark.parametrize("steps", [12, 150, 10**6])
def test_the_cosine_begins_after_the_warmup(steps: int) -> None:
    optim = Optim(lr=0.01, warmup=10)
    rates = [learning_rate(optim, step, step / steps) for step in range(min(steps, 200))]
    assert max(rates) == rates[9] == rates[10] == 0.01
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert learning_rate(optim, 3, 1.0) == pytest.approx(0.004 * 0.01)  # the time is over


def test_a_constant_rate_stays() -> None:
    optim = Optim(lr=0.01, warmup=0, schedule="constant")
    assert {learning_rate(optim, step, step / 9) for step in range(10)} == {0.01}


@pytest.mark.parametrize(
    ("budget", "val_chars", "expected"),
    [
        (Budget("steps", 1200, 100), 100, 100),  # an epoch
        (Budget("steps", 50, 100), 100, 5),  # a tenth
        (Budget("minutes", 1, 100), 100, 100),
        (Budget("minutes", 1, 100, most_epochs=400), 100, 800),
        (Budget("steps", 50, 100), 5000, 20),  # no more often than the validation text is worth
        (Budget("steps", 5, 100), 0, 1),
        (Budget("steps", 40_000, 100), 100, 800),  # not more often than fifty times
    ],
)
def test_when_to_evaluate(budget: Budget, val_chars: int, expected: int) -> None:
    interval = evaluation_interval(train(), budget, 1000, val_chars)
    assert interval == expected


def test_early_evaluations_come_after_powers_of_two_of_the_first() -> None:
    assert [step for step in range(1, 3000) if is_early_evaluation(step, 70, 1200)] == [
        70, 140, 280, 560,
    ]  # fmt: skip
    assert not any(is_early_evaluation(step, 70, 110) for step in range(1, 300))
    assert early_evaluation(264_001, 64 * 128, 100_000) == 232  # about 15 seconds
    assert early_evaluation(10**9, 64 * 128, 0) == 1
    assert early_evaluation(10**9, 64 * 128, 10**6) == 123  # no more often than that costs


def test_the_interval_asked_for_wins() -> None:
    asked = train(eval_every=7)
    assert evaluation_interval(asked, Budget("steps", 50, 100), 1, 9**9) == 7
