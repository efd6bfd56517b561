"""oneDNN's products; these tests are skipped where it cannot be used."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from grucli.nn.backend import Backend, usable
from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.onednn import Precision, Unavailable
from grucli.nn.onednn_matrix import KEPT, OneDNNMatrix, layout
from grucli.nn.params import Array
from grucli.nn.stepper import Stepper

try:
    HAS_BFLOAT16 = usable().has_bfloat16
except Unavailable as reason:
    pytest.skip(f"oneDNN: {reason}", allow_module_level=True)

ALL = [Backend("onednn"), *[Backend("onednn", "bfloat16")] * HAS_BFLOAT16]
SIZES = [(32, 128, 128), (33, 65, 130), (1, 256, 256), (512, 48, 65), (7, 5, 3)]


def packed(W: Array, rows: int, precision: Precision, *, by_row: bool = False) -> OneDNNMatrix:
    form = layout(rows, *W.shape[1:], precision, by_row=by_row)
    matrices = form.matrix(np.zeros((len(W), form.numbers), np.float32))
    matrices.pack(W)
    return matrices


def rounded(array: Array, precision: Precision) -> Array:
    """The nearest numbers of 8 significant bits, ties to even."""
    if precision == "float32":
        return array.astype(np.float64)
    bits = np.ascontiguousarray(array).view(np.uint32)
    even = (bits >> 16) & 1
    whole: Array = ((bits + 0x7FFF + even) & 0xFFFF0000).view(np.float32).astype(np.float64)
    return whole


@pytest.mark.parametrize("backend", ALL, ids=str)
@pytest.mark.parametrize(("M", "K", "N"), SIZES)
@pytest.mark.parametrize("by_row", [False, True])
def test_products_are_those_of_rounded_factors(
    backend: Backend, M: int, K: int, N: int, by_row: bool
) -> None:
    rng, precision = np.random.default_rng(0), backend.precision
    W, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, K, N), (M, K)))
    expected = rounded(x, precision) @ rounded(W, precision)
    matrices = packed(W, M, precision, by_row=by_row)
    out = np.empty((2, M, N), np.float32)
    matrices.bind(out)(x)
    np.testing.assert_allclose(out, expected, atol=1e-4)
    np.testing.assert_allclose(x @ matrices[1], expected[1], atol=1e-4)
    each = np.stack([x, 2 * x])  # a factor for each matrix
    matrices.bind(out)(each)
    np.testing.assert_allclose(out, expected * np.array([1, 2])[:, None, None], atol=2e-4)
    transposed = packed(W.swapaxes(1, 2), M, precision, by_row=by_row)
    y = np.ascontiguousarray(out)
    back = np.empty((2, M, K), np.float32)
    transposed.bind(back)(y)
    np.testing.assert_allclose(
        back, rounded(y, precision) @ rounded(W, precision).swapaxes(1, 2), rtol=1e-4, atol=1e-2
    )


@pytest.mark.parametrize("backend", ALL, ids=str)
def test_rows_of_any_type_and_strides_are_multiplied(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    W = rng.standard_normal((2, 5, 3)).astype(np.float32)
    matrices, exact = packed(W, 4, backend.precision), rounded(W, backend.precision)[-1]
    x = rng.integers(-8, 8, (2, 4, 5)).astype(np.float32)  # which bfloat16 can hold
    for rows in (x[0], x[0].astype(np.float64), x[0, :, ::-1], x, x.swapaxes(0, 1)):
        np.testing.assert_allclose(rows @ matrices[-1], rows @ exact, atol=1e-4)
        assert (rows @ matrices[-1]).dtype == np.float32
    with pytest.raises(AssertionError):
        x[:, :, :4] @ matrices[-1]
    with pytest.raises(AssertionError, match="reads float32"):
        matrices.bind(np.empty((2, 4, 3), np.float32))(x[0].astype(np.float64))
    with pytest.raises(AssertionError):
        matrices.pack(W.astype(np.float64))
    rows, gradient, out = x[0], np.ones((4, 3)), np.empty((5, 3), np.float32)
    matrices[0].gradient(rows.astype(np.float64), gradient, out)
    np.testing.assert_allclose(out, rows.T @ gradient, atol=1e-4)


@pytest.mark.parametrize("backend", ALL, ids=str)
def test_a_bound_product_keeps_the_memory_that_it_writes_to(backend: Backend) -> None:
    W = np.ones((2, 64, 64), np.float32)
    multiply_all = packed(W, 16, backend.precision).bind(np.zeros((2, 16, 64), np.float32))
    others = [np.zeros((2, 16, 64), np.float32) for _ in range(50)]
    multiply_all(np.ones((16, 64), np.float32))
    assert not np.any(others)


def test_only_some_products_are_kept() -> None:
    W, x = packed(np.ones((1, 3, 2), np.float32), 1, "float32"), np.ones((1, 3), np.float32)
    outs = [np.zeros((1, 1, 2), np.float32) for _ in range(500)]
    bound = [W.bind(out) for out in outs]
    assert len(W._products) <= KEPT
    for product in bound:
        product(x)
    assert (np.array(outs) == 3).all()


@pytest.mark.parametrize("backend", ALL, ids=str)
def test_a_bound_product_keeps_its_matrices(backend: Backend) -> None:
    out, W = np.zeros((2, 16, 64), np.float32), np.ones((2, 64, 64), np.float32)
    multiply_all = packed(W, 16, backend.precision).bind(out)
    others = [np.full((2, 2048 * size), 7.0, np.float32) for size in (1, 2) for _ in range(50)]
    multiply_all(np.ones((16, 64), np.float32))
    assert (out == 64).all()
    assert others


def test_results_of_another_shape_are_refused() -> None:
    W, x = packed(np.ones((2, 64, 64), np.float32), 16, "float32"), np.ones((16, 64), np.float32)
    for shape in ((2, 16, 32), (3, 16, 64), (2, 8, 64)):
        with pytest.raises(AssertionError):
            W.multiply(x, np.empty(shape, np.float32))


@pytest.mark.parametrize("backend", ALL, ids=str)
def test_gradients_of_weights_are_written_or_added(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    rows, gradient = (rng.standard_normal((90, n)).astype(np.float32) for n in (33, 20))
    W = packed(np.zeros((1, 33, 20), np.float32), 4, backend.precision)
    expected = rounded(rows, backend.precision).T @ rounded(gradient, backend.precision)
    out = np.ones((33, 20), np.float32)
    W[0].gradient(rows, gradient, out, add=True)
    np.testing.assert_allclose(out, expected + 1, atol=1e-4)
    W[0].gradient(rows, gradient, out)
    np.testing.assert_allclose(out, expected, atol=1e-4)


@pytest.mark.parametrize("backend", ALL, ids=str)
def test_threads_have_scratch_memory_of_their_own(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    W = packed(rng.standard_normal((3, 96, 96)).astype(np.float32), 32, backend.precision)
    xs = rng.standard_normal((8, 32, 96)).astype(np.float32)

    def product(x: Array) -> bytes:
        multiply_all, results = W.bind(out := np.empty((3, 32, 96), np.float32)), []
        for _ in range(50):
            multiply_all(x)
            results.append(out.tobytes())
        return b"".join(results)

    def at_once(x: Array) -> bytes:
        out, dW = np.empty((3, 32, 96), np.float32), np.empty((96, 96), np.float32)
        results = []
        for _ in range(50):
            W.multiply(x, out)
            W[1].gradient(x, out[1], dW)
            results += [(x @ W[2]).tobytes(), out.tobytes(), dW.tobytes()]
        return b"".join(results)

    for compute in (product, at_once):
        alone = [compute(x) for x in xs]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(compute, xs)) == alone


def test_memory_that_owns_products_is_not_given_to_another_owner() -> None:
    W = packed(np.ones((1, 64, 64), np.float32), 16, "float32")
    owners = [W.bind(np.zeros((1, 16, 64), np.float32)) for _ in range(5)]
    assert len(W._products) == len(owners)


@pytest.mark.parametrize("backend", ALL, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_steppers_of_equal_weights_compute_at_the_same_time(backend: Backend, cell: str) -> None:
    model = Model(30, 64, 2, cell=cell, backend=backend)
    model.initialize(np.random.default_rng(0))
    shared = model.packed(16, backward=False)
    ids = np.random.default_rng(1).integers(0, 30, (4, 60, 16))

    def read(stepper: Stepper, x: Array) -> bytes:
        return b"".join(stepper.step(one).tobytes() for one in x)

    alone = [read(Stepper(model, 16, shared), x) for x in ids]
    for _ in range(3):
        steppers = [Stepper(model, 16, shared) for _ in ids]  # all of them made in this thread
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(read, steppers, ids)) == alone


def test_equal_products_have_equal_bits_in_other_memory() -> None:
    rng = np.random.default_rng(0)
    model = Model(20, 48, 2, backend=ALL[-1])
    model.initialize(rng)
    x, targets = rng.integers(0, 20, (2, 9, 6))
    results = []
    for _ in range(3):
        grads, workspace = model.params.like(), model.workspace(9, 6)
        state = model.zero_state(6)
        loss, _, _ = model.loss_and_gradients(x, targets, state, workspace, grads, scale=1.0)
        results.append((loss, grads.flat.tobytes()))
    assert len(set(results)) == 1
