"""That gradcheck passes, and that it fails for every mistake one can make in the backward pass."""

import inspect
import math
import types
from collections.abc import Iterator

import numpy as np
import pytest

from grucli.nn import gradcheck, gru, gru_after, inputs
from grucli.nn import model as model_module
from grucli.nn.cells import CELLS


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("dropout", "locked"), [(0.0, False), (0.25, False), (0.25, True)])
def test_every_gradient_is_right(cell: str, layers: int, dropout: float, locked: bool) -> None:
    checks = gradcheck.check_all(hidden=5, layers=layers, dropout=dropout, cell=cell, locked=locked)
    rows = [row for _, row in checks]
    assert max(row.error for row in rows) <= 1e-6
    names = {row.name for row in rows}
    expected = {f"layer{n}.{name}" for n in range(1, layers + 1) for name in ("h_0", "W_hz", "b_r")}
    assert expected | {"x", "layer.a", "layer.x", "output.W_hc", "output.b_c"} <= names


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


GRU_MUTATIONS = {
    "route 1, direct": ("dh_next *= keep  # route 1", "dh_next *= 0.0  #"),
    "route 2, update": ("dh_next += from_z", "pass"),
    "route 3, candidate": ("dh_next += drh  # route 3", "pass  #"),
    "route 4, reset": ("dh_next += from_r", "pass"),
    "z (1 - z) without 1 - z": ("z *= write", "z[:] = write"),
    "z (1 - z) without z": ("write *= dn", "write *= dh_next"),
    "r (1 - r) without 1 - r": ("np.subtract(1.0, r, out=r)", "r[:] = 1.0"),
    "r (1 - r) without r": ("r *= drh  # (2)", "r *= drh / rh * h_prev  #"),
    "1 - n^2 without 1 -": ("np.subtract(1.0, n, out=n)", "pass"),
    "dz without h_{t-1}": (
        "write = np.subtract(n, h_prev, out=second)",
        "write = second; write[:] = n",
    ),
    "b_z": ("np.sum(cache.a, axis=(1, 2), out=dw.b)", "dw.b[1:] = cache.a[1:].sum(axis=(1, 2))"),
    "b_n": ("np.sum(cache.a, axis=(1, 2), out=dw.b)", "dw.b[:2] = cache.a[:2].sum(axis=(1, 2))"),
    "b_r": ("np.sum(cache.a, axis=(1, 2), out=dw.b)", "dw.b[::2] = cache.a[::2].sum(axis=(1, 2))"),
    "reset after the product, forward": (
        "n += np.matmul(rh, W_hn, out=product)",
        "n += r * np.matmul(h_prev, W_hn, out=product)",
    ),
    "reset after the product, backward": (
        "drh = np.matmul(n, W_hn_T, out=first)",
        "r_copy = r.copy(); drh = np.matmul(n * r_copy, W_hn_T, out=first); drh /= r_copy",
    ),
    "reset after the product, weights": (
        "(h_prev_rows, h_prev_rows, rh_rows)",
        "(h_prev_rows, h_prev_rows, h_prev_rows)",
    ),
    "weights from the wrong state": ("as_rows(cache.h[:-1])", "as_rows(cache.h[1:])"),
    "gradient of the last state": (
        "dh_next = np.array(dh_last, dtype=cache.h.dtype)",
        "dh_next = np.zeros_like(dh_last)",
    ),
    "gradient from above": (
        "dh_next += rh  #",
        "dh_next += rh * (h_prev is not cache.steps[0][0])  #",
    ),
}

