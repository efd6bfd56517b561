"""The state before the first step of a run, and the state from which a run goes on."""

import numpy as np
import numpy.typing as npt

from grucli.errors import CheckpointError, SettingsError
from grucli.nn.model import Model
from grucli.nn.optim import Moments
from grucli.nn.params import Array, Ids
from grucli.run.checkpoint import Checkpoint, Progress, model_for
from grucli.training.plan import WEIGHTS, Plan, random_stream


def start(plan: Plan, old: Checkpoint | None = None) -> Checkpoint:
    """The state before the first step, with random weights or the weights of another run.

    The vocabulary must contain all characters of the other run. Weights of characters that are not
    in the other run are initialized anew.
    """
    settings = plan.settings
    model = model_for(settings, plan.corpus.vocabulary)
    model.initialize(random_stream(settings.train.seed, WEIGHTS))
    frequencies = np.maximum(plan.counts, 0.5) / plan.counts.sum()
    if model.L > 1:  # to learn the frequencies, upper layers would saturate
        model.output(model.params).b_c[:] = np.log(frequencies)
    if old is not None:
        known = plan.corpus.vocabulary.find(old.vocabulary.symbols)
        model.copy_from(old.model, known)
        new = np.setdiff1d(np.arange(model.V), known)
        if len(new):
            _set_biases_of_new(model, new, frequencies[new], plan.windows.window(0)[0])
    return Checkpoint(
        settings=settings,
        vocabulary=plan.corpus.vocabulary,
        counts=plan.counts,
        model=model,
        moments=Moments.like(model.params.flat),
        state=model.zero_state(plan.windows.B),
        window=plan.windows.T,
        text_id=plan.corpus.text_id,
        unseen=plan.unseen,
        progress=Progress(seconds=None if plan.budget.seconds is None else 0.0),
    )


def _set_biases_of_new(model: Model, new: npt.NDArray[np.intp], frequencies: Array, x: Ids) -> None:
    """Set output biases so that new characters are predicted with their frequencies, on average.

    ``new`` are the ids of these characters and ``frequencies`` their shares of the text, both (N,);
    ``x`` is a part of the text, (T, B). The model knows all other characters.
    """
    share = min(frequencies.sum(), 0.99)  # of all new characters; a model always keeps some others
    b_c = model.output(model.params).b_c
    b_c[new], b_c[new[0]] = -np.inf, 0.0
    log_p, _, _ = model.score(
        x, np.full_like(x, new[0]), model.zero_state(x.shape[1]), model.workspace(*x.shape)
    )
    others = -np.log(np.expm1(np.maximum(-log_p.astype(np.float64), 1e-9)))  # new / known, log
    low, high = -700.0, 700.0
    for _ in range(60):
        level = (low + high) / 2
        too_much = (1 / (1 + np.exp(-(level + others).clip(-700, 700)))).mean() > share
        low, high = (low, level) if too_much else (level, high)
    b_c[new] = level + np.log(frequencies / frequencies.sum())


def resume(plan: Plan, checkpoint: Checkpoint, *, done: bool = True) -> Checkpoint:
    """The state from which a resumed run continues; its settings become those of the plan.

    A run that was killed after its last checkpoint is not ``done``: it has something left to do.
    """
    if checkpoint.state.shape[1] != plan.windows.B or checkpoint.window != plan.windows.T:
        raise CheckpointError("the checkpoint's hidden states do not fit its settings")
    checkpoint.settings = plan.settings
    progress = checkpoint.progress
    if plan.budget.seconds is None:
        progress.seconds = None
    if done:
        _check_something_is_left(plan, progress)
    return checkpoint


def _check_something_is_left(plan: Plan, progress: Progress) -> None:
    budget, step, seconds = plan.budget, progress.step, progress.seconds or 0.0
    without_best = progress.evaluations_since_best
    if progress.out_of_patience(plan.settings.train.patience) and not progress.due:
        raise SettingsError(
            f"the run has stopped because its loss did not improve in {without_best} evaluations "
            "(train.patience); to go on anyway, add --set train.patience=0"
        )
    if budget.progress(step, seconds) >= 1 and not progress.due:
        raise SettingsError(
            f"the run has used its budget: {budget.used(step, seconds):,.4g} of "
            f"{budget.amount:,.4g} {budget.unit}; --{budget.unit} counts from the start of the "
            f"run, not from now: give more, such as {budget.doubled(step, seconds)}"
        )
