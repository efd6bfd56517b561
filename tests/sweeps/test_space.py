import json
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from grucli.errors import SettingsError
from grucli.sweeps.space import FORMS, Space, from_json, from_optuna, read_space, to_json

END: dict[str, Any] = {"sweep.trials": 3}
HIDDEN: dict[str, Any] = {"model.hidden": {"choice": [8, 16]}}


def read(**values: Any) -> Space:
    return read_space(None, {**END, **{key.replace("__", "."): one for key, one in values.items()}})


def one(key: str, given: Any) -> Any:
    return read_space(None, {**END, key: given}).distributions[key]


def problem(values: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        read_space(None, values)
    return str(caught.value)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "sweep: {trials: 24, minutes: 60, sampler: random, pruner: hyperband, seed: 3}\n"
        "model:\n  hidden: {choice: [128, 256]}\n  layers: {range: [1, 3]}\n"
        "  dropout: {range: [0.0, 0.6], step: 0.2}\n"
        "optim: {lr: {log: [1e-3, 3e-2]}, betas: {choice: [[0.9, 0.99], [0.9, 0.999]]}}\n"
        "train: {minutes: 0.5, window: {log: [32, 256]}}\n",
        encoding="utf-8",
    )
    space = read_space(path, {})
    assert space.distributions == {
        "model.hidden": CategoricalDistribution([128, 256]),
        "model.layers": IntDistribution(1, 3),
        "model.dropout": FloatDistribution(0.0, 0.6, step=0.2),
        "optim.lr": FloatDistribution(1e-3, 3e-2, log=True),
        "optim.betas": CategoricalDistribution(["[0.9, 0.99]", "[0.9, 0.999]"]),
        "train.window": IntDistribution(32, 256, log=True),
    }
    assert space.fixed == {"train.minutes": 0.5}
    assert space.options.model_dump() == {
        "trials": 24, "minutes": 60, "sampler": "random", "pruner": "hyperband", "seed": 3,
    }  # fmt: skip


def test_integers_stay_integers() -> None:
    for given in ({"range": [1, 3]}, {"log": [1, 3]}, {"range": [1, 9], "step": 4}):
        assert isinstance(one("model.layers", given), IntDistribution)
    assert isinstance(one("model.dropout", {"range": [0, 0.5]}), FloatDistribution)
    assert isinstance(one("train.minutes", {"log": [1, 2]}), FloatDistribution)


def test_lists_are_stored_as_texts_and_read_back() -> None:
    betas = one("optim.betas", {"choice": [[0.9, 0.99], [0.8, 0.9]]})
    assert betas.choices == ("[0.9, 0.99]", "[0.8, 0.9]")
    assert from_optuna("optim.betas", "[0.8, 0.9]") == (0.8, 0.9)
    assert from_optuna("sample.prompt", "[0.8, 0.9]") == "[0.8, 0.9]"


def test_an_upper_end_that_no_step_reaches_is_lowered() -> None:
    assert one("model.layers", {"range": [1, 6], "step": 2}).high == 5
    assert one("model.dropout", {"range": [0.0, 0.5], "step": 0.2}).high == 0.4


def test_an_upper_end_that_a_step_reaches_is_kept() -> None:
    assert one("model.dropout", {"range": [0.0, 0.9], "step": 0.3}).high == 0.9
    assert one("model.dropout", {"range": [0.1, 0.7], "step": 0.2}).high == 0.7


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("model.hidden", {"choice": [8, 16]}),
        ("optim.betas", {"choice": [[0.9, 0.99], [0.8, 0.9]]}),
        ("train.eval_every", {"choice": [None, 8]}),
        ("model.layers", {"range": [1, 3]}),
        ("model.layers", {"range": [1, 6], "step": 2}),
        ("model.dropout", {"range": [0.0, 0.9], "step": 0.3}),
        ("optim.lr", {"log": [1e-3, 3e-2]}),
    ],
)
def test_a_distribution_is_stored_and_read_back(key: str, given: Any) -> None:
    made = one(key, given)
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


