from collections.abc import Callable

import pytest

from grucli.config import Settings, Values, resolve
from grucli.defaults import (
    LENGTHS,
    RATES,
    WIDTHS,
    Model,
    Text,
    Train,
    fitted,
    learning_rate,
    suited,
    warmup,
)

SPEED = 144_000.0  # characters of 256 units a second, on two cores


def measured() -> float:
    return SPEED


def not_measured() -> float:
    raise AssertionError("the budget is known without a measurement")


def chosen(
    chars: int, speed: Callable[[], float] = measured, symbols: int = 65, **given: object
) -> Values:
    values = {key.replace("__", "."): value for key, value in given.items()}

    def settings(others: Values) -> Settings:
        return resolve([("suited", others), ("given", values)])

    return suited(settings, Text(chars, symbols), values, speed)


def test_a_million_characters_take_the_default_network() -> None:
    values = chosen(1_000_000, not_measured)
    assert values["model.hidden"] == Settings().model.hidden
    assert "optim.lr" not in values


@pytest.mark.parametrize("chars", [1, 50_000, 4_400_000, 10**9])
@pytest.mark.parametrize("budget", [{}, {"train__steps": 500}, {"train__minutes": 15.0}])
def test_values_are_settings_and_give_way_to_those_given(
    chars: int, budget: dict[str, object]
) -> None:
    values = chosen(chars, **budget)
    assert resolve([("", values)]) != Settings()
    for key, value in values.items():
        again = chosen(chars, **budget, **{key.replace(".", "__"): value})
        if key == "model.hidden" and "model.layers" in values:
            assert "model.layers" not in again  # units of the user are those of one layer
            again = chosen(chars, **budget, model__hidden=value, model__layers=2)
        fixed = {key, "model.layers"} if key == "model.hidden" else {key}
        assert again == {other: one for other, one in values.items() if other not in fixed}


def test_a_budget_replaces_any_other() -> None:
    for budget in ("steps", "epochs", "minutes"):
        assert "train.epochs" not in chosen(10**7, **{f"train__{budget}": 5})


def test_minutes_read_a_short_text_a_hundred_times_at_most() -> None:
    short = chosen(50_000, train__minutes=240.0)
    assert short["train.most_epochs"] == chosen(50_000)["train.epochs"] == 100
    assert short == chosen(50_000, train__minutes=5.0)  # also the rate, and both dropouts
    assert "train.most_epochs" not in chosen(50_000, train__epochs=5.0)
    assert "train.most_epochs" not in chosen(50_000, train__epochs=5.0, train__minutes=None)
    assert "train.most_epochs" not in chosen(150_000, train__minutes=240.0)
    longer = chosen(50_000, train__minutes=240.0, train__most_epochs=None)
    assert longer["optim.lr"] == Settings().optim.lr / 2
    assert "optim.lr" not in short
    small, much = {"model__hidden": 64, "train__minutes": 240.0}, {"train__most_epochs": None}
    assert (
        chosen(50_000, **small)["model.dropout"] < chosen(50_000, **small, **much)["model.dropout"]
    )


def test_only_a_time_needs_a_measurement_and_only_for_what_is_not_given() -> None:
    for budget in ({}, {"train__steps": 9}, {"train__epochs": 2.0}):
        chosen(10**6, not_measured, **budget)
    given = {"model__hidden": 9, "model__dropout": 0.5, "model__weight_dropout": 0.0}
    chosen(10**6, not_measured, train__minutes=1.0, **given)


def test_more_time_and_a_faster_machine_give_more_units() -> None:
    units = [chosen(10**6, train__minutes=m)["model.hidden"] for m in (0.01, 1.0, 3.0, 15.0, 60.0)]
    assert units == sorted(set(units))
    hour_in_a_minute = chosen(10**6, lambda: 60 * SPEED, train__minutes=1.0)
    assert hour_in_a_minute["model.hidden"] == units[-1]


def test_a_long_text_that_is_read_often_gets_two_layers() -> None:
    def network(chars: int, minutes: float, **given: object) -> tuple[int, int]:
        values = chosen(chars, train__minutes=minutes, **given)
        return values.get("model.layers", 1), values.get("model.hidden", 0)

    long = 4_400_000
    assert [network(long, minutes) for minutes in (3, 15, 60)] == [(1, 384), (2, 336), (2, 512)]
    assert [network(10**7, minutes) for minutes in (15, 60)] == [(1, 512), (2, 512)]
    assert [network(8 * 10**6, minutes) for minutes in (20, 30)] == [(2, 336), (2, 512)]
    assert network(10**6, 15) == network(10**6, 30) == (1, 512)
    assert network(long, 15, model__layers=1) == (1, 512)
    assert network(long, 15, model__layers=2) == (1, 336)  # two, as given
    assert network(long, 15, train__most_epochs=5.0) == (1, 512)
    units = [network(10**6, 15, model__layers=layers)[1] for layers in (1, 2, 3, 64)]
    assert units == [512, 336, 256, 16]  # as many as take about the time of one layer
    deep = chosen(long, train__minutes=15.0)
    assert deep["optim.lr"] == learning_rate(Model(hidden=336, layers=2))
    steps = chosen(long, train__steps=5000)
    assert steps == deep


