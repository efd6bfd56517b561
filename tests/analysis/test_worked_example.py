import re
from typing import Any

import numpy as np
import pytest

from grucli.analysis.worked_example import Quantity, worked_example
from grucli.errors import ArgumentError
from grucli.nn.cells import basic

ONE_UNIT = {
    "W_x": [[0.5], [1], [-1]],
    "W_h": [[0.3]],
    "b": [0],
    "W_hc": [[1, 2, 0]],
    "h_0": [0.25],
}


def quantities(cell: str) -> dict[str, Quantity]:
    sections = worked_example(cell).sections
    return {f"{title}: {one.symbol}": one for title, found in sections for one in found}


@pytest.mark.parametrize("cell", basic())
def test_the_gradients_are_those_of_the_backward_pass(cell: str) -> None:
    found = worked_example(cell)
    assert found.agrees
    assert found.difference <= 1e-14
    assert {"dh_0", "dW_hc", "db_c"} < set(found.values)


@pytest.mark.parametrize("cell", basic())
def test_large_numbers_agree_as_exactly_as_they_can(cell: str) -> None:
    two = {name: one.shape for name, one in worked_example(cell).given.items()}
    for seed in (64, 89, 91, 192):  # as many units as there can be, of which a GRU rounds most
        rng = np.random.default_rng(seed)
        shapes = {name: tuple({2: 8}.get(n, n) for n in shape[-2:]) for name, shape in two.items()}
        numbers = {
            name: rng.integers(-10, 11, shape[-1:] if "_0" in name else shape).tolist()
            for name, shape in shapes.items()
        }
        assert worked_example(cell, numbers).agrees


@pytest.mark.parametrize("cell", basic())
def test_one_entry_agrees_with_the_quotient_of_losses(cell: str) -> None:
    found = {name.rpartition(": ")[2]: one.value for name, one in quantities(cell).items()}
    entry = next(name for name in found if name.endswith("[1,1]"))
    np.testing.assert_allclose(found["quotient"], found[entry], atol=1e-6)
    total = found["L_1"] + found["L_2"]
    assert found["L(-)"] < total < found["L(+)"]


def test_each_step_back_is_the_sum_of_its_four_routes() -> None:
    found = quantities("gru")
    for step, whole in (("backward, step 2", "from_2"), ("backward, step 1", "dh_0")):
        routes = [found[f"{step}: {name}"].value for name in ("direct", "update", "candidate")]
        routes.append(found[f"{step}: reset"].value)
        np.testing.assert_allclose(sum(routes), found[f"{step}: {whole}"].value)
        assert all(np.abs(route).max() > 1e-4 for route in routes)


@pytest.mark.parametrize("cell", basic())
def test_formulas_name_only_quantities_that_come_before_them(cell: str) -> None:
    known = {"x_1", "x_2", "one_hot"}
    for _, found in worked_example(cell).sections[:-1]:
        for one in found:
            names = re.findall(r"(?:d|from_|carry_|W_|b_)?[A-Za-z]*~?_[\w]+", one.formula)
            assert set(names) <= known, one
            known.add(one.symbol)


def test_the_numbers_of_a_person_are_used_and_give_the_number_of_units() -> None:
    found = worked_example("rnn", ONE_UNIT)
    assert found.agrees
    assert "1-unit RNN" in found.task
    np.testing.assert_allclose(found.values["h_1"], np.tanh([0.3 * 0.25 + 0.5]))
    gates = worked_example("gru", {"b_z": [9, -9]})
    assert gates.agrees
    assert gates.values["z_1"][0] > 0.99


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"b_q": 1}, "names b_q; there are W_x, W_h, b, W_hc, b_c, h_0"),
        ({"h_0": [0.5]}, "W_x must be 3 rows of 1 numbers from -10 to 10, not [[0.8"),
        ({"h_0": [0.5]}, "; h_0 has as many numbers as there are units"),
        ({"b": [1, "x"]}, "b must be 2 numbers from -10 to 10, not [1, 'x']"),
        ({"b": [[1], [2, 3]]}, "b must be 2 numbers"),
        ({"b": [1, float("nan")]}, "b must be 2 numbers"),
        ({"b": [1, 1e400]}, "b must be 2 numbers"),
        ({"b": None}, "b must be 2 numbers from -10 to 10, not None"),
        ({"h_0": "a"}, "W_x must be 3 rows of 1"),
        ({"h_0": []}, "W_x must be 3 rows of 1"),
        ({"h_0": [0] * 99}, "W_x must be 3 rows of 8"),
        ([1], "must be a valid dictionary, not [1]"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(numbers: Any, said: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        worked_example("rnn", numbers)
    assert str(refused.value).startswith("numbers ")
    assert said in str(refused.value)


def test_the_largest_numbers_are_no_warning() -> None:
    shapes = {name: one.shape for name, one in worked_example("gru").given.items()}
    numbers = {
        name: np.full([{2: 8}.get(n, n) for n in shape[-2:]][-1 if "_0" in name else 0 :], 10.0)
        for name, shape in shapes.items()
    }
    for name in ("W_xz", "W_hz", "b_z"):
        numbers[name] *= -1
    assert worked_example("gru", {name: one.tolist() for name, one in numbers.items()}).agrees
