import pytest

from grucli.config import Settings, resolve
from grucli.defaults import SIZES, suited


def test_a_middling_text_takes_the_defaults() -> None:
    assert suited(1_000_000, []) == {}


@pytest.mark.parametrize("chars", [1, 50_000, 10_000_000, 10**9])
def test_values_are_settings_and_give_way_to_those_given(chars: int) -> None:
    values = suited(chars, [])
    assert values
    assert resolve([("", values)]) != Settings()
    for key in values:
        assert key not in suited(chars, [key])


def test_a_learning_rate_goes_with_its_units_and_a_budget_replaces_any_other() -> None:
    assert "optim.lr" in suited(10**7, [])
    assert "optim.lr" not in suited(10**7, ["model.hidden"])
    for budget in ("steps", "epochs", "minutes"):
        assert "train.epochs" not in suited(10**7, [f"train.{budget}"])


def test_longer_texts_get_more_units_and_less_dropout() -> None:
    settings = [resolve([("", values)]) for _, values in SIZES]
    units = [s.model.hidden for s in settings]
    dropout = [s.model.dropout for s in settings]
    assert units == sorted(units)
    assert dropout == sorted(dropout, reverse=True)
