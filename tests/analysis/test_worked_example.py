import re

import numpy as np

from grucli.analysis import worked_example as example
from grucli.analysis.worked_example import Quantity, worked_example


def quantities() -> dict[str, Quantity]:
    return {
        f"{title}: {one.symbol}": one for title, found in worked_example().sections for one in found
    }


def test_the_gradients_are_those_of_the_backward_pass() -> None:
    found = worked_example()
    assert found.difference <= 1e-14
    assert set(found.gradients) == {*example.WEIGHTS, "h_0"}


def test_one_entry_agrees_with_the_quotient_of_losses() -> None:
    found = {name.rpartition(": ")[2]: one.value for name, one in quantities().items()}
    np.testing.assert_allclose(found["quotient"], found["dW_hz[1,1]"], atol=1e-8)
    total = found["L_1"] + found["L_2"]
    assert found["L(-)"] < total < found["L(+)"]


def test_each_step_back_is_the_sum_of_its_four_routes() -> None:
    found = quantities()
    for step, whole in (("backward, step 2", "from_2"), ("backward, step 1", "dh_0")):
        routes = [found[f"{step}: {name}"].value for name in ("direct", "update", "candidate")]
        routes.append(found[f"{step}: reset"].value)
        np.testing.assert_allclose(sum(routes), found[f"{step}: {whole}"].value)
        assert all(np.abs(route).max() > 1e-4 for route in routes)


def test_formulas_name_only_quantities_that_come_before_them() -> None:
    sections = worked_example().sections
    known = {"x_1", "x_2"}
    for _, found in sections[:-1]:
        for one in found:
            names = re.findall(r"(?:d|from_|W_|b_)?[A-Za-z]*~?_[\w]+", one.formula)
            assert set(names) <= known, one
            known.add(one.symbol)