@pytest.mark.parametrize(
    ("key", "given", "stored"),
    [
        (
            "model.dropout",
            {"range": [0.0, 0.9], "step": 0.3},
            {"low": 0.0, "high": 0.8999999999999999, "step": 0.3, "log": False, "whole": False},
        ),
        (
            "model.layers",
            {"range": [1, 3]},
            {"low": 1, "high": 3, "step": None, "log": False, "whole": True},
        ),
        (
            "optim.betas",
            {"choice": [[0.9, 0.99], [0.8, 0.9]]},
            {"choice": [[0.9, 0.99], [0.8, 0.9]]},
        ),
    ],
)
def test_what_an_older_study_has_stored_is_the_same_range(
    key: str, given: Any, stored: Any
) -> None:
    assert from_json(stored) == one(key, given)


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("model.hidden", {}, f"write {FORMS}, not {{}}"),
        ("model.hidden", {"choise": [1]}, f"write {FORMS}, not {{choise: [1]}}"),
        ("model.hidden", {"choice": [1], "log": [1, 2]}, f"write {FORMS}"),
        ("model.hidden", {"choice": 8}, "choice must be a list of values, not 8"),
        ("model.hidden", {"choice": []}, "choice must be a list of values, not []"),
        ("model.hidden", {"choice": [8, 8]}, "choice has 8 twice"),
        ("model.hidden", {"choice": [8], "step": 1}, "step belongs to range, not to choice"),
        ("model.hidden", {"choice": [{"range": [1, 2]}]}, "a choice cannot contain ranges"),
        ("model.hidden", {"range": [1]}, "range must be two numbers, as in [1, 4], not [1]"),
        ("model.hidden", {"range": [1, "x"]}, "range must be two numbers"),
        ("model.hidden", {"range": [1, True]}, "range must be two numbers"),
        ("model.hidden", {"range": [3, 1]}, "the first number of range must be the lower one"),
        ("model.hidden", {"range": [1, 2.5]}, "is an integer, so the numbers of range and step"),
        ("model.hidden", {"range": [1, 5], "step": 1.5}, "is an integer, so the numbers of range"),
        ("model.hidden", {"range": [1, 5], "step": 0}, "step must be a number above 0 that fits"),
        ("model.hidden", {"range": [1, 5], "step": 9}, "step must be a number above 0 that fits"),
        ("model.dropout", {"range": [0.0, 0.5], "step": 1e-300}, "more than 1,000,000,000 parts"),
        ("model.dropout", {"range": [0.0, 0.5], "step": 5e-324}, "more than 1,000,000,000 parts"),
        ("model.hidden", {"range": [1, 10**400]}, "range must be two numbers"),
        ("optim.lr", {"range": [-1e308, 1e308], "step": 0.1}, "range must be two numbers"),
        ("model.hidden", {"log": [8, 64], "step": 8}, "step belongs to range, not to log"),
        ("optim.lr", {"log": [0, 1]}, "log needs numbers above 0, not [0, 1]"),
        ("model.cell", {"range": [1, 2]}, "is not a number, so it cannot have a range"),
        ("model.hidden", {"choice": [0, 8]}, "must be greater than or equal to 1, not 0"),
        ("model.dropout", {"range": [0.5, 1.5]}, "must be less than 1, not 1.5"),
        ("model.cell", {"choice": ["gru", "grU"]}, "must be 'gru' or 'lstm' or 'rnn', not 'grU'"),
    ],
)
def test_a_wrong_range(key: str, given: Any, expected: str) -> None:
    message = problem({**END, key: given})
    assert message.startswith(f"settings: {key}: ")
    assert expected in message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "no setting has a range, as in `model: {hidden: {choice: [128, 256]}}`"),
        (HIDDEN | {"sweep.trials": 0}, "sweep.trials: must be greater than or equal to 1, not 0"),
        (HIDDEN | {"sweep.sampler": "x"}, "sweep.sampler: must be 'tpe', 'random' or 'grid'"),
        (HIDDEN | {"sweep.trails": 3}, "unknown key sweep.trails; sweep has trials, minutes"),
        (HIDDEN | {"sweep.trials": None}, "the sweep has no end: set sweep.trials"),
        ({"model.hiden": {"choice": [1]}}, "unknown key model.hiden; did you mean model.hidden?"),
        (HIDDEN | {"model.layrs": 1}, "unknown key model.layrs; did you mean model.layers?"),
        ({"optim.ema": {"range": [0.0, 0.9]}}, "unknown key optim.ema"),
        (HIDDEN | {"train.batch": 0}, "train.batch: must be greater than or equal to 1, not 0"),
        (HIDDEN | {"data.val": 0.0}, "data.val is 0; a sweep needs validation text"),
        *(
            ({key: {"choice": values}}, f"{key} has a range, but losses on texts that are read or")
            for key, values in {
                "data.level": ["char", "byte"],
                "data.min_count": [1, 5],
                "data.val": [0.1, 0.2],
                "data.documents": ["line", "paragraph"],
            }.items()
        ),
        (
            HIDDEN | {"train.steps": 5, "train.minutes": {"range": [1, 2]}},
            "train.steps and train.minutes are both given; keep one",
        ),
        (
            {"sweep.sampler": "grid", "model.dropout": {"range": [0, 0.5]}},
            "model.dropout: a grid needs a choice or a step",
        ),
        (
            {"sweep.sampler": "grid"}
            | {f"train.{key}": {"range": [1, 1000]} for key in ("batch", "window", "keep")},
            "the grid has 1,000,000,000 points",
        ),
    ],
)
def test_a_wrong_file(values: dict[str, Any], expected: str) -> None:
    assert f"settings: {expected}" in problem(END | values)


def test_all_problems_come_in_one_message_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text("sweep: {trials: x}\nmodel: {hidden: {log: [0, 1]}, layrs: 1}\n")
    with pytest.raises(SettingsError) as caught:
        read_space(path, {})
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_a_grid_visits_every_point_once_and_ends() -> None:
    values = {"model.hidden": {"choice": [8, 16, 32]}, "model.layers": {"range": [1, 4]}}
    space = read_space(None, {"sweep.sampler": "grid", **values})
    assert space.trials == 12
    points = [tuple(space.grid_point(number).items()) for number in range(12)]
    assert len(set(points)) == 12
    assert len({dict(point)["model.hidden"] for point in points[:4]}) > 1  # it is shuffled
    assert read_space(None, {"sweep.sampler": "grid", "sweep.trials": 5, **values}).trials == 5
