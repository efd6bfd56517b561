import math

import numpy as np
import pytest

from grucli.nn import model as model_module
from grucli.nn.cells import CELLS
from grucli.nn.gradcheck import toy
from grucli.nn.model import Model, workspace_size
from grucli.nn.stepper import Stepper
from tests import oracle


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_forward_equals_the_equations_in_scalar_loops(cell: str, layers: int) -> None:
    model, window = toy(V=5, H=4, L=layers, T=6, B=3, dropout=0.0, seed=1, cell=cell)
    loss, state, _ = model.loss_and_gradients(
        window.x,
        window.targets,
        window.state,
        model.workspace(6, 3),
        model.params.like(),
        scale=1.0,
    )
    expected_loss, expected_state = oracle.loss(model, window.x, window.targets, window.state)
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    np.testing.assert_allclose(state, expected_state, rtol=0, atol=1e-14)


def test_one_window_equals_two_carried_windows_exactly() -> None:
    model, window = toy(V=7, H=5, L=2, T=12, B=3, dropout=0.0, seed=2)
    _, whole = model.run(window.x, window.state, model.workspace(12, 3))
    room, state = model.workspace(6, 3), window.state
    for half in (window.x[:6], window.x[6:]):
        _, state = model.run(half, state, room)
    np.testing.assert_array_equal(state, whole)


def test_gradients_overwrite_what_was_there() -> None:
    model, window = toy(V=7, H=5, L=2, T=4, B=3, dropout=0.2, seed=3)
    room, grads = model.workspace(4, 3, dropout=True), model.params.like()
    results = []
    for before in (0.0, np.nan):
        grads.flat[:] = before
        model.loss_and_gradients(
            window.x, window.targets, window.state, room, grads, scale=1.0, masks=window.masks
        )
        results.append(grads.flat.copy())
    np.testing.assert_array_equal(*results)


def test_a_used_workspace_gives_the_same_result_as_a_fresh_one() -> None:
    model, window = toy(V=7, H=5, L=2, T=4, B=3, dropout=0.0, seed=4)
    used = model.workspace(9, 3)
    model.run(np.zeros((9, 3), np.intp), window.state, used)
    results = []
    for room in (model.workspace(4, 3), used.first(4)):
        grads = model.params.like()
        model.loss_and_gradients(window.x, window.targets, window.state, room, grads, scale=1.0)
        results.append(grads.flat)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("V", [2, 65, 3000])
@pytest.mark.parametrize(("H", "L"), [(16, 1), (256, 1), (512, 2)])
def test_first_loss_is_about_ln_V(V: int, H: int, L: int) -> None:
    model = Model(V, H, L)
    rng = np.random.default_rng(0)
    model.initialize(rng)
    x, targets = rng.integers(0, V, (2, 32, 8))
    log_probs, _, _ = model.score(x, targets, model.zero_state(8), model.workspace(32, 8))
    assert -log_probs.mean() == pytest.approx(math.log(V), rel=0.02)


def test_recurrent_weights_are_orthogonal_and_the_update_gate_starts_by_remembering() -> None:
    model = Model(5, 12, 2)
    model.initialize(np.random.default_rng(0))
    for w in model.layers(model.params):
        for block in w.W_h:
            np.testing.assert_allclose(block.T @ block, np.eye(12), atol=1e-6)
        np.testing.assert_array_equal(w.b, [[-1.0] * 12, [0.0] * 12, [0.0] * 12])


def test_score_agrees_with_the_loss_and_finds_hits() -> None:
    model, window = toy(V=7, H=5, L=2, T=4, B=3, dropout=0.0, seed=5)
    room = model.workspace(4, 3)
    loss, state, _ = model.loss_and_gradients(
        window.x, window.targets, window.state, room, model.params.like(), scale=1.0
    )
    log_probs, hits, scored_state = model.score(window.x, window.targets, window.state, room)
    assert -log_probs.sum() == pytest.approx(loss, rel=1e-13)
    np.testing.assert_array_equal(scored_state, state)
    stepper = Stepper(model, 3)
    stepper.state = window.state
    likely = stepper.step(window.x[0])
    np.testing.assert_array_equal(hits[0], likely.argmax(axis=1) == window.targets[0])


def test_logits_in_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, window = toy(V=7, H=5, L=1, T=4, B=3, dropout=0.0, seed=7)
    results = []
    for at_once in (2**21, 7 * 5):
        monkeypatch.setattr(model_module, "LOGITS_AT_ONCE", at_once)
        grads = model.params.like()
        loss, _, _ = model.loss_and_gradients(
            window.x, window.targets, window.state, model.workspace(4, 3), grads, scale=1.0
        )
        results.append(np.append(grads.flat, loss))
    np.testing.assert_allclose(*results, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("dropout", "documents"), [(False, False), (True, False), (True, True)])
def test_the_size_of_a_workspace_is_known_beforehand(
    cell: str, dropout: bool, documents: bool
) -> None:
    model, T, B = Model(5, 6, 2, cell=cell, separator=0 if documents else None), 700, 3
    room = model.workspace(T, B, dropout=dropout)
    arrays = [room.dh, room.dropped, room.dropped]  # masks take as much as what they drop
    for cache in room.caches:
        arrays += [cache.states, cache.a, cache.saved, cache.reset_mask, cache.scratch]
        arrays += [cache.before] * documents
    numbers = sum(array.size for array in arrays)
    expected = workspace_size(T, B, 6, 2, cell, dropout=dropout, resets=documents)
    assert numbers == pytest.approx(expected, rel=10 / T)


def test_gates_that_are_driven_to_their_limits_neither_warn_nor_fail() -> None:
    model = Model(3, 4, 1)
    model.params["layer1.b"][:] = [[-1e3], [1e3], [-1e3]]
    log_probs, _, state = model.score(
        *np.zeros((2, 5, 2), np.intp), model.zero_state(2), model.workspace(5, 2)
    )
    np.testing.assert_array_equal(state, 0.0)  # an update gate that is shut keeps the state
    assert np.isfinite(log_probs).all()
