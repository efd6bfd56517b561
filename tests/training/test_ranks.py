"""The ranks of a run, here as threads of one process; ``test_mpi.py`` starts them with mpiexec."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grucli import evaluation
from grucli.config import resolve
from grucli.data.corpus import read
from grucli.errors import RunError
from grucli.evaluation import Stopped
from grucli.run.checkpoint import Checkpoint
from grucli.training.plan import make_plan, start
from grucli.training.ranks import ALONE, Ended
from grucli.training.step import Gradient, TrainStep
from tests.texts import prose
from tests.thread_ranks import Room, ThreadRanks


def settings(**values: object) -> Any:
    base = {
        "model.hidden": 12,
        "train.batch": 64,
        "train.window": 8,
        "train.workers": 1,
        "train.products": "numpy",
    }
    return resolve([("test", base | {key.replace("__", "."): v for key, v in values.items()})])


def together(
    size: int, work: Callable[[TrainStep], None], **values: object
) -> tuple[list[Checkpoint], list[BaseException]]:
    """The states of all ranks after they have worked, and the errors of all ranks."""
    Path("text.txt").write_text(prose(9000), encoding="utf-8")
    corpus = read(["text.txt"], settings(**values).data)
    room, errors = Room(size), []
    states: list[Any] = [None] * size

    def run(rank: int) -> None:
        try:
            ranks = ThreadRanks(rank, size, room) if size > 1 else ALONE
            plan = make_plan(settings(**values), corpus, ranks)
            states[rank] = start(plan)
            if rank:
                states[rank].model.params.flat[:] = 0  # what rank 0 knows must come from it
            with closing(TrainStep(plan, states[rank])) as step, np.errstate(all="ignore"):
                step.synchronize()
                work(step)
        except BaseException as error:
            errors.append(error)
            room.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return states, errors


def update(step: TrainStep, used: float = 0.0) -> Gradient:
    gradient = step.gradient()
    step.update(gradient, used)
    return gradient


def three_steps(step: TrainStep) -> None:
    for _ in range(3):
        assert update(step, 0.1).finite
    step.collect_states()


@pytest.mark.parametrize("batch", [64, 63])
@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"model__dropout": 0.4, "model__weight_dropout": 0.3, "model__layers": 2},
        {"model__cell": "lstm"},
    ],
)
def test_any_number_of_ranks_takes_the_same_steps(batch: int, kind: dict[str, object]) -> None:
    (alone,), errors = together(1, three_steps, train__batch=batch, **kind)
    assert not errors
    assert alone.progress.step == 3
    for size in (2, 3, 5):
        states, errors = together(size, three_steps, train__batch=batch, **kind)
        assert not errors
        for state in states:
            np.testing.assert_array_equal(state.model.params.flat, states[0].model.params.flat)
            np.testing.assert_array_equal(state.moments.v, states[0].moments.v)
            np.testing.assert_array_equal(state.state, states[0].state)
            assert state.progress.step == 3
            for found, expected in (
                (state.model.params.flat, alone.model.params.flat),
                (state.state, alone.state),
            ):
                np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        assert states[0].progress.loss_sum == pytest.approx(alone.progress.loss_sum, rel=1e-6)
        assert states[0].progress.chars == alone.progress.chars


def test_equal_ranks_give_equal_bits() -> None:
    first, _ = together(3, three_steps, model__dropout=0.4)
    again, _ = together(3, three_steps, model__dropout=0.4)
    np.testing.assert_array_equal(first[2].model.params.flat, again[0].model.params.flat)


def test_ranks_clip_alike_though_their_processors_round_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: dict[int, int] = {}

    class Rounding:
        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

        def dot(self, a: Any, b: Any) -> Any:
            rank = threads.setdefault(threading.get_ident(), len(threads))
            return np.dot(a, b) * np.float32(1 + 1e-5 * rank)

    monkeypatch.setattr("grucli.nn.optim.np", Rounding())
    states, errors = together(3, three_steps, optim__clip=0.01)
    assert not errors
    assert len(threads) == 3
    for state in states:
        np.testing.assert_array_equal(state.model.params.flat, states[0].model.params.flat)


def test_each_rank_reads_its_own_streams_with_its_own_masks() -> None:
    """A rank that read the streams of another, or drew its masks, would change the sum."""
    found: list[float] = []

    def work(step: TrainStep) -> None:
        found.append(update(step).norm)

    for size in (1, 2, 3):
        together(size, work, model__dropout=0.5, train__batch=63)
    assert found[1:] == pytest.approx([found[0]] * 5, rel=1e-5)


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an evaluation have parts for all ranks."""
    monkeypatch.setattr(evaluation, "PIECE", 200)
    monkeypatch.setattr(evaluation, "GROUP", 1)
    monkeypatch.setattr(evaluation, "FEWEST", 3)


@pytest.mark.usefixtures("small_groups")
def test_ranks_share_an_evaluation() -> None:
    losses: list[float] = []

    def work(step: TrainStep) -> None:
        three_steps(step)
        losses.append(step.validation_loss(lambda: False))

    for size in (1, 2, 4):
        _, errors = together(size, work, data__val=0.3)
        assert not errors
        assert losses[-size:] == [losses[-1]] * size
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-6)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("asked", [0, 1])
def test_a_stop_of_one_rank_stops_the_evaluation_of_all(asked: int) -> None:
    def work(step: TrainStep) -> None:
        with pytest.raises(Stopped):
            step.validation_loss(lambda: step.ranks.rank == asked)
        assert update(step).finite  # the ranks still understand each other

    _, errors = together(2, work, data__val=0.3)
    assert not errors


def test_a_step_that_is_not_finite_is_skipped_by_all() -> None:
    def work(step: TrainStep) -> None:
        three_steps(step)
        params = step.checkpoint.model.params.flat
        before = params.copy()
        if step.ranks.rank == 1:
            params[:] = np.nan
        assert not update(step).finite
        params[:] = before
        assert update(step).finite
        step.collect_states()

    states, errors = together(3, work)
    assert not errors
    for state in states:
        assert (state.progress.step, state.progress.skipped) == (5, 1)
        np.testing.assert_array_equal(state.model.params.flat, states[0].model.params.flat)


def test_parameters_that_differ_are_an_error_that_names_the_rank() -> None:
    def work(step: TrainStep) -> None:
        three_steps(step)
        if step.ranks.rank == 1:
            step.checkpoint.model.params.flat[3] += 1e-4  # as a broken memory would
        step.validation_loss(lambda: False)

    _, errors = together(3, work)
    (message, *_) = [str(error) for error in errors if isinstance(error, RunError)]
    assert "rank 1 on host1 has other parameters than rank 0 on host0" in message


def test_a_broadcast_keeps_every_bit() -> None:
    odd = np.array([-0.0, np.nan, 1e-42, np.inf, -1.5], np.float32)
    room, found = Room(2), {}

    def run(rank: int) -> None:
        array = odd.copy() if rank == 0 else np.full(5, 7.0, np.float32)
        ranks = ThreadRanks(rank, 2, room)
        ranks.broadcast_(array)
        numbers = ranks.meet(0.5, rank)
        found[rank] = array.tobytes(), ranks.exchange(("value", rank)), numbers
        if rank == 0:
            ranks.end()
            return
        with pytest.raises(Ended):
            ranks.meet(1.0)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert found[0] == found[1] == (odd.tobytes(), [("value", 0), ("value", 1)], [0.5, 0])
