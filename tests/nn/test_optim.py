import numpy as np
import pytest

from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.optim import (
    Moments,
    adam_,
    clip_,
    decay_,
    parts,
)


def test_adam_follows_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grucli.nn.optim.CHUNK", 3)
    rng = np.random.default_rng(0)
    flat, lr, (beta1, beta2), eps = rng.normal(size=7), 0.01, (0.9, 0.99), 1e-8
    expected, m, v = flat.copy(), np.zeros(7), np.zeros(7)
    moments = Moments.like(flat)
    for step in range(1, 6):
        g = rng.normal(size=7)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
        expected -= lr * m_hat / (np.sqrt(v_hat) + eps)
        adam_(flat, g, moments, step=step, lr=lr, betas=(beta1, beta2), eps=eps)
    np.testing.assert_allclose(flat, expected, rtol=1e-13)
    np.testing.assert_allclose(moments.m, m, rtol=1e-13)
    np.testing.assert_allclose(moments.v, v, rtol=1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_weights_decay_and_biases_stay(cell: str) -> None:
    model = Model(5, 4, 2, cell=cell)
    model.params.flat[:] = 1.0
    decay_(model.params, 0.25)
    for name, array in model.params.items():
        is_bias = name.split(".")[1].startswith("b")
        np.testing.assert_array_equal(array, 1.0 if is_bias else 0.75)


def test_clip_scales_long_gradients_and_leaves_short_ones() -> None:
    gradient = np.array([3.0, 4.0])
    assert clip_(gradient, 10.0) == pytest.approx(5.0)
    np.testing.assert_array_equal(gradient, [3.0, 4.0])
    assert clip_(gradient, 1.0) == pytest.approx(5.0)
    np.testing.assert_allclose(gradient, [0.6, 0.8])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("L", [1, 3])
def test_parts_cover_the_buffer_once_and_in_order(cell: str, L: int) -> None:
    params = Model(5, 4, L, cell=cell).params
    params.flat[:] = np.arange(len(params.flat))
    found = list(parts(params, 0.25, 3.0))
    covered = np.concatenate([params.flat[part] for _, part in found])
    np.testing.assert_array_equal(covered, params.flat)
    for (factor, part), (name, array) in zip(found, params.items(), strict=True):
        np.testing.assert_array_equal(params.flat[part], array.ravel())
        matrix = name.endswith((".W_h", ".W_x"))
        assert factor == (3.0 if name == "layer1.W_x" else 0.25 if matrix else 1.0)
