"""That the gradient check fails for every mistake one can make in the backward pass."""

import inspect

import numpy as np
import pytest

from grucli.analysis.mistakes import Mistake, find_mistake, make_mistake, mistakes
from grucli.nn import gradcheck, state_resets
from grucli.nn.cells import CELLS


def found_wrong(cell: str) -> bool:
    with np.errstate(all="ignore"):
        checks = gradcheck.check_all(hidden=5, layers=2, dropout=0.25, cell=cell)
        return any(not row.passed for _, row in checks)


MISTAKES = [
    pytest.param(cell, mistake, id=f"{cell}: {mistake.name}")
    for cell in CELLS
    for mistake in mistakes(cell)
    if cell == "gru" or mistake.module is inspect.getmodule(type(CELLS[cell]))
]


@pytest.mark.parametrize(("cell", "mistake"), MISTAKES)
def test_a_mistake_is_found(cell: str, mistake: Mistake) -> None:
    with make_mistake(mistake):
        assert found_wrong(cell)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_has_its_mistakes(cell: str) -> None:
    module = inspect.getmodule(type(CELLS[cell]))
    assert sum(mistake.module is module for mistake in mistakes(cell)) >= 5
    for mistake in mistakes(cell):
        assert mistake.meaning.endswith("."), mistake.name
        assert mistake.formula != mistake.wrong_formula, mistake.name


def test_after_all_mistakes_everything_is_right_again() -> None:
    for mistake in mistakes("gru"):
        with make_mistake(mistake):
            pass
    assert not found_wrong("gru")


def test_an_unchanged_copy_passes() -> None:
    mistake = find_mistake("gru", "route 1, direct")
    same = Mistake("none", mistake.module, mistake.right, f"{mistake.right} ")
    with make_mistake(same):
        assert not found_wrong("gru")


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
def test_a_mistake_where_a_document_begins_is_found(cell: str, mistake: str) -> None:
    with make_mistake(Mistake(mistake, state_resets, *RESET_MISTAKES[mistake])):
        checks = gradcheck.check_all(hidden=5, layers=2, dropout=0.25, cell=cell, documents=True)
        assert any(not row.passed for _, row in checks)


@pytest.mark.parametrize("cell", CELLS)
def test_a_mistake_is_found_or_undecided_on_extreme_weights(cell: str) -> None:
    for mistake in mistakes(cell):
        with make_mistake(mistake), np.errstate(all="ignore"):
            model, window = gradcheck.toy(7, 6, 2, 8, 3, 0.25, 0, cell)
            model.params.flat *= 30.0
            rows = gradcheck.check_model(model, window, np.random.default_rng(0), entries=8)
            unseen = mistake.name == "gradient of the last state"  # a window has no later one
            assert unseen or any(row.verdict != "right" for row in rows), mistake.name
