import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grucli import evaluation
from grucli.errors import ArgumentError
from grucli.evaluation import Score, baselines, differ_in_kind, evaluate
from grucli.nn.model import Model
from grucli.nn.params import Ids
from grucli.nn.stepper import Stepper


@pytest.fixture
def model() -> Model:
    model = Model(7, 8, 2)
    rng = np.random.default_rng(0)
    model.initialize(rng)
    model.params.flat += rng.normal(0, 0.3, model.params.flat.shape).astype(np.float32)
    return model


def in_one_pass(model: Model, ids: Ids) -> tuple[float, int]:
    """Sum of nats, and correct guesses, character by character."""
    stepper, nats, correct = Stepper(model, 1), 0.0, 0
    for x, target in pairwise(ids):
        row = stepper.step(np.array([x]))[0].astype(np.float64)
        nats -= row[target] - row.max() - math.log(np.exp(row - row.max()).sum())
        correct += int(row.argmax() == target)
    return nats, correct


@pytest.mark.parametrize("length", [2, 5, 128, 129, 130, 600])
def test_a_short_text_is_read_in_one_pass(model: Model, length: int) -> None:
    ids = np.random.default_rng(1).integers(0, 7, length).astype(np.uint8)
    score = evaluate(model, ids)
    nats, correct = in_one_pass(model, ids)
    assert score.chars == length - 1
    assert score.nats == pytest.approx(nats, rel=1e-5)
    assert score.correct == correct


@pytest.fixture
def _many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of two pieces, so that even a small model's are shared by threads."""
    monkeypatch.setattr(evaluation, "GROUP", 1)
    monkeypatch.setattr(evaluation, "FEWEST", 2)


@pytest.mark.usefixtures("_many_groups")
@pytest.mark.parametrize("length", [2049, 2050, 5000, 70_001])
@pytest.mark.parametrize("workers", [1, 2])
def test_pieces_cover_a_long_text_once_and_agree_with_one_pass(
    model: Model, length: int, workers: int
) -> None:
    ids = np.random.default_rng(1).integers(0, 7, length).astype(np.uint8)
    score = evaluate(model, ids, workers)
    assert score.chars == length - 1
    if length < 10_000:
        nats, _ = in_one_pass(model, ids)
        assert score.loss == pytest.approx(nats / (length - 1), abs=1e-3)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    model, rng = Model(200, 300, 1), np.random.default_rng(0)  # its products round by their rows
    model.initialize(rng)
    model.params.flat += rng.normal(0, 0.05, model.params.flat.shape).astype(np.float32)
    ids = rng.integers(0, 200, 30_000).astype(np.uint8)
    alone = evaluate(model, ids)
    assert [evaluate(model, ids, workers) for workers in (2, 3, 8)] == 3 * [alone]


def in_windows(model: Model, ids: Ids, context: int) -> tuple[float, int]:
    """Nats and correct guesses, each window from the zero state, also where a document begins."""
    nats, correct, read = 0.0, 0, 0
    for x, target in pairwise(ids):
        if read % context == 0 or x == model.separator:
            stepper, read = Stepper(model, 1), 0
        row = stepper.step(np.array([x]))[0].astype(np.float64)
        nats -= row[target] - row.max() - math.log(np.exp(row - row.max()).sum())
        correct, read = correct + int(row.argmax() == target), read + 1
    return nats, correct


@pytest.mark.usefixtures("_many_groups")
@pytest.mark.parametrize("context", [1, 2, 7, 64, 299, 300, 301, 10**30])
@pytest.mark.parametrize("separator", [None, 3])
@pytest.mark.parametrize("begins", [True, False])
def test_the_context_is_at_most_so_many_symbols(
    model: Model, context: int, separator: int | None, *, begins: bool
) -> None:
    model.separator = separator
    ids = np.random.default_rng(2).integers(0, 7, 301).astype(np.uint8)
    ids[100:200] = np.where(ids[100:200] == 3, 4, ids[100:200])  # a long document
    read = ids if separator is None or not begins else np.append(separator, ids)
    nats, correct = in_windows(model, read, context)
    for workers in (1, 2):
        score = evaluate(model, ids, workers, begins=begins, context=context)
        assert score.chars == len(read) - 1
        assert score.nats == pytest.approx(nats, rel=1e-5)
        assert score.correct == correct
    parts = [
        evaluate(model, ids, begins=begins, context=context, part=(part, 3)) for part in range(3)
    ]
    assert sum(parts, evaluation.NOTHING).chars == len(read) - 1


