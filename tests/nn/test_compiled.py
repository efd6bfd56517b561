"""The compiled loops against the plain ones; these tests are skipped without Numba."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from grucli import compilation
from grucli.nn import calls
from grucli.nn.backend import NUMPY, Backend, usable
from grucli.nn.cells import CELLS
from grucli.nn.kernels import PLAIN
from grucli.nn.matmul import Blocks
from grucli.nn.model import Model
from grucli.nn.onednn import Unavailable
from grucli.nn.optim import Moments
from grucli.nn.params import Array, Params

FLOAT64 = "numpy float64"
BACKENDS = {FLOAT64: NUMPY, "numpy float32": NUMPY}
try:
    BACKENDS["onednn float32"] = Backend("onednn")
    if usable().has_bfloat16:
        BACKENDS["onednn bfloat16"] = Backend("onednn", "bfloat16")
except Unavailable:
    pass
EXACT = {FLOAT64: 1e-14, "numpy float32": 4e-6, "onednn float32": 4e-6, "onednn bfloat16": 2e-2}
SIZES = [(3, 7, 5, 2), (32, 12, 64, 2), (1, 9, 24, 1)]  # B, T, H, L


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    for cell in CELLS:
        compilation.prepare(cell)


def pair(cell: str, name: str, size: tuple[int, ...], separator: int | None) -> tuple[Model, Model]:
    """A model with random weights, and the same one with compiled loops."""
    _, _, H, L = size
    dtype = "float64" if name == FLOAT64 else "float32"
    model = Model(20, H, L, dtype, cell, separator, BACKENDS[name])
    rng = np.random.default_rng(0)
    model.initialize(rng)
    model.params.flat[:] += 0.1 * rng.standard_normal(model.params.flat.size)
    return model, model.on(model.backend._replace(compiled=True))


def both_passes(model: Model, size: tuple[int, ...]) -> tuple[Any, Params]:
    B, T, H, L = size
    rng, dtype = np.random.default_rng(1), model.params.flat.dtype
    x, targets = rng.integers(0, model.V, (2, T, B)).astype(np.uint8)
    state = rng.normal(0, 0.3, (L, B, model.state_size)).astype(dtype)
    masks = rng.integers(0, 3, (L, T, B, H)).astype(dtype)
    grads, workspace = model.params.like(), model.workspace(T + 2, B, dropout=True).first(T)
    results = model.loss_and_gradients(
        x, targets, state, workspace, grads, scale=1 / (T * B), masks=masks
    )
    return (*results, *model.score(x, targets, state, model.workspace(T, B))), grads


def assert_close(actual: Array, expected: Array, limit: float) -> None:
    """Differences are at most ``limit`` times the largest number."""
    largest = float(np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit * largest)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("separator", [None, 3])
def test_compiled_loops_give_the_results_of_plain_ones(
    cell: str, name: str, size: tuple[int, ...], separator: int | None
) -> None:
    plain, compiled = pair(cell, name, size, separator)
    expected, gradients = both_passes(plain, size)
    actual, others = both_passes(compiled, size)
    for one, other in zip(actual, expected, strict=True):
        if np.asarray(other).dtype == np.bool_:
            assert (one == other).mean() > 0.98  # two characters may be about equally likely
        else:
            assert_close(one, other, EXACT[name])
    for parameter, gradient in gradients.items():
        assert_close(others[parameter], gradient, EXACT[name])
    again, same = both_passes(compiled, size)
    assert all(np.array_equal(one, other) for one, other in zip(again, actual, strict=True))
    assert np.array_equal(same.flat, others.flat)


@pytest.mark.parametrize("name", BACKENDS)
def test_threads_give_the_same_bytes(name: str) -> None:
    _, model = pair("gru", name, SIZES[1], 3)

    def gradients(_: int) -> bytes:
        return both_passes(model, SIZES[1])[1].flat.tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(gradients, range(16))) == {gradients(0)}


def test_adam_has_the_same_bits_compiled_or_not() -> None:
    from grucli.nn.compiled.kernels import COMPILED

    rng, results = np.random.default_rng(0), []
    start, gradients = rng.standard_normal((2, 1001)), rng.standard_normal((3, 1001))
    for update in (PLAIN.adam_, COMPILED.adam_):
        flat = start[0].astype(np.float32)
        moments = Moments.like(flat)
        for step, gradient in enumerate(gradients.astype(np.float32), 1):
            update(flat, gradient, moments, step=step, lr=0.01, betas=(0.9, 0.99), eps=1e-8)
        results.append(b"".join(array.tobytes() for array in (flat, moments.m, moments.v)))
    assert results[0] == results[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_are_exact_and_keep_nan(dtype: str) -> None:
    from grucli.nn.compiled.compiler import compiled
    from grucli.nn.compiled.functions import exp, largest, sigmoid, tanh, total

    @compiled
    def of_each(x, out):  # type: ignore[no-untyped-def]
        for i in range(len(x)):
            out[0, i], out[1, i], out[2, i] = tanh(x[i]), sigmoid(x[i]), exp(-abs(x[i]))

    def computed(x: Array) -> Array:
        out: Array = np.empty((3, len(x)), dtype)
        of_each(x.astype(dtype), out)
        return out

    x = np.concatenate([np.linspace(-87, 87, 200001), np.linspace(-1, 1, 20001)]).astype(dtype)
    exact = x.astype(np.longdouble)
    expected = np.array([np.tanh(exact), 1 / (1 + np.exp(-exact)), np.exp(-abs(exact))])
    unit = np.spacing(abs(expected).astype(dtype))
    assert (abs(computed(x) - expected) <= 3 * unit).all()
    assert np.isnan(computed(np.full(5, np.nan))).all()
    infinite = [[1, -1], [1, 0], [0, 0]]
    assert computed(np.array([np.inf, -np.inf])).tolist() == infinite
    for size in (1, 3, 4, 7, 65):
        row = np.random.default_rng(size).normal(size=size).astype(dtype)
        assert largest(row) == row.max()
        np.testing.assert_allclose(total(row), row.sum(), rtol=1e-5)


@pytest.mark.parametrize("parameter", ["layer1.W_x", "layer1.W_h", "output.W_hc"])
def test_a_loss_of_nan_is_seen(parameter: str) -> None:
    for model in pair("gru", "numpy float32", SIZES[1], None):
        model.params[parameter].flat[3] = np.nan
        with np.errstate(invalid="ignore"):
            (loss, *_), _ = both_passes(model, SIZES[1])
        assert np.isnan(loss)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("no")])
def test_an_error_within_a_product_ends_the_loop(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def bind(self: Blocks, out: Array) -> Any:
        def multiply(x: Array) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise error

        return multiply

    _, model = pair("lstm", "numpy float32", SIZES[1], None)
    packed = model.packed(32)
    monkeypatch.setattr(Blocks, "bind", bind)
    x, state, workspace = np.zeros((9, 32), np.intp), model.zero_state(32), model.workspace(9, 32)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        model.run(x, state, workspace, packed=packed)
    assert calls == 3


def test_an_error_of_later_calls_is_raised() -> None:
    from grucli.nn.compiled.loop import run

    def fail(t: int) -> None:
        raise error

    error: BaseException
    first = calls.of_python(lambda t: None)
    both = first.then(calls.of_python(fail))
    for error in (ValueError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            calls.execute(lambda *rows: run(rows[1], 0), [first, both])


def test_ids_out_of_range_are_refused() -> None:
    _, model = pair("gru", "numpy float32", SIZES[1], None)
    state, workspace, grads = model.zero_state(2), model.workspace(3, 2), model.params.like()
    for wrong in (20, 255, 10**9, -1):
        for number in range(2):
            x, targets = arrays = np.zeros((2, 3, 2), np.int64)
            arrays[number, 1, 1] = wrong
            with pytest.raises(IndexError):
                model.loss_and_gradients(x, targets, state, workspace, grads, scale=1.0)
        with pytest.raises(IndexError):
            model.score(x, targets, state, workspace)


def test_logits_that_are_not_numbers_are_not_sampled() -> None:
    from grucli.nn.compiled.sampler import CompiledStepper
    from grucli.sampling import Sampler

    model = Model(5, 4, 1, cell="rnn")
    stepper = CompiledStepper(model, 1, model.packed(1, backward=False))
    for wrong in (np.nan, np.inf):
        for sampler in (Sampler(), Sampler(0.0), Sampler(top_k=2, top_p=0.5)):
            stepper.begin(np.array([[0, 0, wrong, 0, 0]], np.float32), model.zero_state(1))
            with pytest.raises(FloatingPointError):
                stepper.sample(sampler, np.full((3, 1), 0.5))


def test_an_error_of_the_loop_itself_is_no_ctrl_c() -> None:
    def loop(*_: object) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        calls.execute(loop, [calls.of_python(lambda t: None)])


def test_compiling_does_not_depend_on_what_is_in_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from grucli.nn.compiled import sampler

    def dirty(like: Array, shape: Any) -> Array:
        return np.full_like(like, np.nan, shape=shape)

    monkeypatch.setattr(sampler.np, "empty_like", dirty)
    sampler.warm_up("rnn", 1)
