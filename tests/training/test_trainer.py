import errno
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grucli.config import Model
from grucli.defaults import learning_rate
from grucli.errors import (
    CheckpointError,
    RunError,
)
from grucli.evaluation import baselines, guessed
from grucli.nn.params import Params
from grucli.run import checkpoint as checkpoints
from grucli.run.writer import RunWriter
from grucli.training import trainer as trainer_module
from grucli.training.events import (
    Evaluated,
    Evaluating,
    RolledBack,
    Saved,
    Skipped,
    Stepped,
)
from grucli.training.plan import resume, start
from grucli.training.trainer import Trainer
from tests.texts import prose
from tests.training.trainers import (
    follow,
    last,
    losses,
    plan_for,
    resumed,
    returns,
    rows,
    trainer_for,
)

TRAJECTORY = Path(__file__).with_name("trajectory.json")


def test_equal_runs_write_equal_checkpoints(text: str) -> None:
    first, second, other = (trainer_for(plan_for(text, train__seed=seed)) for seed in (0, 0, 1))
    for trainer in (first, second, other):
        follow(trainer)
    assert last(first) == last(second)
    assert last(first) != last(other)


def test_stopping_anywhere_and_resuming_ends_where_the_whole_run_ends(text: str) -> None:
    plan = plan_for(text)
    whole = trainer_for(plan)
    follow(whole)
    for stop_at in range(1, 24):
        part = trainer_for(plan, f"stopped-{stop_at}")
        follow(part, stop_at)
        assert part.checkpoint.progress.step == stop_at
        part = resumed(part, plan)
        follow(part)
        assert last(part) == last(whole), stop_at
        clock = ("chars_per_s", "elapsed_s")
        assert rows(part, *clock) == rows(whole, *clock)
        for sample in (whole.run.path / "samples").iterdir():
            assert (part.run.path / "samples" / sample.name).read_bytes() == sample.read_bytes()


def test_stopping_in_an_evaluation_loses_nothing_either(text: str) -> None:
    plan = plan_for(text, train__sample_every=8)
    whole = trainer_for(plan)
    steps = [event.step for event in follow(whole) if isinstance(event, Evaluating)]
    assert len(steps) > 1
    for step in steps:
        part, stopped = trainer_for(plan, f"stopped-{step}"), False
        for event in part.train(lambda: stopped):  # noqa: B023 - asked while the loop runs
            stopped = isinstance(event, Evaluating) and event.step == step
        assert not part.finished
        saved = checkpoints.read(part.run.checkpoints.find("last")).progress
        assert (saved.step, saved.due) == (step, True)
        part = resumed(part, plan)
        follow(part)
        assert part.finished
        assert last(part) == last(whole), step
        clock = ("chars_per_s", "elapsed_s")
        assert rows(part, *clock) == rows(whole, *clock)


