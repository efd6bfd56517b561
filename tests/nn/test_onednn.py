"""oneDNN's products; these tests are skipped where it cannot be used."""

import ctypes.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from grucli.nn.cells import CELLS
from grucli.nn.matmul import multiplier, multiply, weight_gradient
from grucli.nn.model import Model
from grucli.nn.onednn import library as onednn
from grucli.nn.onednn.library import Precision, Unavailable
from grucli.nn.onednn.packed_matrices import PackedMatrices, layout
from grucli.nn.packed_weights import packed_size
from grucli.nn.params import Array
from grucli.nn.products import NUMPY, Products, choose, usable, why_not_used
from grucli.nn.stepper import Stepper

try:
    HAS_BFLOAT16 = usable().has_bfloat16
except Unavailable as reason:
    pytest.skip(f"oneDNN: {reason}", allow_module_level=True)

ALL = [Products("onednn"), *[Products("onednn", "bfloat16")] * HAS_BFLOAT16]
SIZES = [(32, 128, 128), (33, 65, 130), (1, 256, 256), (512, 48, 65), (7, 5, 3)]


def packed(W: Array, rows: int, precision: Precision, *, plain: bool = False) -> PackedMatrices:
    form = layout(rows, *W.shape[1:], precision, plain=plain)
    matrices = PackedMatrices(form, list(np.zeros((len(W), form.numbers), np.float32)))
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


@pytest.mark.parametrize("products", ALL, ids=str)
@pytest.mark.parametrize(("M", "K", "N"), SIZES)
@pytest.mark.parametrize("plain", [False, True])
def test_products_are_those_of_rounded_factors(
    products: Products, M: int, K: int, N: int, plain: bool
) -> None:
    rng, precision = np.random.default_rng(0), products.precision
    W, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, K, N), (M, K)))
    expected = rounded(x, precision) @ rounded(W, precision)
    matrices = packed(W, M, precision, plain=plain)
    out = np.empty((2, M, N), np.float32)
    multiplier(matrices, out)(x)
    np.testing.assert_allclose(out, expected, atol=1e-4)
    np.testing.assert_allclose(multiply(x, matrices[1]), expected[1], atol=1e-4)
    each = np.stack([x, 2 * x])  # a factor for each matrix
    multiplier(matrices, out)(each)
    np.testing.assert_allclose(out, expected * np.array([1, 2])[:, None, None], atol=2e-4)
    transposed = packed(W.swapaxes(1, 2), M, precision, plain=plain)
    y = np.ascontiguousarray(out)
    back = np.empty((2, M, K), np.float32)
    multiplier(transposed, back)(y)
    np.testing.assert_allclose(
        back, rounded(y, precision) @ rounded(W, precision).swapaxes(1, 2), rtol=1e-4, atol=1e-2
    )


@pytest.mark.parametrize("products", ALL, ids=str)
def test_a_multiplier_keeps_the_memory_that_it_writes_to(products: Products) -> None:
    W = np.ones((2, 64, 64), np.float32)
    multiply_all = multiplier(packed(W, 16, products.precision), np.zeros((2, 16, 64), np.float32))
    others = [np.zeros((2, 16, 64), np.float32) for _ in range(50)]
    multiply_all(np.ones((16, 64), np.float32))
    assert not np.any(others)


@pytest.mark.parametrize("products", ALL, ids=str)
def test_gradients_of_weights_are_written_or_added(products: Products) -> None:
    rng = np.random.default_rng(0)
    rows, gradient = (rng.standard_normal((90, n)).astype(np.float32) for n in (33, 20))
    W = packed(np.zeros((1, 33, 20), np.float32), 4, products.precision)
    expected = rounded(rows, products.precision).T @ rounded(gradient, products.precision)
    out = np.ones((33, 20), np.float32)
    weight_gradient(W, rows, gradient, out, accumulate=True)
    np.testing.assert_allclose(out, expected + 1, atol=1e-4)
    weight_gradient(W, rows, gradient, out)
    np.testing.assert_allclose(out, expected, atol=1e-4)


