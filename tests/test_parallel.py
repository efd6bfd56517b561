import numpy as np
import pytest

from grucli.nn.model import Model
from grucli.parallel import Shards, choose_workers


@pytest.mark.parametrize("workers", [2, 3])
def test_results_depend_on_the_number_of_workers_by_rounding_alone(workers: int) -> None:
    rng = np.random.default_rng(0)
    model = Model(7, 8, 2, np.float64)
    model.initialize(rng)
    x, targets = rng.integers(0, 7, (2, 6, 5))
    state, masks = rng.normal(size=(2, 5, 8)), rng.integers(0, 2, (2, 6, 5, 8)).astype(float)
    one, many = (Shards(model, 6, 5, n, dropout=True) for n in (1, workers))
    loss, last, grads = one.loss_and_gradients(x, targets, state, masks, 0.1)
    loss_many, last_many, grads_many = many.loss_and_gradients(x, targets, state, masks, 0.1)
    assert loss_many == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(last_many, last, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(grads_many.flat, grads.flat, rtol=1e-10, atol=1e-14)


def test_a_repeated_batch_gives_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    model = Model(7, 8, 1)
    model.initialize(rng)
    x, targets = rng.integers(0, 7, (2, 6, 8))
    shards = Shards(model, 6, 8, 2, dropout=False)
    results = [
        shards.loss_and_gradients(x, targets, model.zero_state(8), None, 0.1)[2].flat.copy()
        for _ in range(3)
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grucli.parallel.available_cores", lambda: 8)
    assert choose_workers(None, 64) == 4  # 16 streams each
    assert choose_workers(None, 4) == 1
    assert choose_workers(6, 64) == 6
    assert choose_workers(6, 2) == 2
