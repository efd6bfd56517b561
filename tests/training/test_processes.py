import os
import signal
from contextlib import closing
from multiprocessing import Pipe

import numpy as np
import pytest

from grucli.errors import RunError, WorkerError
from grucli.nn.dropout import Dropout
from grucli.nn.gradcheck import gradients_of, toy
from grucli.nn.model import Model
from grucli.training.processes import Shards, choose_workers

DROPOUT, NO_DROPOUT = Dropout(0.3, (1, 2, 3)), Dropout(0.0, ())


def batch(dtype: type) -> tuple[Model, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    model = Model(7, 8, 2, dtype)
    model.initialize(rng)
    x, targets = rng.integers(0, 7, (2, 6, 5))
    return model, (x, targets, rng.normal(size=(2, 5, 8)))


@pytest.mark.parametrize("dropout", [DROPOUT, DROPOUT._replace(rate=0.0, recurrent=0.3)])
@pytest.mark.parametrize("workers", [2, 3])
def test_results_depend_on_the_number_of_workers_by_rounding_alone(
    workers: int, dropout: Dropout
) -> None:
    model, arguments = batch(np.float64)
    with (
        closing(Shards(model, 6, range(5), 1, dropout)) as one,
        closing(Shards(model, 6, range(5), workers, dropout)) as many,
    ):
        for _ in range(2):  # the second time with parameters that have changed
            loss, last, grads = one.loss_and_gradients(*arguments, 0.1, dropout)
            loss_many, last_many, grads_many = many.loss_and_gradients(*arguments, 0.1, dropout)
            assert loss_many == pytest.approx(loss, rel=1e-13)
            np.testing.assert_allclose(last_many, last, rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(grads_many.flat, grads.flat, rtol=1e-10, atol=1e-14)
            model.params.flat[:] *= 1.1


def test_a_repeated_batch_gives_the_same_bits() -> None:
    model, arguments = batch(np.float32)
    with closing(Shards(model, 6, range(5), 2, DROPOUT)) as shards:
        results = [
            shards.loss_and_gradients(*arguments, 0.1, DROPOUT)[2].flat.copy() for _ in range(3)
        ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_worker_that_dies_is_an_error_and_not_a_hang() -> None:
    model, arguments = batch(np.float32)
    with closing(Shards(model, 6, range(5), 2, NO_DROPOUT)) as shards:
        shards.loss_and_gradients(*arguments, 0.1, NO_DROPOUT)
        shards.others[0].process.kill()
        with pytest.raises(RunError, match=r"ended by signal 9 \(Killed\), which systems send"):
            shards.loss_and_gradients(*arguments, 0.1, NO_DROPOUT)


def test_memory_is_named_only_where_it_may_have_run_out() -> None:
    model, arguments = batch(np.float32)
    with closing(Shards(model, 6, range(5), 2, NO_DROPOUT)) as shards:
        os.kill(shards.others[0].process.pid or 0, signal.SIGSEGV)
        with pytest.raises(RunError, match=r"by signal 11 \(Segmentation fault\); if memory has"):
            shards.loss_and_gradients(*arguments, 0.1, NO_DROPOUT)


def test_a_worker_that_says_why_it_ends_is_heard_before_the_next_task() -> None:
    model, arguments = batch(np.float32)
    with closing(Shards(model, 6, range(5), 2, NO_DROPOUT)) as shards:
        theirs, ours = Pipe()
        shards.others[0].connection.close()
        shards.others[0].connection = ours
        theirs.send(MemoryError())
        theirs.close()
        with pytest.raises(WorkerError, match="a worker process has run out of memory"):
            shards.loss_and_gradients(*arguments, 0.1, NO_DROPOUT)


def test_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grucli.training.processes.available_cores", lambda: 8)
    assert choose_workers("auto", 64) == 4  # 16 streams each
    assert choose_workers("auto", 4) == 1
    assert choose_workers("auto", 64, ranks=4) == 2  # ranks share the cores of a machine
    assert choose_workers("auto", 64, ranks=16) == 1
    assert choose_workers(6, 64) == 6
    assert choose_workers(6, 2) == 2
    assert choose_workers(1, 0) == 1  # a rank without streams, before this is refused


def test_dropped_recurrent_weights_get_no_gradient_and_stay_as_they_are() -> None:
    model, arguments = batch(np.float64)
    before = model.params.flat.copy()
    plain = Model(7, 8, 2, np.float64)
    masked = DROPOUT._replace(rate=0.0, recurrent=0.4)
    with closing(Shards(model, 6, range(5), 2, masked)) as shards:
        loss, _, grads = shards.loss_and_gradients(*arguments, 0.1, masked)
        np.testing.assert_array_equal(model.params.flat, before)
        masks = shards._drop_recurrent(masked)
        plain.params.flat[:] = shards.used.flat
    expected = plain.params.like()
    expected_loss, _, _ = plain.loss_and_gradients(
        *arguments, plain.workspace(6, 5), expected, scale=0.1
    )
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    for name, mask in masks.items():
        assert (mask == 0).any()
        np.testing.assert_allclose(grads[name], mask * expected[name], rtol=1e-10, atol=1e-14)


def test_processes_with_unequal_shards_share_the_blocks() -> None:
    model, window = toy(V=7, H=256, L=2, T=3, B=33, dropout=0.0, seed=0)
    expected = gradients_of(model, window)
    with closing(Shards(model, 3, range(33), 2, NO_DROPOUT)) as shards:
        of_window = window.x, window.targets, window.state
        _, _, grads = shards.loss_and_gradients(*of_window, 1.0, NO_DROPOUT)
    for name in ("layer1.W_h", "layer2.W_x", "output.W_hc"):
        np.testing.assert_allclose(grads[name], expected_of(expected, name), rtol=1e-8, atol=1e-10)


def expected_of(gradients: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The gradient of a whole array from those of its gates."""
    gates = [array for block, array in gradients.items() if block.startswith(name)]
    return gates[0] if len(gates) == 1 else np.array(gates)
