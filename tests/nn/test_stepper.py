import numpy as np
import pytest

from grucli.nn.cells import CELLS
from grucli.nn.gradcheck import toy
from grucli.nn.stepper import Stepper


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("B", "H"), [(3, 5), (1, 5), (1, 1)])
def test_step_by_step_equals_a_window(cell: str, B: int, H: int) -> None:
    model, window = toy(V=7, H=H, L=2, T=4, B=B, dropout=0.0, seed=6, cell=cell)
    _, whole = model.run(window.x, window.state, model.workspace(4, B))
    stepper = Stepper(model, B)
    stepper.state = window.state
    for x in window.x:
        stepper.step(x)
    np.testing.assert_allclose(stepper.state, whole, rtol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_stepper_goes_on_from_any_state(cell: str, before: int) -> None:
    model, window = toy(V=7, H=5, L=2, T=3, B=2, dropout=0.0, seed=6, cell=cell)
    stepper = Stepper(model, 2)
    earlier = [(stepper.step(x), stepper.state) for x in window.x[:before]]
    kept = [(logits.copy(), state.copy()) for logits, state in earlier]
    stepper.state = window.state
    np.testing.assert_array_equal(stepper.state, window.state)
    for x in window.x:
        stepper.step(x)
    _, whole = model.run(window.x, window.state, model.workspace(3, 2))
    np.testing.assert_allclose(stepper.state, whole, rtol=1e-12)
    for (logits, state), (same_logits, same_state) in zip(earlier, kept, strict=True):
        np.testing.assert_array_equal(logits, same_logits)
        np.testing.assert_array_equal(state, same_state)


def test_a_character_out_of_range_leaves_the_state() -> None:
    model, window = toy(V=7, H=5, L=1, T=1, B=1, dropout=0.0, seed=6)
    stepper = Stepper(model, 1)
    stepper.state = window.state
    with pytest.raises(IndexError):
        stepper.step(np.array([7]))
    np.testing.assert_array_equal(stepper.state, window.state)
