from collections.abc import Callable

import numpy as np
import pytest

from grucli.nn import matmul
from grucli.nn.cells import CELLS
from grucli.nn.gradcheck import check_all, gradients_of, toy
from grucli.nn.matmul import (
    Blocks,
    best_width,
    blocks,
    copy_transposed,
    largest_unpacked,
    rows_at_once,
)
from grucli.threads import blas_limited_to

OPENBLAS = {"blas": {"name": "scipy-openblas", "found": True}}


@pytest.mark.parametrize(
    ("library", "found", "core", "unpacked"),
    [
        (OPENBLAS, ["X86_V3", "X86_V4"], "", 10**6),
        (OPENBLAS, ["AVX2", "AVX512F", "AVX512_SKX"], "SkylakeX", 10**6),
        (OPENBLAS, ["X86_V3", "X86_V4"], "Haswell", 0),
        (OPENBLAS, ["X86_V3"], "", 0),
        (OPENBLAS, ["ASIMD", "SVE"], "", 0),
        ({"blas": {"name": "accelerate"}}, [], "", 0),
        ({"blas": {"name": "mkl-sdl"}}, ["X86_V4"], "", 0),
    ],
)
def test_where_small_products_need_no_packing(
    library: dict[str, object], found: list[str], core: str, unpacked: int
) -> None:
    config = {"Build Dependencies": library, "SIMD Extensions": {"found": found}}
    assert largest_unpacked(config, core) == unpacked
    assert largest_unpacked({}, core) == 0


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda size: monkeypatch.setattr(matmul, "UNPACKED", size)


def test_how_matrices_are_cut(unpacked: Callable[[int], None]) -> None:
    unpacked(10**6)
    for rows, K, N, width, group in [
        (32, 512, 512, 64, 16),
        (32, 1024, 1024, 64, 8),
        (128, 1024, 1024, 64, 8),
        (25, 512, 512, 64, 25),
        (25, 1024, 1024, 32, 25),  # five rows at a time would be slow
        (32, 300, 300, 100, 32),
        (32, 100, 100, 100, 32),  # all of it
        (32, 20, 20, 20, 32),
        (64, 128, 97, 97, 64),
        (32, 512, 97, 97, 16),  # a prime number
        (5000, 512, 512, 64, 20),
        (31, 8192, 512, 512, 0),  # too many rows for any width
        (1, 512, 512, 512, 1),
    ]:
        assert best_width(rows, K, N) == width
        assert rows_at_once(rows, K, width) == group
    unpacked(0)
    assert best_width(32, 512, 512) == 512
    assert rows_at_once(32, 512, 512) == 0


@pytest.mark.parametrize("width", [12, 4, 3])
@pytest.mark.parametrize("group", [12, 4, 0])
def test_products_in_blocks_are_products(
    width: int, group: int, unpacked: Callable[[int], None]
) -> None:
    unpacked(group * width * 8)
    assert rows_at_once(12, 8, width) == group
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(2, 5, 12, 8)), rng.normal(size=(8, 12))
    in_blocks = Blocks(blocks(W, width).copy())
    assert in_blocks.blocks.shape == (12 // width, 8, width)
    np.testing.assert_allclose(x @ in_blocks, x @ W, rtol=1e-12)
    out = np.zeros((2, 5, 12, 12))
    in_blocks.multiply(x, out)
    np.testing.assert_allclose(out, x @ W, rtol=1e-12)
    W, each = rng.normal(size=(5, 8, 12)), np.zeros((2, 5, 12, 12))
    Blocks(blocks(W, width)).multiply(x, each)  # a matrix of its own for each of the five
    np.testing.assert_allclose(each, x @ W, rtol=1e-12)
    shared, x = np.zeros((5, 12, 12)), x[0, 0]
    Blocks(blocks(W, width)).multiply(x, shared)  # the same rows times each of the five
    np.testing.assert_allclose(shared, x @ W, rtol=1e-12)


@pytest.mark.parametrize("K", [503, 512, 600, 678])
@pytest.mark.parametrize("gates", [1, 2, 3])
def test_the_product_with_one_row_does_not_depend_on_the_threads(gates: int, K: int) -> None:
    rng = np.random.default_rng(0)
    W = Blocks.view(rng.standard_normal((gates, K, K)).astype(np.float32), 1).for_rows(1)
    x = rng.standard_normal((1, K)).astype(np.float32)
    results = set()
    for threads in (1, 2, 4):
        with blas_limited_to(threads):
            W.multiply(x, out := np.empty((gates, 1, K), np.float32))
            results.add(out.tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 7), (1, 16, 1), (2, 9, 16), (3, 48, 5), (2, 3, 40, 33)])
def test_transposed_copies_are_exact(shape: tuple[int, ...], dtype: type) -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=shape) * 10.0 ** rng.integers(-30, 30, shape)).astype(dtype)
    columns = matrix.swapaxes(-1, -2)
    copy = np.full(columns.shape, np.nan, dtype)
    copy_transposed(columns, copy)
    np.testing.assert_array_equal(copy, columns)


def test_transposed_copies_in_blocks_are_exact() -> None:
    matrix = np.random.default_rng(0).normal(size=(2, 60, 7))
    in_blocks = blocks(matrix.swapaxes(-1, -2), 20)  # a strip of 16 columns, and four more
    copy = np.full(in_blocks.shape, np.nan)
    copy_transposed(in_blocks, copy)
    np.testing.assert_array_equal(copy, in_blocks)


@pytest.mark.parametrize(("G", "K", "N"), [(1, 8, 6), (3, 8, 5), (2, 7, 4)])
def test_products_with_one_row(G: int, K: int, N: int) -> None:
    rng = np.random.default_rng(0)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        W = rng.normal(size=(G, K, N)).astype(dtype)
        x, out = rng.normal(size=(1, K)).astype(dtype), np.zeros((G, 1, N), dtype)
        for_one = Blocks.view(W, 1).for_rows(1)
        for_one.multiply(x, out)
        np.testing.assert_allclose(out, x @ W, rtol=tolerance, atol=tolerance)
        for_one.multiply(np.stack([x] * G), out)  # a row of its own for each
        np.testing.assert_allclose(out, x @ W, rtol=tolerance, atol=tolerance)


@pytest.fixture
def narrow(unpacked: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks for rows of 8 units, 4 rows at a time."""
    unpacked(4 * 8 * 4)
    monkeypatch.setattr(matmul, "NARROWEST", 4)
    monkeypatch.setattr(matmul, "WIDE", 4)
    for rows, group in ((3, 3), (8, 4)):
        assert best_width(rows, 8, 8) == 4
        assert rows_at_once(rows, 8, 4) == group


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_through_blocks_are_right(cell: str) -> None:
    rows = [row for _, row in check_all(hidden=8, layers=2, dropout=0.0, cell=cell)]
    assert all(row.passed for row in rows)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("B", [3, 8])
@pytest.mark.parametrize("cell", CELLS)
def test_blocks_change_gradients_by_rounding_alone(
    cell: str, B: int, unpacked: Callable[[int], None]
) -> None:
    model, window = toy(V=7, H=8, L=2, T=5, B=B, dropout=0.0, seed=0, cell=cell)
    assert model.packed(B)["layer2.W_x"].blocks.shape == (
        model.params["layer2.b"].shape[0],
        2,
        8,
        4,
    )
    in_blocks = gradients_of(model, window)
    unpacked(0)
    assert model.packed(B)["layer2.W_x"].blocks.base is model.params.flat
    for name, gradient in gradients_of(model, window).items():
        np.testing.assert_allclose(in_blocks[name], gradient, rtol=1e-11, atol=1e-13)
