from contextlib import closing

import numpy as np

from grucli.training.events import Stepped
from grucli.training.plan import start
from grucli.training.step import TrainStep
from tests.training.trainers import follow, plan_for, trainer_for


def test_a_training_step_needs_no_run_directory(text: str) -> None:
    plan = plan_for(text)
    trainer, train_step = trainer_for(plan), TrainStep(plan, start(plan))
    with closing(train_step), closing(trainer):
        for _ in range(5):
            used = trainer.used(trainer.now)
            gradient, event = train_step.gradient(), trainer.step()
            train_step.update(gradient, used)
            assert isinstance(event, Stepped)
            assert gradient.loss / gradient.chars == event.loss
    np.testing.assert_array_equal(
        train_step.checkpoint.model.params.flat, trainer.checkpoint.model.params.flat
    )


def test_one_step_changes_every_parameter(text: str) -> None:
    trainer = trainer_for(plan_for(text, train__steps=1, model__dropout=0.0))
    views = dict(trainer.checkpoint.model.params.items())
    names = {name: array.copy() for name, array in views.items()}
    follow(trainer)
    seen = np.unique(trainer.plan.windows.window(0)[0])
    for name, array in views.items():
        changed = array != names[name]
        if name == "layer1.W_x":
            changed = changed[:, seen]  # other characters stay as they are
        assert changed.mean() > 0.9, name  # a few gradients are too small to move a float32


def test_the_state_is_carried_and_reset_at_each_epoch(text: str) -> None:
    plan = plan_for(text, model__dropout=0.0)
    trainer = trainer_for(plan)
    per_epoch = plan.windows.per_epoch
    states = []
    original = trainer.train_step.shards.loss_and_gradients

    def spy(x, targets, state, scale, dropout):  # type: ignore[no-untyped-def]
        states.append(state.copy())
        return original(x, targets, state, scale, dropout)

    trainer.train_step.shards.loss_and_gradients = spy  # type: ignore[method-assign]
    for _ in range(per_epoch + 2):
        trainer.step()
    assert not states[0].any()
    assert all(state.any() for state in states[1:per_epoch])
    assert not states[per_epoch].any()
    assert states[per_epoch + 1].any()


def test_weight_decay_is_the_learning_rate_times_it(text: str) -> None:
    plain, decaying = (
        trainer_for(plan_for(text, optim__weight_decay=decay, optim__warmup=0))
        for decay in (0.0, 0.5)
    )
    before = plain.checkpoint.model.params["layer1.W_h"].copy()
    for trainer in (plain, decaying):
        trainer.step()
    difference = (
        plain.checkpoint.model.params["layer1.W_h"] - decaying.checkpoint.model.params["layer1.W_h"]
    )
    lr = plain.checkpoint.progress.lr
    np.testing.assert_allclose(difference, 0.5 * lr * before, rtol=1e-3, atol=1e-7)


def test_weights_between_units_and_of_the_input_have_rates_of_their_own(text: str) -> None:
    """The first update by Adam moves each weight by the rate, whatever its gradient."""
    changes = {"optim__weight_decay": 0.0, "optim__warmup": 0}
    changes |= {"optim__recurrent_lr": 0.25, "optim__input_lr": 3.0}
    trainer = trainer_for(plan_for(text, model__layers=2, **changes))
    params = trainer.checkpoint.model.params
    before = {name: array.copy() for name, array in params.items()}
    trainer.step()
    lr = trainer.checkpoint.progress.lr
    shares = {"layer1.W_x": 3.0, "layer1.W_h": 0.25, "layer2.W_x": 0.25, "layer2.W_h": 0.25}
    for name, array in params.items():
        share = shares.get(name, 1.0)
        largest = np.abs(array - before[name]).max()
        np.testing.assert_allclose(largest, share * lr, rtol=1e-3, err_msg=name)