def test_a_context_has_at_least_one_symbol(model: Model) -> None:
    with pytest.raises(ArgumentError, match="context must be 1 or above, not 0"):
        evaluate(model, np.arange(7), context=0)


@given(st.integers(2049, 500_000))
def test_every_character_is_scored_exactly_once(N: int) -> None:
    pieces = min(evaluation.STREAMS, N // evaluation.PIECE)
    starts, scored_from, length = evaluation._cut(N, pieces)
    assert starts[0] == 0
    first, last = starts + scored_from, starts + length
    assert first[0] == 0
    assert last[-1] == N
    np.testing.assert_array_equal(first[1:], last[:-1])
    assert (scored_from[1:] >= evaluation.WARM_UP).all()


def test_scores_add_up() -> None:
    total = Score(10, 20.0, 5) + Score(30, 20.0, 10)
    assert total.loss == 1.0
    assert total.bits == pytest.approx(1 / math.log(2))
    assert total.perplexity == pytest.approx(math.e)
    assert total.accuracy == 0.375


def test_baselines() -> None:
    uniform, unigram = baselines(np.array([2, 1, 1]), np.array([0, 1, 2, 0]))
    assert uniform == pytest.approx(math.log(3))
    assert unigram == pytest.approx(1.5 * math.log(2))


def test_the_guess_is_judged_on_the_text_of_the_loss() -> None:
    counts = np.array([4, 2, 2])
    assert baselines(counts, np.array([0, 0]))[1] == pytest.approx(math.log(2))
    assert baselines(counts, np.array([2, 2]))[1] == pytest.approx(math.log(4))
    unseen = baselines(np.array([4, 4, 0]), np.array([2]))[1]  # it counts as half an occurrence
    assert unseen == pytest.approx(-math.log(0.5 / 8.5))


def test_texts_differ_in_kind_by_more_than_chance() -> None:
    rng = np.random.default_rng(0)
    for V, N in ((60, 200), (60, 10**5), (3000, 400), (3000, 10**5)):
        p = 1 / np.arange(1, V + 1) / (1 / np.arange(1, V + 1)).sum()
        train, held = rng.choice(V, 9 * N, p=p), rng.choice(V, N, p=p)
        counts = np.bincount(train, minlength=V)
        assert not differ_in_kind(counts, held)
        assert differ_in_kind(counts, V - 1 - held)
    assert not differ_in_kind(counts, np.array([], np.intp))


@pytest.mark.usefixtures("_many_groups")
@pytest.mark.parametrize("workers", [1, 2])
def test_an_evaluation_can_be_stopped(model: Model, workers: int) -> None:
    ids, asked = np.arange(9000) % 7, []

    def stop() -> bool:
        asked.append(len(asked))
        return len(asked) >= 3

    with pytest.raises(evaluation.Stopped):
        evaluate(model, ids, workers, stop)
    assert len(asked) <= 2 + workers


@pytest.mark.usefixtures("_many_groups")
def test_the_other_threads_end_with_an_interrupted_one(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How soon depends on the scheduler; without an end they would read some 130 windows more."""
    original, windows = model.score, []

    def interrupted(*arguments: object, **named: object) -> object:
        windows.append(None)
        if len(windows) == 4:
            raise KeyboardInterrupt
        return original(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "score", interrupted)
    with pytest.raises((KeyboardInterrupt, evaluation.Stopped)):
        evaluate(model, np.arange(240_000) % 7, 2)
    assert len(windows) < 60
