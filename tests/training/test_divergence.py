from dataclasses import replace
from typing import Any

import pytest

from grucli.defaults import learning_rate
from grucli.errors import (
    DivergedError,
)
from grucli.evaluation import guessed
from grucli.run.checkpoint import Progress
from grucli.training.divergence import check_learning
from grucli.training.events import (
    Evaluated,
)
from tests.training.trainers import (
    follow,
    plan_for,
    returns,
    trainer_for,
)


def learning(**values: Any) -> Progress:
    return Progress(step=300, train_loss=3.5, best_step=250, best_loss=3.5, **values)


def test_what_is_no_better_than_a_guess_has_learned_nothing(text: str) -> None:
    plan = plan_for(text, optim__lr=0.04)
    guess = guessed(plan.counts, plan.counts)
    assert guess < 3
    stuck = learning()
    with pytest.raises(DivergedError, match=r"is 3\.4; guessing characters by their frequency"):
        check_learning(plan, stuck, 3.4)
    assert stuck.best_step is None
    lost = replace(learning(), best_loss=2.0, lr_factor=0.01, step=50)
    with pytest.raises(DivergedError, match=r"is 3\.4; it was 2 at step 250, and guessing"):
        check_learning(plan, lost, 3.4)
    assert lost.best_step == 250
    for sound, loss in [
        (replace(learning(), step=199), 3.5),  # it has just begun
        (replace(learning(), lr_factor=0.125), 3.5),  # its rate is not too high
        (replace(learning(), train_loss=1.0), 9.9),  # it memorizes its text
        (learning(), 2.0),
        (replace(lost, lr_factor=2.0**-10), 3.4),  # it cannot be helped
    ]:
        check_learning(plan, sound, loss)
        assert sound.best_step == 250


def test_a_rate_is_low_by_the_defaults_for_the_budget_of_the_run(text: str) -> None:
    """A long budget in epochs has a low rate by default, which is not too low to be the cause."""
    plan = plan_for(text, train__steps=None, train__epochs=1e6)
    usual = learning_rate(plan.settings.model, plan.settings.train)
    optim = plan.settings.optim.model_copy(update={"lr": usual / 4})  # as for 480,000 steps
    plan = replace(plan, settings=plan.settings.model_copy(update={"optim": optim}))
    with pytest.raises(DivergedError, match="guessing characters by their frequency"):
        check_learning(plan, replace(learning(), lr_factor=0.5), 3.4)


def test_a_quarter_of_what_was_learned_is_lost_only_by_a_divergence(text: str) -> None:
    """Both losses: with dropout the training loss is high, and validation losses rise in time."""
    plan = plan_for(text)
    guess = guessed(plan.counts, plan.counts)
    limit = 1.5 + (guess - 1.5) / 4
    for train, val in [(limit + 1, limit - 0.01), (limit - 0.01, limit + 1)]:
        check_learning(plan, replace(learning(), best_loss=1.5, train_loss=train), val)
    diverged = replace(learning(), best_loss=1.5, train_loss=limit + 0.01, lr_factor=0.125)
    with pytest.raises(DivergedError, match="at step 250"):
        check_learning(plan, diverged, limit + 1)


def test_a_run_that_diverges_slowly_goes_back_to_its_best_evaluation(text: str) -> None:
    """The last evaluation before the divergence is seen may be on the way to it."""
    trainer = trainer_for(plan_for(text, train__steps=40))
    losses = iter([1.0, 1.2, 9.9, 0.9, 0.9, 0.9])
    trainer._validation_loss = lambda: next(losses)  # type: ignore[method-assign]
    events = follow(trainer)
    assert returns(events) == [(10, 0.5)]
    evaluated = [event.step for event in events if isinstance(event, Evaluated)]
    assert evaluated == [10, 20, 20, 30, 40]


def test_losses_that_are_finite_but_absurd_are_a_divergence(text: str) -> None:
    """Twenty in a row; a shorter outburst passes, but no evaluation counts while it lasts."""
    for count, expected in [(19, []), (20, [(10, 0.5)])]:
        trainer = trainer_for(plan_for(text, train__steps=60))
        original, where = (
            trainer.train_step.shards.loss_and_gradients,
            trainer.checkpoint.progress,
        )

        def absurd(
            *arguments: Any, count: int = count, where: Any = where, original: Any = original
        ) -> Any:
            loss, state, grads = original(*arguments)
            bad = where.lr_factor == 1 and 12 <= where.step + 1 < 12 + count
            return (loss + 2e4 if bad else loss), state, grads

        trainer.train_step.shards.loss_and_gradients = absurd  # type: ignore[method-assign]
        events = follow(trainer)
        assert returns(events) == expected
        evaluated = [event.step for event in events if isinstance(event, Evaluated)]
        assert evaluated == [10, *((20, 30) if expected else ()), 40, 50, 60]