@pytest.mark.parametrize("products", ALL, ids=str)
def test_threads_have_scratch_memory_of_their_own(products: Products) -> None:
    rng = np.random.default_rng(0)
    W = packed(rng.standard_normal((3, 96, 96)).astype(np.float32), 32, products.precision)
    xs = rng.standard_normal((8, 32, 96)).astype(np.float32)

    def product(x: Array) -> Array:
        multiply_all = multiplier(W, out := np.empty((3, 32, 96), np.float32))
        for _ in range(50):
            multiply_all(x)
        return out

    alone = [product(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(product, xs))
    assert all(map(np.array_equal, alone, together))


def test_memory_that_owns_products_is_not_given_to_another_owner() -> None:
    W = packed(np.ones((1, 64, 64), np.float32), 16, "float32")
    owners = [W.activated_sum(np.zeros((1, 16, 64), np.float32), "tanh") for _ in range(5)]
    assert len(W._bound) == len(owners)


@pytest.mark.parametrize("products", ALL, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_steppers_of_equal_weights_compute_at_the_same_time(products: Products, cell: str) -> None:
    model = Model(30, 64, 2, cell=cell, products=products)
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
    model = Model(20, 48, 2, products=ALL[-1])
    model.initialize(rng)
    x, targets = rng.integers(0, 20, (2, 9, 6))
    results = []
    for _ in range(3):
        grads, workspace = model.params.like(), model.workspace(9, 6)
        state = model.zero_state(6)
        loss, _, _ = model.loss_and_gradients(x, targets, state, workspace, grads, scale=1.0)
        results.append((loss, grads.flat.tobytes()))
    assert len(set(results)) == 1


def test_packed_weights_have_the_size_that_is_reserved() -> None:
    model = Model(20, 48, 2, products=ALL[-1])
    copies = model.packed(6)
    reserved = packed_size(model.products, model.params.shapes, 6)
    assert (
        sum(len(one.buffers) * one.layout.numbers for one in copies.matrices.values()) == reserved
    )  # type: ignore[union-attr]


# ---- the library


@pytest.fixture
def _loads_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "load", onednn.load.__wrapped__)


@pytest.mark.usefixtures("_loads_anew")
def test_a_library_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    damaged = tmp_path / "libdnnl.so.3"
    damaged.write_bytes(b"\x7fELF damaged")
    other = ctypes.util.find_library("c")
    for path, words in ((str(damaged), "cannot be loaded"), (str(other), "cannot be loaded")):
        monkeypatch.setenv(onednn.VARIABLE, path)
        with pytest.raises(Unavailable, match=words):
            choose("onednn", "auto")
        assert choose("auto", "auto") == NUMPY
        assert path in str(why_not_used())


@pytest.mark.usefixtures("_loads_anew")
def test_another_major_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "MAJOR", 4)
    with pytest.raises(Unavailable, match=r"is oneDNN 3\..*; version 4 is needed"):
        onednn.load()


def test_what_was_asked_for_is_chosen_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("numpy", "auto") == NUMPY
    assert choose("auto", "float32") == choose("onednn", "float32") == Products("onednn")
    with pytest.raises(Unavailable, match="need oneDNN"):
        choose("numpy", "bfloat16")
    found = onednn.load()
    monkeypatch.setattr(onednn, "load", lambda: found._replace(isa=onednn.HAS_BFLOAT16 | 0x27))
    assert choose("auto", "auto") == Products("onednn", "bfloat16")
    monkeypatch.setattr(onednn, "load", lambda: found._replace(isa=0x27))
    assert choose("auto", "auto") == Products("onednn", "float32")
    with pytest.raises(Unavailable, match="AVX512-BF16"):
        choose("auto", "bfloat16")
    monkeypatch.setattr(onednn, "load", lambda: found._replace(isa=0x7))
    assert choose("auto", "auto") == NUMPY
    with pytest.raises(Unavailable, match="no AVX-512"):
        choose("onednn", "auto")


@pytest.mark.usefixtures("_loads_anew")
def test_without_the_library_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "candidates", list)
    assert choose("auto", "auto") == NUMPY
    assert why_not_used() is None
    with pytest.raises(Unavailable, match="oneDNN is not installed"):
        choose("onednn", "auto")


def test_the_path_in_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(onednn.VARIABLE, "here.so")
    assert onednn.candidates() == ["here.so"]
    monkeypatch.delenv(onednn.VARIABLE)
    assert all(sys.prefix in path or "dnnl" in path for path in onednn.candidates())
    monkeypatch.setattr("sys.prefix", "nowhere")
    monkeypatch.setattr("site.getuserbase", lambda: str(tmp_path))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libdnnl.so.3").touch()
    assert onednn.candidates() == [str(tmp_path / "lib" / "libdnnl.so.3")]