AFTER_MUTATIONS = {
    "route 1, direct": ("dh_next *= keep  # route 1", "dh_next *= 0.0  #"),
    "route 2, update": ("dh_next += from_z", "pass"),
    "route 3, candidate": ("dh_next += from_u", "pass"),
    "route 4, reset": ("dh_next += from_r", "pass"),
    "z (1 - z) without 1 - z": ("z *= write", "z[:] = write"),
    "r (1 - r) without 1 - r": ("np.subtract(1.0, r, out=r)", "r[:] = 1.0"),
    "r (1 - r) without r": ("r *= du", "r *= n"),
    "dr without u": ("r *= u", "pass"),
    "1 - n^2 without 1 -": ("np.subtract(1.0, n, out=n)", "pass"),
    "du without r": ("du = np.multiply(n, r, out=write)", "du = write; write[:] = n"),
    "b_u": ("np.sum(cache.u, axis=(0, 1), out=dw.b_u)", "pass"),
    "b_u outside the reset gate": (
        "n += np.multiply(r, u, out=n_product)",
        "n += r * (u - w.b_u) + w.b_u",
    ),
    "b_n": ("np.sum(cache.a, axis=(1, 2), out=dw.b)", "dw.b[:2] = cache.a[:2].sum(axis=(1, 2))"),
    "recurrent weights of the candidate": ("cache.a[1], cache.u)", "cache.a[1], cache.a[2])"),
    "gradient of the last state": (
        "dh_next = np.array(dh_last, dtype=cache.h.dtype)",
        "dh_next = np.zeros_like(dh_last)",
    ),
}

INPUT_MUTATIONS = {
    "input weights of a repeated character": (
        "np.matmul(ones[start:end], scratch[start:end], out=dW_xg[v])",
        "dW_xg[v] = scratch[start]",
    ),
    "input weights of the wrong character": ("out=dW_xg[v])", "out=dW_xg[v - 1])"),
    "input weights of a higher layer": (
        "np.matmul(as_rows(x).T, as_rows(da_g), out=dW_xg)",
        "dW_xg[:] = 0.0",
    ),
    "input of a layer": (
        "as_rows(dx[steps])[:] = sum(parts)",
        "as_rows(dx[steps])[:] = next(parts)",
    ),
}

MODEL_MUTATIONS = {
    "initial state of one layer": (
        "dstate[number] = CELLS[self.cell].backward(",
        "dstate[number] = (number > 0) * CELLS[self.cell].backward(",
    ),
    "dropout": ("room.dh[:] *= masks[number]", "pass"),
    "b_c": ("dw.b_c[:] += c.sum(axis=0)", "pass"),
    "W_hc": ("dw.W_hc[:] += h_rows[rows].T @ c", "dw.W_hc[:] += 0.5 * h_rows[rows].T @ c"),
}


def mutate(module: types.ModuleType, old: str, new: str) -> types.ModuleType:
    """A copy of a module with one place of its source changed."""
    source = inspect.getsource(module)
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in the source"
    mutant = types.ModuleType(module.__name__)
    mutant.__dict__["__file__"] = module.__file__
    exec(
        compile(source.replace(old, new), f"<mutant of {module.__name__}>", "exec"), mutant.__dict__
    )
    return mutant


def found_wrong(cell: str = "gru") -> bool:
    with np.errstate(all="ignore"):
        checks = gradcheck.check_all(hidden=5, layers=2, dropout=0.25, cell=cell)
        return any(not row.passed for _, row in checks)


def mutations_of_cells() -> Iterator[object]:
    for name, module, changes in (
        ("gru", gru, GRU_MUTATIONS),
        ("gru-after", gru_after, AFTER_MUTATIONS),
    ):
        for mistake, change in changes.items():
            yield pytest.param(name, module, change, id=f"{name}: {mistake}")


@pytest.mark.parametrize(("name", "module", "change"), list(mutations_of_cells()))
def test_a_mistake_in_a_cell_is_found(
    name: str, module: types.ModuleType, change: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CELLS, name, mutate(module, *change))  # type: ignore[misc]
    assert found_wrong(name)


@pytest.mark.parametrize("change", INPUT_MUTATIONS.values(), ids=INPUT_MUTATIONS)
def test_a_mistake_in_the_input_projection_is_found(
    change: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = mutate(inputs, *change)
    for module in (model_module, gradcheck):
        monkeypatch.setattr(module, "project_backward", mutant.project_backward)
    assert found_wrong()


@pytest.mark.parametrize("change", MODEL_MUTATIONS.values(), ids=MODEL_MUTATIONS)
def test_a_mistake_in_the_model_is_found(
    change: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = mutate(model_module, *change)
    monkeypatch.setattr(gradcheck, "Model", mutant.Model)
    assert found_wrong()


def test_an_unchanged_copy_of_the_cell_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS, "gru", mutate(gru, "dh_next += rh  #", "dh_next += rh   #"))  # type: ignore[misc]
    assert not found_wrong()
