"""That gradcheck passes, and how it judges; tests/analysis/test_mistakes.py has it fail."""

import cmath
import math
import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from grucli.nn import gradcheck
from grucli.nn.cells import CELLS
from grucli.nn.gradcheck import Argument, Row
from grucli.nn.model import Model
from grucli.nn.params import Array


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_every_gradient_is_right(cell: str, layers: int, dropout: float) -> None:
    checks = gradcheck.check_all(hidden=5, layers=layers, dropout=dropout, cell=cell)
    rows = [row for _, row in checks]
    assert all(row.error <= 1e-6 for row in rows)
    names = {row.name for row in rows}
    gates = {"lstm": ("W_hf", "b_o", "c_0"), "rnn": ("W_h", "b")}.get(cell, ("W_hz", "b_r"))
    expected = {f"layer{n}.{name}" for n in range(1, layers + 1) for name in ("h_0", *gates)}
    assert expected | {"x", "layer.a", "layer.x", "output.W_hc", "output.b_c"} <= names


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_masked_recurrent_weights_are_right(cell: str) -> None:
    checks = gradcheck.check_all(hidden=5, layers=2, dropout=0.0, cell=cell, recurrent=0.4)
    rows = [row for _, row in checks]
    assert all(row.error <= 1e-6 for row in rows)
    dropped = gradcheck.toy(7, 5, 2, 4, 3, 0.0, 0, cell, recurrent=0.4)[1].recurrent
    assert len(dropped) == 2
    assert all(0.1 < (mask == 0).mean() < 0.7 for mask in dropped.values())


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_documents_are_right(cell: str) -> None:
    checks = gradcheck.check_all(hidden=5, layers=2, dropout=0.25, cell=cell, documents=True)
    assert all(row.error <= 1e-6 for _, row in checks)
    model, window = gradcheck.toy(7, 5, 2, 4, 3, 0.25, 0, cell, documents=True)
    assert model.separator in window.x[1:]


def test_zero_over_zero_is_no_error_and_nan_is_one() -> None:
    assert gradcheck.relative_error(0.0, 0.0) == 0.0
    assert not gradcheck.Row("a", (1,), "1", math.nan).passed
    assert not Argument("a", np.ones(2), np.ones(2), lambda: math.nan).check_entries().passed


def test_random_directions_find_a_missing_gradient() -> None:
    array = np.arange(1.0, 5.0)
    right = Argument("a", array, 2 * array, lambda: float(array @ array))
    assert right.check_direction(np.random.default_rng(0)).passed
    assert not replace(right, gradient=0 * array).check_direction(np.random.default_rng(0)).passed


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("H", [1, 4])
def test_gradients_of_a_single_stream_are_right(cell: str, H: int) -> None:
    rng = np.random.default_rng(0)
    model, window = gradcheck.toy(V=5, H=H, L=2, T=3, B=1, dropout=0.0, seed=0, cell=cell)
    rows = [*gradcheck.check_model(model, window, rng), gradcheck.check_input(model, window, rng)]
    rows += gradcheck.check_layer(cell, D=3, H=H, T=3, B=1, rng=rng)
    assert all(row.passed for row in rows)


def test_a_large_alphabet_needs_no_square_of_memory() -> None:
    V = 3000
    model, rng = Model(V, 2, 1, dtype=np.float64), np.random.default_rng(0)
    model.initialize(rng)
    ids = rng.integers(0, V, (3, 2))
    window = gradcheck.Window(ids[:-1], ids[1:], model.zero_state(2), None)
    tracemalloc.start()
    row = gradcheck.check_input(model, window, rng, entries=4)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert row.passed
    assert most < V**2 * 8 / 4


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("B", [3, gradcheck.STREAMS_AT_ONCE + 4])
def test_extreme_weights_are_no_mistake(cell: str, B: int) -> None:
    model, window = gradcheck.toy(7, 6, 2, 8, B, 0.0, 0, cell)
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


def test_a_gradient_that_is_too_small_to_be_compared_is_undecided() -> None:
    array, slope = np.ones(1), 2e-11
    row = gradcheck.Argument("a", array, np.array([1.4 * slope]), lambda: slope * array.item())
    assert row.check_entries().verdict == "undecided"
    row = gradcheck.Argument("a", array, np.array([14 * slope]), lambda: 10 * slope * array.item())
    assert row.check_entries().verdict == "WRONG"


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