def test_a_slightly_slower_minute_chooses_the_same() -> None:
    for minutes in (1.0, 15.0, 60.0):
        values = [chosen(10**6, lambda f=f: f * SPEED, train__minutes=minutes) for f in (0.9, 1.1)]
        assert values[0] == values[1]


def test_steps_and_the_time_that_they_take_give_about_the_same_network() -> None:
    minutes = chosen(10**7, train__minutes=15.0)
    steps = chosen(10**7, train__steps=round(15 * 60 * SPEED / 3.3 / 8192))
    assert steps == minutes


def test_more_symbols_take_more_time_and_so_fewer_units_of_a_known_budget() -> None:
    few, many = (chosen(10**6, symbols=symbols, train__steps=1300) for symbols in (65, 6000))
    assert (few["model.hidden"], many["model.hidden"]) == (384, 256)


def test_shorter_texts_and_longer_budgets_get_more_dropout() -> None:
    def rates(chars: int, minutes: float) -> tuple[float, float]:
        values = chosen(chars, train__minutes=minutes)
        return values["model.dropout"], values["model.weight_dropout"]

    for chars in (50_000, 10**6):
        of_budgets = [rates(chars, minutes) for minutes in (0.2, 1, 5, 60)]
        assert of_budgets == sorted(of_budgets)
    of_lengths = [rates(chars, 5.0) for chars in (10**8, 10**6, 50_000)]
    assert of_lengths == sorted(set(of_lengths))
    assert of_lengths[0] == (0.0, 0.0)


def test_the_tables_rise() -> None:
    for table in (WIDTHS, RATES, [row[0] for row in LENGTHS]):
        assert list(table) == sorted(table)


def test_wider_and_deeper_networks_get_lower_learning_rates() -> None:
    assert learning_rate(Model()) == Settings().optim.lr
    sizes = ((16, 1), (64, 1), (64, 2), (128, 1), (256, 1), (256, 2), (512, 1), (512, 2))
    rates = [learning_rate(Model(hidden=H, layers=L)) for H, L in sizes]
    assert rates == [0.32, 0.32, 0.16, 0.16, 0.08, 0.04, 0.04, 0.02]


def test_larger_batches_get_higher_rates_and_a_shorter_warmup() -> None:
    rates = [learning_rate(Model(), Train(batch=batch)) for batch in (1, 8, 32, 64, 256, 1024)]
    assert rates == [0.014, 0.04, 0.08, 0.08, 0.16, 0.16]
    assert [warmup(batch) for batch in (1, 64, 256, 1024)] == [50, 50, 12, 5]


def test_long_budgets_get_lower_rates() -> None:
    minutes = [learning_rate(Model(), Train(minutes=m, epochs=None)) for m in (60, 120, 480, 960)]
    assert minutes == [0.08, 0.057, 0.028, 0.02]
    steps = [learning_rate(Model(), Train(steps=s, epochs=None)) for s in (1, 30_000, 10**7)]
    assert steps == [0.08, 0.08, 0.02]
    chars, batch, window = 1_000_000, Train().batch, Train().window
    own = chars * (1 - Settings().data.val)
    for epochs in (1.0, 100.0, 400.0, 5000.0):
        in_epochs = chosen(chars, not_measured, train__epochs=epochs, model__hidden=256)
        budget = round(epochs * own / (batch * window))
        in_steps = chosen(chars, not_measured, train__steps=budget, model__hidden=256)
        assert in_epochs.get("optim.lr") == in_steps.get("optim.lr")
    assert in_epochs["optim.lr"] == 0.02


def test_a_short_text_has_the_rate_of_the_streams_that_fit() -> None:
    assert [fitted(N, 64, 128) for N in (0, 1, 2)] == [(1, 1), (1, 1), (1, 2)]
    assert [fitted(N, 64, 128) for N in (5_000, 45_000, 10**6)] == [(8, 32), (32, 128), (64, 128)]
    for chars, lr in ((5_000, 0.04), (50_000, 0.08), (10**6, 0.08)):
        values = chosen(chars, not_measured, model__hidden=256)
        assert values.get("optim.lr", Settings().optim.lr) == lr
    assert chosen(5_000, not_measured, model__hidden=64)["optim.lr"] == 0.16
