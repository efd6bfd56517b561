"""Check one step of training: its processes, masks, products and sums, against NumPy in float64."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from grucli.data.windows import fit_windows
from grucli.nn.backend import Backend
from grucli.nn.gradcheck import (
    SAMPLES,
    Row,
    Window,
    both_passes,
    check_reference,
    check_step,
    named,
)
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.nn.rounding import ROUNDING, Rounding
from grucli.run.checkpoint import Checkpoint
from grucli.training.processes import Dropout, Shards, choose_workers
from grucli.training.step import dropout_of


class Step(NamedTuple):
    """A step of training."""

    model: Model  # in float32
    x: Ids  # (T, B)
    targets: Ids  # (T, B)
    state: Array  # (L, B, S H)
    dropout: Dropout | None
    workers: int  # processes that share the batch


def next_step(checkpoint: Checkpoint, ids: Ids, *, resumes: bool) -> Step:
    """The step of a checkpoint's run on the next window of a text.

    Args:
        checkpoint: the state of the run.
        ids: the text.
        resumes: whether this is the training text, in which the run goes on where it was.
    """
    train = checkpoint.settings.train
    windows, done = fit_windows(ids, train.batch, train.window), checkpoint.progress.step
    number = done % windows.per_epoch if resumes else 0
    x, targets = windows.window(number)
    model = checkpoint.model
    state = checkpoint.state if number else model.zero_state(windows.B)
    wanted = None if train.workers == "auto" else train.workers
    dropout = dropout_of(checkpoint.settings, done)
    return Step(model, x, targets, state, dropout, choose_workers(wanted, windows.B))


def check_training(step: Step, all_products: Sequence[Backend]) -> Iterator[tuple[str, Row]]:
    """Check the step in float64, then as training computes it with some products.

    Yields:
        Each check with the title of its section.

    Raises:
        RunError: a process of training has ended.
    """
    T, B = step.x.shape
    model, window = step.model.astype(np.float64), _window(step)
    sizes = f"V={model.V} H={model.H} L={model.L} T={T} B={B}"
    reference = _in_float64(model, window)
    row = check_reference(model, window, reference, np.random.default_rng(0))
    yield f"a step of training in float64: {sizes}", row
    processes = f"{step.workers} process" + "es" * (step.workers > 1)
    for products in all_products:
        title = f"as in training, {products}, {processes}, against float64: {sizes}"
        rounding = ROUNDING[products.precision]
        samples = [_in_float64(model, window, (rounding, seed)) for seed in range(SAMPLES)]
        rows = check_step(_trained(step, products), reference, samples)
        yield from ((title, row) for row in rows)


def _window(step: Step) -> Window:
    """The window of a step with its masks, in float64."""
    model, masks, recurrent = step.model, None, {}
    T, B = step.x.shape
    if step.dropout is not None:
        room = np.empty((model.L, T, B, model.H), np.float32)
        masks = step.dropout.of_outputs(room, T, range(B))
        recurrent = step.dropout.of_weights(model.params)
    return Window(step.x, step.targets, step.state.astype(np.float64), masks, recurrent)


def _in_float64(
    model: Model, window: Window, rounding: tuple[Rounding, int] | None = None
) -> dict[str, Array]:
    """The loss, the last states and the gradients of a step in float64."""
    loss, last, gradients = both_passes(model, window, rounding)
    states = dict(named(model, iter(()), list(last), "T"))
    return {"loss": np.array(loss)} | states | gradients


def _trained(step: Step, products: Backend) -> dict[str, Array]:
    """The same results as training computes them, after a step with other weights."""
    x, dropout = step.x, step.dropout
    with Shards(
        model := step.model.astype(np.float32),
        len(x),
        range(x.shape[1]),
        step.workers,
        dropout=dropout is not None and dropout.rate > 0,
        weight_dropout=dropout is not None and dropout.recurrent > 0,
        backend=products,
    ) as shards:
        for factor in (0.5, 1.0):
            np.multiply(step.model.params.flat, factor, out=model.params.flat)
            loss, last, grads = shards.loss_and_gradients(
                x, step.targets, step.state, 1.0 / x.size, dropout
            )
        gradients = ((name, np.float64(x.size) * array) for name, array in grads.items())
        return {"loss": np.array(loss), **dict(named(model, gradients, list(last), "T"))}
