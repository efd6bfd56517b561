import numpy as np
import pytest

from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.optim import (
    ITERATIONS,
    QUINTIC,
    Moments,
    adam_,
    clip_,
    decay_,
    muon_,
    orthogonalized,
    recurrent_parts,
)
from grucli.threads import blas_limited_to


def test_adam_follows_the_paper() -> None:
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


def test_orthogonalized_matrices_have_the_singular_vectors_and_the_values_of_the_polynomial() -> (
    None
):
    rng = np.random.default_rng(0)
    G = rng.normal(size=(3, 6, 6))
    a, b, c = QUINTIC
    result = orthogonalized(G)
    for one, X in zip(G, result, strict=True):
        U, s, V_T = np.linalg.svd(one)
        s = s / np.linalg.norm(s)
        for _ in range(ITERATIONS):
            s = a * s + b * s**3 + c * s**5
        np.testing.assert_allclose(X, U * s @ V_T, atol=1e-6)
        assert (s.max(), np.median(s)) == pytest.approx((1, 1), abs=0.35)
    np.testing.assert_allclose(orthogonalized(1e-3 * G), result, atol=1e-4)  # for any length
    assert not orthogonalized(np.zeros((1, 4, 4))).any()


def test_muon_takes_its_step() -> None:
    rng = np.random.default_rng(1)
    W, m = rng.normal(size=(2, 3, 5, 5))
    start, momentum, g = W.copy(), m.copy(), rng.normal(size=(3, 5, 5))
    muon_(W, g.copy(), m, lr=0.1)
    np.testing.assert_allclose(m, 0.95 * momentum + g)
    step = 0.1 * 0.2 * np.sqrt(5) * orthogonalized(g + 0.95 * m)
    np.testing.assert_allclose(W, start - step)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("L", [1, 3])
def test_recurrent_parts_cover_the_buffer_once(cell: str, L: int) -> None:
    params = Model(5, 4, L, cell=cell).params
    parts = list(recurrent_parts(params))
    covered = np.concatenate([params.flat[part] for _, part in parts])
    assert len(covered) == len(params.flat)
    params.flat[:] = np.arange(len(params.flat))
    np.testing.assert_array_equal(
        np.concatenate([params.flat[part] for _, part in parts]), params.flat
    )
    recurrent = [params.flat[part].reshape(shape) for shape, part in parts if shape]
    assert len(recurrent) == L
    for number, array in enumerate(recurrent, start=1):
        np.testing.assert_array_equal(array, params[f"layer{number}.W_h"])


@pytest.mark.parametrize("threads", [1, 2])
def test_muon_gives_the_same_bytes_each_time(threads: int) -> None:
    results = set()
    for _ in range(3):
        W, g, m = np.random.default_rng(0).standard_normal((3, 3, 128, 128)).astype(np.float32)
        with blas_limited_to(threads):
            muon_(W, g, m, lr=0.02)
        results.add(W.tobytes() + m.tobytes())
    assert len(results) == 1
