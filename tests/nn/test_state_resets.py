"""Documents within a window are read as each would be by itself."""

import numpy as np
import pytest

from grucli.analysis.gradient_routes import look_back
from grucli.nn.cells import CELLS
from grucli.nn.gradcheck import toy
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.nn.stepper import Stepper

BOUNDARY = 0
TEXT = np.array([3, 0, 2, 1, 4, 0, 0, 5, 3, 2, 2, 1, 0, 4])
DOCUMENTS = [slice(0, 1), slice(1, 5), slice(5, 6), slice(6, 12), slice(12, 14)]


def a_model(cell: str, layers: int, separator: int | None) -> Model:
    model, _ = toy(6, 5, layers, 2, 2, 0.0, 0, cell)
    model.separator = separator
    return model


def outputs(model: Model, x: Ids) -> Array:
    inputs, _ = model.run(x, model.zero_state(x.shape[1]), model.workspace(*x.shape))
    return np.array(inputs[-1])


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_each_is_read_from_the_zero_state(cell: str, layers: int) -> None:
    x = np.stack([TEXT, np.roll(TEXT, 4)], axis=1)  # they begin at different steps
    together = outputs(a_model(cell, layers, BOUNDARY), x)[:, 0]
    plain = a_model(cell, layers, None)
    apart = np.concatenate([outputs(plain, TEXT[part, None])[:, 0] for part in DOCUMENTS])
    np.testing.assert_allclose(together, apart, rtol=1e-13)
    assert not np.allclose(together, outputs(plain, x)[:, 0])


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_carried_over_ends_where_one_begins(cell: str) -> None:
    model = a_model(cell, 2, BOUNDARY)
    x = np.array([[0, 1], [1, 0], [2, 2]])
    room = model.workspace(3, 2)
    state = np.ones((2, 2, model.state_size))
    inputs, _ = model.run(x, state, room)
    from_zero = outputs(model, x)
    carried = np.array(inputs[-1])
    np.testing.assert_array_equal(carried[:, 0], from_zero[:, 0])
    np.testing.assert_array_equal(carried[1:, 1], from_zero[1:, 1])
    assert not np.allclose(carried[0, 1], from_zero[0, 1])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("B", [1, 3])
def test_one_character_at_a_time(cell: str, B: int) -> None:
    model = a_model(cell, 2, BOUNDARY)
    x = np.stack([np.roll(TEXT, shift) for shift in range(B)], axis=1)
    h, output = outputs(model, x), model.output(model.params)
    stepper = Stepper(model, B)
    for t in range(len(x)):
        np.testing.assert_allclose(stepper.step(x[t]), h[t] @ output.W_hc + output.b_c, rtol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_no_route_leads_into_the_document_before(cell: str) -> None:
    model = a_model(cell, 1, BOUNDARY)
    ids = np.array([[1, 2], [2, 1], [0, 3], [3, 4], [1, 1]])
    past = look_back(model, ids, 3)
    *_, last = past.gradients()
    np.testing.assert_allclose(last, past.by_backward, rtol=1e-12)
    assert not past.by_backward[0].any()
    assert past.by_backward[1].all()
    total = sum(part for _, part in past.follow(3))
    np.testing.assert_allclose(total, past.by_backward, rtol=1e-10)


def test_without_documents_nothing_is_copied() -> None:
    for cell in CELLS.values():
        cache = cell.allocate(3, 2, 4, np.zeros(0, np.float32))
        assert cache.reset_mask.size == 0
        assert cache.before.base is not None
        assert np.shares_memory(cache.before, cache.h)
