"""Merge runs of one text into one network whose logits are the mean of theirs.

The mean of logits stands for the geometric mean of the probabilities. Its loss is at most the mean
of the losses, because the loss is a convex function of the logits. The network that has it is of
the same kind: it has the units of all runs, and each reads the units of its own run alone, so its
matrices are block diagonal. The output weights are divided by the number of runs.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from grucli.arguments import FilePath, PathLike, checked
from grucli.calibration import logit_scale
from grucli.errors import CheckpointError, CorpusError, UsageError
from grucli.evaluation import evaluate
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.run.adapted import kept_facts
from grucli.run.checkpoint import Progress
from grucli.run.names import RUNS
from grucli.run.records import MERGED
from grucli.run.run import Run
from grucli.run.writer import new_paths, write_run
from grucli.threads import available_cores


@checked
def merge(*paths: PathLike, name: str | None = None, runs_dir: FilePath | None = None) -> Run:
    """Make a run whose logits are the mean of those of other runs, scaled on validation text.

    Args:
        paths: two or more runs or checkpoints with one text, vocabulary, cell and number of layers.
            Their units may differ in number; they add up.
        name: suffix of the run directory's name; None takes ``merged``.
        runs_dir: the directory for the new run directory; None means ``runs``.

    Raises:
        CheckpointError: a run has no weights, or they are damaged.
        UsageError: the runs cannot be merged.
    """
    runs = [Run.open(path) for path in paths]
    _check(runs)
    first = runs[0].checkpoint
    texts = ((run, val) for run in runs if (val := _validation_text(run)) is not None)
    with_text, val = next(texts, (runs[0], np.empty(0, np.uint8)))
    model, progress = _fitted(mean_of([run.lm.model for run in runs]), val)
    size = first.settings.model.model_copy(update={"hidden": model.H})
    settings = first.settings.model_copy(update={"model": size})
    checkpoint = replace(first.with_weights(model, progress), settings=settings)
    merged = [{"path": str(run.path.resolve()), "sha256": run.sha256} for run in runs]
    info = {**kept_facts(with_text), "status": MERGED, **checkpoint.facts, "merged": merged}
    return Run(write_run(new_paths(runs_dir or RUNS, name or "merged"), checkpoint, info))


def _validation_text(run: Run) -> Ids | None:
    with suppress(CheckpointError, CorpusError):
        return run.part("val")
    return None


def _fitted(model: Model, val: Ids) -> tuple[Model, Progress]:
    """The model with scaled logits, and its loss, if there is validation text."""
    if len(val) < 2:
        return model, Progress()
    model = model.scaled(logit_scale(model, val))
    loss = evaluate(model, val, available_cores()).loss
    return model, Progress(best_step=0, best_loss=loss, evaluated_step=0, evaluated_loss=loss)


def mean_of(models: Sequence[Model]) -> Model:
    """The network whose logits are the mean of those of others, with the units of all."""
    first = models[0]
    H = sum(model.H for model in models)
    merged = Model(first.V, H, first.L, cell=first.cell, separator=first.separator)
    start = 0
    for model in models:
        for name, theirs in model.params.items():
            ours = merged.params[name]
            part = tuple(
                slice(start, start + model.H) if size != whole else slice(None)
                for size, whole in zip(theirs.shape, ours.shape, strict=True)
            )
            ours[part] += theirs / (len(models) if name.startswith("output.") else 1)
        start += model.H
    x = np.arange(16).reshape(8, 2) % first.V
    of_each = np.concatenate([_states(model, x) for model in models], axis=-1)
    if not np.allclose(_states(merged, x), of_each, rtol=1e-3, atol=1e-3):
        raise UsageError(
            f"runs of the cell {first.cell} cannot be merged: its units do not read the units and "
            "the parameters of their own run alone"
        )
    return merged


def _states(model: Model, x: Ids) -> Array:
    """The states (T, B, H) of the top layer while a model reads ids from the zero state."""
    inputs, _ = model.plain().run(x, model.zero_state(x.shape[1]), model.workspace(*x.shape))
    return inputs[-1]


def _check(runs: Sequence[Run]) -> None:
    """Refuse runs of which no mean can be formed."""
    if len(runs) < 2:
        raise UsageError("name two runs or more; `grucli train TEXT --seed 1` makes another")
    first = runs[0]
    same_layers = f" if all have --set model.layers={first.checkpoint.settings.model.layers}"
    for number, run in enumerate(runs):
        if run.file.resolve() in [one.file.resolve() for one in runs[:number]]:
            raise UsageError(f"{run.file}: is named twice")
        kind = _kind(run)
        for what, of_first in _kind(first).items():
            if of_first != kind[what]:
                raise UsageError(
                    f"{run.path}: has {what} than {first.path}; runs of one text that "
                    "differ in seed, units, dropout or budget can be merged"
                    f"{same_layers if 'layers' in what else ''}"
                )


def _kind(run: Run) -> dict[str, object]:
    """What runs must have in common, and words for a run that differs in it."""
    checkpoint = run.checkpoint
    model, data = checkpoint.settings.model, checkpoint.settings.data
    return {
        "another cell": model.variant,
        "another number of layers": model.layers,
        "another text": checkpoint.text_id,
        "other settings of data": data.model_copy(update=dict.fromkeys(data.files)),
        "another vocabulary": checkpoint.vocabulary.symbols.tolist(),
    }
