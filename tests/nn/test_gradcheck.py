"""That gradcheck passes, and that it fails for every mistake one can make in the backward pass."""

import cmath
import inspect
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from grucli.analysis import mistakes
from grucli.analysis.mistakes import Mistake, changed, made
from grucli.nn import gradcheck, state_resets
from grucli.nn.cells import CELLS
from grucli.nn.gradcheck import Argument, Row
from grucli.nn.params import Array
from grucli.nn.rounding import ROUNDING


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_every_gradient_is_right(cell: str, layers: int, dropout: float) -> None:
    checks = gradcheck.check_all(hidden=5, layers=layers, dropout=dropout, cell=cell)
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
    "the gradient goes on": ("gradient *= reset_mask[t]", "pass"),
    "the first step is left out": (
        "gradient *= reset_mask[t]",
        "gradient *= reset_mask[t] if t else 1.0",
    ),
    "a step late": (
        "gradient *= reset_mask[t]",
        "gradient *= reset_mask[t + 1] if t + 1 < len(steps) else 1.0",
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
    assert not Argument("a", np.ones(2), np.ones(2), lambda: math.nan).check_entries().passed


def test_random_directions_find_a_missing_gradient() -> None:
    array = np.arange(1.0, 5.0)
    right = Argument("a", array, 2 * array, lambda: float(array @ array))
    assert right.check_direction(np.random.default_rng(0)).passed
    assert not replace(right, gradient=0 * array).check_direction(np.random.default_rng(0)).passed


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


@pytest.mark.parametrize("cell", CELLS)
def test_extreme_weights_are_no_mistake(cell: str) -> None:
    model, window = gradcheck.toy(7, 6, 2, 8, 3, 0.0, 0, cell)
    model.params.flat *= 100.0
    rng = np.random.default_rng(0)
    by_differences = [
        replace(argument, doubt=None).check_entries(np.arange(3))
        for argument in gradcheck.arguments(model, window)
    ]
    assert not all(row.passed for row in by_differences)
    rows = list(gradcheck.check_model(model, window, rng, entries=12))
    rows.append(gradcheck.check_input(model, window, rng, entries=12))
    assert [row for row in rows if not row.passed] == []


@pytest.mark.parametrize("cell", CELLS)
def test_a_mistake_is_found_or_undecided_on_extreme_weights(cell: str) -> None:
    for mistake in mistakes.mistakes(cell):
        with made(cell, mistake), np.errstate(all="ignore"):
            model, window = gradcheck.toy(7, 6, 2, 8, 3, 0.25, 0, cell)
            model.params.flat *= 30.0
            rows = gradcheck.check_model(model, window, np.random.default_rng(0), entries=8)
            unseen = mistake.name == "gradient of the last state"  # a window has no later one
            assert unseen or any(row.verdict != "right" for row in rows), mistake.name


def test_a_complex_step_decides_where_differences_are_not_exact() -> None:
    def f(x: complex) -> complex:
        return cmath.exp(60 * x)

    step = gradcheck.COMPLEX_STEP
    assert gradcheck.relative_error(60.0, gradcheck.derivative(lambda x: f(x).real)) > 1e-6
    assert f(1j * step).imag / step == pytest.approx(60.0, rel=1e-15)


def test_verdicts() -> None:
    row = gradcheck.Row("a", (2,), "whole", 1e-3, allowed=1e-6, explained=1e-2)
    worse = [replace(row, error=1e-7), row, replace(row, error=1e-1), replace(row, error=math.nan)]
    assert [row.verdict for row in worse] == ["right", "undecided", "WRONG", "WRONG"]
    assert [max(worse[:n], key=lambda row: row.gravity) for n in (1, 2, 3)] == worse[:3]


@pytest.mark.parametrize("cell", CELLS)
def test_the_gradients_of_a_large_window_are_proven_along_one_direction(cell: str) -> None:
    model, window = gradcheck.toy(20, 24, 2, 40, 20, 0.25, 0, cell, recurrent=0.3)
    gradients = gradcheck.gradients_of(model, window)
    check = partial(gradcheck.check_reference, model, window)
    assert check(gradients, np.random.default_rng(0)).error < 1e-12
    for name in ("layer1.b", "layer1.W_x", "layer2.W_h", "output.W_hc"):
        name = next(full for full in gradients if full.startswith(name))
        wrong = gradients | {name: gradients[name].copy()}
        wrong[name][-1:] *= 0.97  # the last row or bias alone
        assert check(wrong, np.random.default_rng(0)).verdict == "WRONG", name


BITS = {"float32": 2.0**-24, "bfloat16": 2.0**-9}


@pytest.mark.parametrize("precision", BITS)
def test_rounding_grows_with_the_precision_and_differs_by_sample(precision: str) -> None:
    model, window = gradcheck.toy(20, 24, 2, 12, 8, 0.25, 0, recurrent=0.3)
    exact = gradcheck.gradients_of(model, window)
    first, second = (
        gradcheck.gradients_of(model, window, (ROUNDING[precision], seed)) for seed in (0, 1)
    )
    for name, gradient in exact.items():
        errors = [
            np.linalg.norm(a - b) / np.linalg.norm(gradient)
            for a, b in (
                (first[name], gradient),
                (second[name], gradient),
                (first[name], second[name]),
            )
        ]
        assert all(BITS[precision] / 8 < error < 100 * BITS[precision] for error in errors), name


def test_an_entry_that_rounding_explains_is_undecided() -> None:
    model, window = gradcheck.toy(7, 6, 1, 4, 3, 0.0, 0)
    doubt = gradcheck.Doubt(model, window)
    gradient = gradcheck.gradients_of(model, window)["layer1.W_hz"]
    direction = np.ones_like(gradient)
    row = gradcheck.Row("layer1.W_hz", gradient.shape, "1 direction", 0.0)
    wrong = float(gradient.sum()) * 1.001
    assert doubt.judge(row, wrong, {row.name: direction}).verdict == "WRONG"
    doubt.samples = [{row.name: gradient * factor} for factor in (0.99, 1.01)]
    assert doubt.judge(row, wrong, {row.name: direction}).verdict == "undecided"


def test_a_row_is_allowed_what_rounding_explains_of_it_and_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    right, noise = rng.standard_normal((2, 30, 40))
    small = np.full(30, 1e-4)
    small[7] = 1e-7  # by chance, the samples do not move this row

    def judged(change: Array) -> Row:
        samples = [{"W": right + small[:, None] * noise}] * 2
        (row,) = gradcheck.check_step({"W": right + change}, {"W": right}, samples)
        return row

    assert judged(1e-4 * noise[::-1]).verdict == "right"
    lost = np.zeros_like(right)
    lost[7] = -0.01 * right[7]
    assert (judged(lost).verdict, judged(lost).compared) == ("WRONG", "row 8")
    assert judged(lost * np.nan).verdict == "WRONG"
    assert judged(-right).error == pytest.approx(1.0)