@pytest.mark.parametrize(("sample_every", "samples"), [(None, 3), (5, 4)])
def test_stopping_in_a_sample_loses_nothing_either(
    text: str, sample_every: int | None, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, right = plan_for(text, train__sample_every=sample_every), trainer_module.make_sample

    def stopped_in(number: int | None) -> tuple[Trainer, int]:
        begun = itertools.count()

        def make_sample(checkpoint: Any, stop: Callable[[], bool]) -> bytes:
            return right(checkpoint, (lambda: True) if next(begun) == number else stop)

        with monkeypatch.context() as patched:
            patched.setattr(trainer_module, "make_sample", make_sample)
            trainer = trainer_for(plan, f"stopped-{number}")
            follow(trainer)
        return trainer, next(begun)

    whole, made = stopped_in(None)
    assert made == samples
    clock = ("chars_per_s", "elapsed_s")
    for number in range(samples):
        part, begun = stopped_in(number)
        assert (part.finished, begun) == (False, number + 1)
        part = resumed(part, plan)
        follow(part)
        assert last(part) == last(whole), number
        assert rows(part, *clock) == rows(whole, *clock)
        for sample in (whole.run.path / "samples").iterdir():
            assert (part.run.path / "samples" / sample.name).read_bytes() == sample.read_bytes()


def test_evaluating_and_sampling_more_often_changes_nothing(text: str) -> None:
    calm = trainer_for(plan_for(text, train__eval_every=24, sample__length=0))
    busy = trainer_for(plan_for(text, train__eval_every=1, train__sample_every=1))
    assert losses(follow(calm)) == losses(follow(busy))
    np.testing.assert_array_equal(
        calm.checkpoint.model.params.flat, busy.checkpoint.model.params.flat
    )


def test_ten_steps_follow_the_stored_trajectory(text: str) -> None:
    """Catches what a gradient check cannot: optimizer, schedule, clipping, carried state."""
    made = losses(follow(trainer_for(plan_for(text, train__steps=10))))
    stored = json.loads(TRAJECTORY.read_text(encoding="utf-8"))
    np.testing.assert_allclose(made, stored["losses"], rtol=1e-4)


def test_training_learns(text: str) -> None:
    plan = plan_for(
        text,
        train__steps=300,
        model__dropout=0.0,
        model__layers=1,
        model__hidden=32,
        train__batch=8,
    )
    trainer = trainer_for(plan)
    follow(trainer)
    _, unigram = baselines(plan.counts, plan.splits.val)
    assert trainer.checkpoint.progress.best_loss is not None
    assert trainer.checkpoint.progress.best_loss < 0.7 * unigram


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_narrow_stacks_learn_at_their_default_rate(text: str, cell: str) -> None:
    """Their upper layers would saturate while they learn the frequencies of characters."""
    Path(text).write_text(prose(20_000), encoding="utf-8")
    plan = plan_for(
        text,
        model__cell=cell,
        model__layers=3,
        model__hidden=32,
        model__dropout=0.5,
        optim__lr=learning_rate(Model(layers=3, hidden=32)),
        optim__warmup=50,
        train__batch=16,
        train__window=32,
        train__steps=150,
        train__eval_every=150,
        sample__length=0,
    )
    trainer = trainer_for(plan)
    follow(trainer)
    best, guess = trainer.checkpoint.progress.best_loss, guessed(plan.counts, plan.counts)
    assert best is not None
    assert best < 0.85 * guess


def test_a_long_budget_in_minutes_is_evaluated_early_and_then_rarely(text: str) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.4
        return now[0]

    changes: dict[str, Any] = {"train__eval_every": None, "sample__length": 0}
    plan = plan_for(text, train__steps=None, train__minutes=480, **changes)
    plan = replace(plan, eval_every=10**6)  # an epoch of a long text
    run = RunWriter.create(Path("runs"), "early", start(plan), {}, {})
    trainer, times = Trainer(plan, start(plan), run, clock=clock), []
    for event in trainer.train(lambda: now[0] > 2000):
        times += [now[0]] if isinstance(event, Evaluating) else []
    assert 20 <= times[0] < 30
    assert all(1.8 < later / time < 2.5 for time, later in pairwise(times))
    saved = checkpoints.read(trainer.run.checkpoints.find("last"))
    begun, now[0] = now[0], 0.0  # the clock of another process
    again = Trainer(plan, resume(plan, saved), trainer.run, clock=clock)
    events = again.train(lambda: again.elapsed > begun + 300)
    elapsed = [again.elapsed - begun for event in events if isinstance(event, Evaluating)]
    assert 20 <= elapsed[0] < 45


def test_a_long_budget_in_steps_is_evaluated_early_at_equal_steps(text: str) -> None:
    plan = replace(plan_for(text, train__eval_every=None), eval_every=20, early=4)
    whole, part = trainer_for(plan), trainer_for(plan, "part")
    steps = [event.step for event in follow(whole) if isinstance(event, Evaluated)]
    assert steps == [4, 8, 20, 24]
    follow(part, 7)
    part = resumed(part, plan)
    assert [e.step for e in follow(part) if isinstance(e, Evaluated)] == [8, 20, 24]
    assert last(part) == last(whole)


def test_minutes_follow_the_clock_and_end_in_time(text: str) -> None:
    now = [100.0]

    def clock() -> float:
        now[0] += 0.05  # each look at the clock takes a moment
        return now[0]

    plan = plan_for(text, train__steps=None, train__minutes=1.0)
    run = RunWriter.create(Path("runs"), "minutes", start(plan), {}, {})
    run.write_info({})
    trainer = Trainer(plan, start(plan), run, clock=clock)
    trainer.estimate()
    events = list(trainer.train())
    assert 57.0 < now[0] - 100.0 < 63.0
    assert isinstance(events[-1], Saved)
    rates = [float(row["lr"]) for row in rows(trainer)]
    assert rates[-1] < 0.1 * max(rates)


def test_a_time_that_lasts_for_all_epochs_trains_as_the_epochs_do(text: str) -> None:
    changes: dict[str, Any] = {"train__steps": None, "train__eval_every": None}
    epochs = trainer_for(plan_for(text, train__epochs=3.0, **changes), "epochs")
    plan = plan_for(text, train__minutes=90.0, train__most_epochs=3.0, **changes)
    minutes = trainer_for(plan, "minutes")
    assert 0 < minutes.estimate() < 60
    follow(epochs)
    follow(minutes)
    times = ("chars_per_s", "elapsed_s")
    assert rows(minutes, *times) == rows(epochs, *times)
    flat = [one.checkpoint.model.params.flat for one in (epochs, minutes)]
    assert np.array_equal(*flat)


def test_a_time_that_ends_before_the_epochs_is_evaluated_at_epochs(text: str) -> None:
    changes: dict[str, Any] = {"train__steps": None, "train__eval_every": None}
    plan = plan_for(text, train__minutes=1.0, train__most_epochs=1000.0, **changes)
    assert plan.eval_every == 20 * plan.windows.per_epoch
    due = [step for step in range(1, 500) if plan.evaluates(step, waited=2.0, early=20.0)]
    assert due == [*range(plan.windows.per_epoch, 500, plan.windows.per_epoch)]
    assert not plan.evaluates(plan.windows.per_epoch, waited=1.0, early=20.0)


def test_a_run_is_finished_even_if_its_evaluation_was_quicker_than_expected(text: str) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.05
        return now[0]

    plan = plan_for(text, train__steps=None, train__minutes=1.0, train__eval_every=10**6)
    run = RunWriter.create(Path("runs"), "early", start(plan), {}, {})
    run.write_info({})
    trainer = Trainer(plan, start(plan), run, clock=clock)
    trainer.evaluation_seconds = 30.0
    follow(trainer)
    assert now[0] < 40
    assert trainer.finished
    stopped = trainer_for(plan_for(text))
    follow(stopped, 3)
    assert not stopped.finished


def test_an_evaluation_that_is_held_up_once_does_not_shorten_the_run(text: str) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.05
        return now[0]

    plan = plan_for(text, train__steps=None, train__minutes=1.0, train__eval_every=60)
    run = RunWriter.create(Path("runs"), "held-up", start(plan), {}, {})
    run.write_info({})
    trainer = Trainer(plan, start(plan), run, clock=clock)
    for event in trainer.train():
        if isinstance(event, Evaluated) and event.step == 120:
            now[0] += 20.0  # as after Ctrl-Z
    assert now[0] > 50
    assert trainer.evaluation_seconds < 5


def test_what_is_left_is_estimated_from_the_steps_alone(text: str) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    plan = plan_for(text, train__eval_every=10**6, sample__length=0)
    run = RunWriter.create(Path("runs"), "left", start(plan), {}, {})
    run.write_info({})
    trainer = Trainer(plan, start(plan), run, elapsed=1000.0, clock=clock)  # it compiled first
    fails_at(trainer, 13, 14, 15, 16, 17)
    left = [event.remaining_s for event in follow(trainer) if isinstance(event, Stepped)]
    assert max(left) < 20


def test_minutes_can_be_stopped_and_resumed(text: str) -> None:
    plan = plan_for(text, train__steps=None, train__minutes=0.05)
    trainer = trainer_for(plan)
    follow(trainer, 5)
    saved = checkpoints.read(trainer.run.checkpoints.find("last")).progress
    assert saved.seconds is not None
    assert saved.seconds > 0
    again = resumed(trainer, plan)
    assert again.elapsed >= saved.seconds
    follow(again)
    assert again.checkpoint.progress.step > 5


def test_patience_stops_a_run_that_no_longer_improves(text: str) -> None:
    plan = plan_for(
        text, train__patience=2, train__steps=500, optim__lr=0.0001, optim__schedule="constant"
    )
    trainer = trainer_for(plan)
    trainer.checkpoint.progress.best_loss = 2.9
    events = follow(trainer)
    assert len([event for event in events if isinstance(event, Evaluated)]) == 2
    assert trainer.checkpoint.progress.step == 20


def test_a_crash_loses_what_came_after_the_checkpoint_and_makes_it_again(text: str) -> None:
    plan = plan_for(text, train__log_every=1, train__sample_every=1)
    whole, part = trainer_for(plan), trainer_for(plan, "crashed")
    follow(whole)
    for event in part.train():  # to the middle between two checkpoints, and no goodbye
        if isinstance(event, Stepped) and event.step == 17:
            break
    with (part.run.path / "metrics.csv").open("a", encoding="utf-8") as file:
        file.write("18,torn")
    part = resumed(part, plan)
    assert part.checkpoint.progress.step == 10
    assert not (part.run.path / "samples" / "step-00000016.txt").exists()
    follow(part)
    clock = ("chars_per_s", "elapsed_s")
    assert rows(part, *clock) == rows(whole, *clock)
    assert last(part) == last(whole)


def test_a_crash_between_a_last_checkpoint_and_the_last_evaluation_loses_no_evaluation(
    text: str,
) -> None:
    plan = plan_for(text, train__save_minutes=1e-9)
    whole, part = trainer_for(plan), trainer_for(plan, "crashed")
    follow(whole)
    for event in part.train():  # a checkpoint by the clock, and no goodbye
        if isinstance(event, Saved) and part.checkpoint.progress.step == 24:
            break
    saved = checkpoints.read(part.run.checkpoints.find("last"))
    part = Trainer(plan, resume(plan, saved, done=False), part.run)
    follow(part)
    clock = ("chars_per_s", "elapsed_s")
    assert rows(part, *clock) == rows(whole, *clock)
    assert last(part) == last(whole)


def test_a_crash_between_a_checkpoint_and_its_pointer_does_no_harm(text: str) -> None:
    plan = plan_for(text)
    trainer = trainer_for(plan)
    follow(trainer, 10)
    path = trainer.run.checkpoints.find("last")
    trainer.checkpoint.progress.due = False
    checkpoints.write(path, trainer.checkpoint)  # newer than what the pointer was written for
    assert trainer.run.checkpoints.find("last") == path
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        trainer.run.checkpoints.find("last")


def test_a_validation_loss_that_is_not_finite_is_never_the_best(text: str) -> None:
    trainer = trainer_for(plan_for(text))
    trainer.checkpoint.progress.chars = 1
    trainer.checkpoint.model.params.flat[:] = np.nan
    with np.errstate(all="ignore"), pytest.raises(RunError):
        list(trainer._evaluate())
    assert trainer.run.checkpoints.pointer("best") is None


def test_without_validation_text_the_training_loss_decides(text: str) -> None:
    trainer = trainer_for(plan_for(text, data__val=0.0))
    follow(trainer)
    assert {row["split"] for row in rows(trainer)} == {"train"}
    assert trainer.run.checkpoints.find("best").is_file()


def test_without_validation_text_the_rows_do_not_decide_what_is_best(text: str) -> None:
    best = set()
    for often in (1, 3, 10, 25):
        plan = plan_for(text, data__val=0.0, train__steps=60, train__log_every=often)
        trainer = trainer_for(plan, f"every-{often}")
        follow(trainer)
        progress = trainer.checkpoint.progress
        assert progress.best_loss is not None
        best.add((progress.best_step, round(progress.best_loss, 9)))
    assert len(best) == 1


def fails_at(trainer: Trainer, *steps: int, times: int = 1) -> None:
    """Let the loss of some steps be no number, each so many times."""
    original, left = trainer.train_step.shards.loss_and_gradients, dict.fromkeys(steps, times)

    def failing(*arguments: Any) -> tuple[float, np.ndarray, Params]:
        loss, state, grads = original(*arguments)
        step = trainer.checkpoint.progress.step + 1
        if left.get(step):
            left[step] -= 1
            return np.nan, state * np.nan, grads
        return loss, state, grads

    trainer.train_step.shards.loss_and_gradients = failing  # type: ignore[method-assign]


def test_a_step_that_is_not_finite_is_skipped_and_counted(text: str) -> None:
    trainer = trainer_for(plan_for(text))
    fails_at(trainer, 6, 7, 12)
    events = follow(trainer)
    assert [event.step for event in events if isinstance(event, Skipped)] == [6, 7, 12]
    saved = checkpoints.read(trainer.run.checkpoints.find("last"))
    assert (
        saved.progress.skipped,
        saved.progress.consecutive_nonfinite,
        saved.progress.lr_factor,
    ) == (3, 0, 1.0)
    assert saved.finite


def test_a_skipped_step_changes_neither_weights_nor_moments(text: str) -> None:
    trainer = trainer_for(plan_for(text))
    follow(trainer, 5)
    fails_at(trainer, 6)
    before = [
        x.copy() for x in (trainer.checkpoint.model.params.flat, trainer.checkpoint.moments.m)
    ]
    follow(trainer, 6)
    after = trainer.checkpoint.model.params.flat, trainer.checkpoint.moments.m
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(trainer.checkpoint.state, 0.0)


def test_skipped_steps_do_not_weaken_the_first_update(text: str) -> None:
    changes = {"optim__weight_decay": 0.0, "optim__warmup": 0, "optim__input_lr": 1.0}
    trainer = trainer_for(plan_for(text, **changes))
    fails_at(trainer, 1, 2, 3, 4)
    for _ in range(4):
        trainer.step()
    before = trainer.checkpoint.model.params.flat.copy()
    trainer.step()
    change = np.abs(trainer.checkpoint.model.params.flat - before).max()
    assert change == pytest.approx(trainer.checkpoint.progress.lr, rel=1e-3)


def test_characters_are_counted_exactly(text: str) -> None:
    plan = plan_for(text, train__log_every=1, train__steps=80)
    trainer = trainer_for(plan)
    events = follow(trainer)
    assert plan.windows.chars_until(plan.windows.per_epoch) % plan.windows.per_epoch
    read = np.cumsum(
        [plan.windows.window(step % plan.windows.per_epoch)[0].size for step in range(80)]
    )
    assert len([event for event in events if isinstance(event, Stepped)]) == 80
    assert all(int(row["chars"]) == read[int(row["step"]) - 1] for row in rows(trainer))


def test_a_run_with_skipped_steps_resumes_to_the_same_bits(text: str) -> None:
    whole, part = trainer_for(plan_for(text)), trainer_for(plan_for(text))
    fails_at(whole, 6, 7)
    follow(whole)
    fails_at(part, 6)
    follow(part, 6)
    again = resumed(part, plan_for(text))
    fails_at(again, 7)
    follow(again)
    assert last(again) == last(whole)


def test_a_run_that_diverges_goes_back_with_half_the_learning_rates(text: str) -> None:
    trainer = trainer_for(plan_for(text))
    fails_at(trainer, 13, 14, 15, 16, 17)
    events = follow(trainer)
    (back,) = [event for event in events if isinstance(event, RolledBack)]
    assert back.step == 10
    assert "step 17" in back.problem
    steps = [event.step for event in events if isinstance(event, Stepped)]
    assert steps == [*range(1, 13), *range(11, 25)]
    saved = checkpoints.read(trainer.run.checkpoints.find("last"))
    assert (saved.progress.step, saved.progress.lr_factor) == (24, 0.5)
    written = [(int(row["step"]), row["split"]) for row in rows(trainer)]
    assert written == sorted(set(written), key=written.index)
    assert [step for step, _ in written] == sorted(step for step, _ in written)
    rates = {int(row["step"]): float(row["lr"]) for row in rows(trainer)}
    assert rates[20] < 0.5 * rates[10]


def test_a_run_goes_back_as_often_as_needed_and_run_json_tells(text: str) -> None:
    trainer = trainer_for(plan_for(text))
    fails_at(trainer, *range(13, 18), times=2)
    fails_at(trainer, *range(20, 25))
    assert returns(follow(trainer)) == [(10, 0.5), (10, 0.25), (20, 0.125)]
    assert trainer.finished
    told = trainer.run.info.went_back
    assert [(one.step, one.to, one.lr_factor) for one in told] == [
        (17, 10, 0.5),
        (17, 10, 0.25),
        (24, 20, 0.125),
    ]
    assert all("the loss is nan" in str(one.problem) for one in told)


def test_a_run_that_diverges_at_any_rate_ends_with_the_old_checkpoint(text: str) -> None:
    trainer, events = trainer_for(plan_for(text)), []
    fails_at(trainer, *range(13, 25), times=99)
    with pytest.raises(RunError, match=r"the checkpoint of step 10 .* --set optim\.lr=[0-9.]+e-0"):
        events.extend(trainer.train())
    assert [one.lr_factor for one in trainer.run.info.went_back] == [0.5**n for n in range(1, 11)]
    assert checkpoints.read(trainer.run.checkpoints.find("last")).progress.step == 10


def test_a_run_that_diverges_before_its_first_evaluation_starts_again(text: str) -> None:
    trainer = trainer_for(plan_for(text))
    fails_at(trainer, *range(4, 9))
    assert returns(follow(trainer)) == [(0, 0.5)]
    lower = trainer_for(plan_for(text, optim__lr=0.005), "lower")
    follow(lower)
    clock = ("chars_per_s", "elapsed_s")
    assert rows(trainer, *clock) == rows(lower, *clock)
    ends = [checkpoints.read(t.run.checkpoints.find("last")) for t in (trainer, lower)]
    np.testing.assert_array_equal(*(end.model.params.flat for end in ends))


def test_what_waits_for_space_is_written_before_a_run_goes_back(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_for(plan_for(text))
    fails_at(trainer, *range(13, 18))
    write = checkpoints.write

    def full(*arguments: Any) -> None:
        if 10 <= trainer.checkpoint.progress.step < 17:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(checkpoints, "write", full)
    assert returns(follow(trainer)) == [(10, 0.5)]


def test_what_went_back_has_no_later_files(text: str) -> None:
    trainer = trainer_for(plan_for(text, train__keep=9))
    fails_at(trainer, *range(13, 18))
    events = trainer.train(lambda: trainer.checkpoint.progress.step == 15)
    list(events)  # a stop, which writes a later checkpoint
    for event in trainer.train():
        if isinstance(event, Stepped) and event.step == 11:
            break
    names = {path.name for path in trainer.run.path.rglob("step-*")}
    assert names == {"step-00000000.npz", "step-00000010.npz", "step-00000010.txt"}
    saved = checkpoints.read(trainer.run.checkpoints.find("last"))
    assert (saved.progress.step, saved.progress.lr_factor) == (10, 0.5)


def test_a_run_that_stays_at_the_frequencies_starts_again_by_itself(text: str) -> None:
    changes = {"optim__lr": 3.0, "train__steps": 500, "train__eval_every": 50}
    trainer = trainer_for(plan_for(text, sample__length=0, **changes))
    back = returns(follow(trainer))
    assert len(back) > 1
    best = trainer.checkpoint.progress.best_loss
    assert best is not None
    assert best < 0.95 * guessed(trainer.plan.counts, trainer.plan.counts)


def test_weights_that_are_not_finite_are_never_saved(text: str) -> None:
    trainer = trainer_for(plan_for(text))
    follow(trainer, 12)
    for attempt in range(11):
        trainer.checkpoint.model.params.flat[:] = np.nan
        if attempt == 10:
            before = last(trainer)
            with np.errstate(all="ignore"), pytest.raises(RunError, match="was saved before that"):
                list(trainer.train(lambda: True))
            assert last(trainer) == before
        else:  # mended by going back, even though it is about to stop
            with np.errstate(all="ignore"):
                events = list(trainer.train(lambda: True))
            assert returns(events) == [(10, 0.5 ** (attempt + 1))]
            assert "weights or states are not finite" in str(events)
            assert checkpoints.read(trainer.run.checkpoints.find("last")).finite
