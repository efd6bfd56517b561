"""That gradcheck passes, and that it fails for every mistake one can make in the backward pass."""

import inspect
import math

import numpy as np
import pytest

from grucli.analysis import mistakes
from grucli.analysis.mistakes import Mistake, changed, made
from grucli.nn import gradcheck, state_resets
from grucli.nn.cells import CELLS


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("dropout", "locked"), [(0.0, False), (0.25, False), (0.25, True)])
def test_every_gradient_is_right(cell: str, layers: int, dropout: float, locked: bool) -> None:
    checks = gradcheck.check_all(hidden=5, layers=layers, dropout=dropout, cell=cell, locked=locked)
    rows = [row for _, row in checks]
    assert max(row.error for row in rows) <= 1e-6
    names = {row.name for row in rows}
    gates = {"lstm": ("W_hf", "b_o", "c_0"), "rnn": ("W_h", "b")}.get(cell, ("W_hz", "b_r"))
    expected = {f"layer{n}.{name}" for n in range(1, layers + 1) for name in ("h_0", *gates)}
    assert expected | {"x", "layer.a", "layer.x", "output.W_hc", "output.b_c"} <= names


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_masked_recurrent_weights_are_right(cell: str) -> None:
    checks = gradcheck.check_all(hidden=5, layers=2, dropout=0.0, cell=cell, recurrent=0.4)
    rows = [row for _, row in checks]
    assert max(row.error for row in rows) <= 1e-6
    dropped = gradcheck.toy(7, 5, 2, 4, 3, 0.0, 0, cell, recurrent=0.4)[1].recurrent
    assert len(dropped) == 2
    assert all(0.1 < (mask == 0).mean() < 0.7 for mask in dropped.values())


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_documents_are_right(cell: str) -> None:
    checks = gradcheck.check_all(hidden=5, layers=2, dropout=0.25, cell=cell, documents=True)
    assert max(row.error for _, row in checks) <= 1e-6
    model, window = gradcheck.toy(7, 5, 2, 4, 3, 0.25, 0, cell, documents=True)
    assert model.separator in window.x[1:]


RESET_MISTAKES = {
    "the gradient goes on": ("gradient *= k", "pass"),
    "the first step is left out": ("reset_mask[::-1], strict", "[*reset_mask[:0:-1], 1.0], strict"),
    "a step late": (
        "reversed(steps), reset_mask[::-1]",
        "reversed(steps), [1.0, *reset_mask[:0:-1]]",
    ),
}


@pytest.mark.parametrize("mistake", RESET_MISTAKES)
@pytest.mark.parametrize("cell", CELLS)
def test_a_mistake_where_a_document_begins_is_found(
    cell: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = changed(state_resets, *RESET_MISTAKES[mistake])
    monkeypatch.setattr(
        inspect.getmodule(type(CELLS[cell])), "backward_steps", mutant.backward_steps
    )
    checks = gradcheck.check_all(hidden=5, layers=2, dropout=0.25, cell=cell, documents=True)
    assert any(not row.passed for _, row in checks)


def test_zero_over_zero_is_no_error_and_nan_is_one() -> None:
    assert gradcheck.relative_error(0.0, 0.0) == 0.0
    assert not gradcheck.Row("a", (1,), "1", math.nan).passed
    bad = gradcheck.check_entries("a", np.ones(2), np.ones(2), lambda: math.nan)
    assert not bad.passed


def test_random_directions_find_a_missing_gradient() -> None:
    array = np.arange(1.0, 5.0)
    rng = np.random.default_rng(0)
    right = gradcheck.check_direction("a", array, 2 * array, lambda: float(array @ array), rng)
    wrong = gradcheck.check_direction("a", array, 0 * array, lambda: float(array @ array), rng)
    assert right.passed
    assert not wrong.passed


def found_wrong(cell: str) -> bool:
    with np.errstate(all="ignore"):
        checks = gradcheck.check_all(hidden=5, layers=2, dropout=0.25, cell=cell)
        return any(not row.passed for _, row in checks)


MISTAKES = [
    pytest.param(cell, mistake, id=f"{cell}: {mistake.name}")
    for cell in CELLS
    for mistake in mistakes.mistakes(cell)
    if cell == "gru" or mistake.module is inspect.getmodule(type(CELLS[cell]))
]


@pytest.mark.parametrize(("cell", "mistake"), MISTAKES)
def test_a_mistake_is_found(cell: str, mistake: Mistake) -> None:
    with made(cell, mistake):
        assert found_wrong(cell)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_has_its_mistakes(cell: str) -> None:
    module = inspect.getmodule(type(CELLS[cell]))
    assert sum(mistake.module is module for mistake in mistakes.mistakes(cell)) >= 5


def test_after_a_mistake_everything_is_right_again() -> None:
    for mistake in mistakes.mistakes("gru")[::8]:
        with made("gru", mistake):
            pass
        assert not found_wrong("gru")


def test_an_unchanged_copy_passes() -> None:
    mistake = mistakes.find("gru", "route 1, direct")
    same = Mistake("none", mistake.module, mistake.right, f"{mistake.right} ")
    with made("gru", same):
        assert not found_wrong("gru")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("H", [1, 4])
def test_gradients_of_a_single_stream_are_right(cell: str, H: int) -> None:
    rng = np.random.default_rng(0)
    model, window = gradcheck.toy(V=5, H=H, L=2, T=3, B=1, dropout=0.0, seed=0, cell=cell)
    rows = [*gradcheck.check_model(model, window, rng), gradcheck.check_input(model, window, rng)]
    rows += gradcheck.check_layer(cell, D=3, H=H, T=3, B=1, rng=rng)
    assert all(row.passed for row in rows)


def test_strongly_curved_losses_are_judged_at_half_the_step() -> None:
    def f(x: float) -> float:
        return math.exp(60 * x)

    assert gradcheck.relative_error(60.0, gradcheck.derivative(f)) > gradcheck.TOLERANCE
    assert gradcheck.numeric_error(60.0, f) < gradcheck.TOLERANCE
    assert gradcheck.numeric_error(60.001, f) > gradcheck.TOLERANCE
    assert math.isnan(gradcheck.numeric_error(math.nan, f))
