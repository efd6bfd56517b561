import pytest

from grucli.config import Model, Settings, Train, resolve
from grucli.defaults import SIZES, learning_rate, suited, warmup


def test_a_middling_text_takes_the_defaults_and_weight_dropout() -> None:
    assert suited(1_000_000, []) == {"model.weight_dropout": 0.1}


@pytest.mark.parametrize("chars", [1, 50_000, 10_000_000, 10**9])
def test_values_are_settings_and_give_way_to_those_given(chars: int) -> None:
    values = suited(chars, [])
    assert values
    assert resolve([("", values)]) != Settings()
    for key in values:
        assert key not in suited(chars, [key])


def test_a_budget_replaces_any_other() -> None:
    for budget in ("steps", "epochs", "minutes"):
        assert "train.epochs" not in suited(10**7, [f"train.{budget}"])


def test_wider_and_deeper_networks_get_lower_learning_rates() -> None:
    default = Settings().optim.lr
    assert learning_rate(Model()) == learning_rate(Model(hidden=16)) == default
    rates = [learning_rate(Model(hidden=H, layers=L)) for H, L in ((256, 1), (512, 1), (512, 2))]
    assert rates == [0.04, 0.02, 0.01]
    assert learning_rate(Model(hidden=256, layers=2)) == 0.02


def test_larger_batches_get_higher_rates_and_a_shorter_warmup() -> None:
    assert [learning_rate(Model(), Train(batch=batch)) for batch in (1, 64, 256, 1024)] == [
        0.04,
        0.04,
        0.08,
        0.08,
    ]
    assert [warmup(batch) for batch in (1, 64, 256, 1024)] == [50, 50, 12, 5]


def test_long_budgets_get_lower_rates() -> None:
    minutes = [learning_rate(Model(), Train(minutes=m, epochs=None)) for m in (1, 60, 240, 480)]
    assert minutes == [0.04, 0.04, 0.02, 0.014]
    steps = [learning_rate(Model(), Train(steps=s, epochs=None)) for s in (1, 30_000, 10**7)]
    assert steps == [0.04, 0.04, 0.01]


def test_longer_texts_get_more_units_and_less_dropout() -> None:
    settings = [resolve([("", values)]) for _, values in SIZES]
    units = [s.model.hidden for s in settings]
    dropout = [s.model.dropout for s in settings]
    assert units == sorted(units)
    assert dropout == sorted(dropout, reverse=True)


def test_a_learning_rate_goes_with_the_units_beside_it() -> None:
    assert suited(10**8, [])["optim.lr"] < learning_rate(Model(hidden=512))
    assert "optim.lr" not in suited(10**8, ["model.hidden"])
