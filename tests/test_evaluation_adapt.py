"""Dynamic evaluation."""

import math

import numpy as np
import pytest

from grucli import evaluation
from grucli.errors import ArgumentError
from grucli.evaluation import Score, adapt, best_rates, evaluate
from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids

V = 7


def make(cell: str = "gru", layers: int = 1, dtype: str = "float64", **named: int) -> Model:
    model, rng = Model(V, 6, layers, dtype, cell=cell, **named), np.random.default_rng(0)
    model.initialize(rng)
    model.params.flat += rng.normal(0, 0.4, model.params.flat.shape)
    return model


def text(length: int, seed: int = 1) -> Ids:
    """A text in which some symbols often follow others, and one symbol never occurs."""
    drawn = np.random.default_rng(seed).integers(0, V - 1, length)
    drawn[1::2] = (drawn[::2][: length // 2] + 1) % (V - 1)
    return drawn.astype(np.uint8)


def by_the_formula(model: Model, ids: Ids, rate: float, decay: float) -> tuple[float, Array]:
    """The nats and the last weights, by the equations in the docstrings alone."""
    learner = model.astype(np.float64)
    theta, theta_0 = learner.params.flat, model.params.flat.copy()
    nats, state, gradients = 0.0, learner.zero_state(1), []
    grads = learner.params.like()
    for lo in range(0, len(ids) - 1, 32):
        x, y = ids[lo : lo + 32][:, None], ids[lo + 1 : lo + 33][:, None]
        x, T = x[: len(y)], len(y)
        loss, state, _ = learner.loss_and_gradients(
            x, y, state, learner.workspace(T, 1), grads, scale=1 / T
        )
        g = grads.flat.copy()
        nats += loss
        gradients.append(g * min(1.0, evaluation.CLIP / np.linalg.norm(g)))
        m = np.mean(np.square(gradients), axis=0)
        theta += -rate * gradients[-1] / (np.sqrt(m) + 1e-8) + decay * (theta_0 - theta)
    return nats, theta


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_it_is_the_formula(cell: str, layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grucli.nn.optim.CHUNK", 50)
    model, ids = make(cell, layers), text(170)
    score, learner = adapt(model, ids, 0.01, 0.1)
    nats, theta = by_the_formula(model, ids, 0.01, 0.1)
    assert score.chars == len(ids) - 1
    assert score.nats == pytest.approx(nats, rel=1e-12)
    np.testing.assert_allclose(learner.params.flat, theta, rtol=1e-10, atol=1e-12)


def test_documents_follow_the_formula() -> None:
    model, ids = make(separator=0), text(170)
    nats, theta = by_the_formula(model, np.append(0, ids), 0.01, 0.1)
    score, learner = adapt(model, ids, 0.01, 0.1)
    assert score.chars == len(ids)
    assert score.nats == pytest.approx(nats, rel=1e-12)
    np.testing.assert_allclose(learner.params.flat, theta, rtol=1e-10, atol=1e-12)


def test_the_model_itself_is_not_changed_and_learns() -> None:
    model, ids = make(dtype="float32"), text(3000)
    before = model.params.flat.copy()
    score, learner = adapt(model, ids, 0.01, 0.001)
    np.testing.assert_array_equal(model.params.flat, before)
    assert learner.params.flat.dtype == np.float32
    assert score.loss < evaluate(model, ids).loss - 0.3
    assert evaluate(learner, text(500, seed=2)).loss < evaluate(model, text(500, seed=2)).loss


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [2, 33, 34, 3000])
def test_without_learning_it_is_the_evaluation(dtype: str, length: int) -> None:
    model, ids = make(dtype=dtype), text(length)
    score, learner = adapt(model, ids, 0.0, 0.5)
    static = evaluate(model, ids)
    assert (score.chars, score.correct) == (static.chars, static.correct)
    assert score.loss == pytest.approx(static.loss, abs=1e-4 if length > 2000 else 1e-6)
    np.testing.assert_array_equal(learner.params.flat, model.params.flat)


def test_the_same_bytes_each_time() -> None:
    model, ids = make(dtype="float32"), text(500)
    results = [adapt(model, ids, 0.01, 0.01) for _ in range(3)]
    assert len({score for score, _ in results}) == 1
    assert len({learner.params.flat.tobytes() for _, learner in results}) == 1


@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_a_rate_that_is_too_high_is_worse_and_not_nan(rate: float) -> None:
    model, ids = make(dtype="float32", layers=2), text(5000)
    score, learner = adapt(model, ids, rate, 0.0)
    assert math.isfinite(score.nats)
    assert np.isfinite(learner.params.flat).all()
    assert score.loss > evaluate(model, ids).loss


def test_a_gradient_that_is_not_finite_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def infinite(gradient: Array, limit: float) -> float:
        gradient[:] = np.nan
        return math.nan

    monkeypatch.setattr(evaluation, "clip_", infinite)
    model, ids = make(), text(100)
    score, _ = adapt(model, ids, 0.01, 0.0)
    assert score.nats == pytest.approx(evaluate(model, ids).nats)


def test_the_best_of_what_is_tried_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(model: Model, ids: Ids, rate: float, decay: float) -> tuple[Score, Model]:
        tried.append((rate, decay))
        return Score(1, abs(math.log(rate / 0.0041)) + abs(decay - 0.009), 0), model

    tried: list[tuple[float, float]] = []
    monkeypatch.setattr(evaluation, "adapt", loss)
    assert best_rates(make(), text(100)) == (0.004, 0.01)
    assert len(tried) == len(set(tried)) <= 8


def test_a_rate_without_a_loss_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(model: Model, ids: Ids, rate: float, decay: float) -> tuple[Score, Model]:
        nats = math.nan if rate > 0.001 else 1.0 + (rate < 0.001) + abs(decay - 0.002)
        return Score(1, nats, 0), model

    monkeypatch.setattr(evaluation, "adapt", run)
    assert best_rates(make(), text(100)) == (0.001, 0.002)


@pytest.mark.parametrize("values", [(-0.1, 0), (2, 0), (math.nan, 0), (0, -1), (0, math.inf)])
def test_bad_values(values: tuple[float, float]) -> None:
    with pytest.raises(ArgumentError, match="must be from 0 to 1"):
        adapt(make(), text(9), *values)
