"""Check the gradients of a model given by settings, or of a trained model on a text."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from grucli import config
from grucli.analysis.mistakes import find, made
from grucli.analysis.training_step import Step, check_training, next_step
from grucli.arguments import FilePath, checked
from grucli.errors import UsageError
from grucli.nn.backend import Backend, LibraryName, select
from grucli.nn.gradcheck import (
    TOLERANCE,
    Row,
    Window,
    check_all,
    check_trained,
    toy,
)
from grucli.nn.onednn import Unavailable
from grucli.nn.params import Array, Ids
from grucli.run.checkpoint import Checkpoint, model_for
from grucli.run.run import Run
from grucli.threads import blas_limited_to
from grucli.training.plan import WEIGHTS, random_stream
from grucli.training.processes import Dropout

ENTRIES = 24
"""Number of entries compared in each array of a large or a trained model."""

EVERY_ENTRY_UP_TO = 16
"""Up to this number of hidden units, every entry of every array is compared."""

BASE = config.Model(hidden=5, layers=2, dropout=0.25)
"""Default settings of the model to check."""

CHECKED = ["data.documents", *(key for key in config.INFLUENCES if key.startswith("model."))]
"""The settings that have an effect on the check."""

V, H, T, B, PROCESSES = 100, 256, 24, 48, 2
"""Sizes of a step of training without a run, and its number of processes. They are large enough for
all that training computes in parts."""

STEPS, STREAMS = 12, 3
"""Largest window of a run's text that is checked: steps, and rows of the batch."""


@dataclass(frozen=True)
class Report:
    """The results of the checks of all arrays.

    Attributes:
        rows: for each check, the title of its section and its result.
    """

    rows: Sequence[tuple[str, Row]]

    @property
    def wrong(self) -> list[str]:
        """The names of the arrays whose gradients are wrong."""
        return [row.name for _, row in self.rows if row.verdict == "WRONG"]

    @property
    def undecided(self) -> list[str]:
        """The names of the arrays whose errors rounding explains, as it would explain mistakes."""
        return [row.name for _, row in self.rows if row.verdict == "undecided"]

    @property
    def passed(self) -> bool:
        """Whether no gradient is wrong."""
        return not self.wrong

    @property
    def worst(self) -> float:
        """The largest relative error in float64; nan if an error is not a number."""
        return worst([row for _, row in self.rows if row.allowed == TOLERANCE])

    def followed_by(self, rows: Iterable[tuple[str, Row]]) -> "Report":
        """Return a report with further results."""
        return Report([*self.rows, *rows])

    @property
    def sections(self) -> dict[str, list[Row]]:
        """The results by section."""
        found: dict[str, list[Row]] = {}
        for section, row in self.rows:
            found.setdefault(section, []).append(row)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict for JSON."""
        checks = [
            {
                "section": section,
                "array": row.name,
                "shape": list(row.shape),
                "compared": row.compared,
                "error": row.error,
                "allowed": row.allowed,
                "explained": row.explained,
                "passed": row.passed,
                "verdict": row.verdict.lower(),
            }
            for section, row in self.rows
        ]
        answer = {"passed": self.passed, "undecided": len(self.undecided)}
        return answer | {"tolerance": TOLERANCE, "worst": self.worst, "checks": checks}


def worst(rows: Sequence[Row]) -> float:
    """Return the largest relative error; ``max`` would ignore nan."""
    return float(np.max([row.error for row in rows]))


@np.errstate(all="ignore")  # an error that is not finite is a wrong gradient
@blas_limited_to(1)  # the products are small
@checked
def check_settings(
    values: config.Values, mistake: str | None = None, products: LibraryName | None = None
) -> Report:
    """Check the gradients of a small model with random weights.

    Args:
        values: settings of the model, such as ``{"model.cell": "lstm"}``.
        mistake: the name of a mistake to make in the backward pass (``mistakes``).
        products: also compare the gradients as they are computed in training with these products.

    Raises:
        SettingsError: a key or a value is wrong.
        UsageError: a setting does not change the model that is checked, there is no such mistake,
            or these products are not to be had here.
    """
    settings = settings_of(values)
    known = [] if products is None else precisions(products)
    mistaken = None if mistake is None else find(settings.model.variant, mistake)
    with made(settings.model.variant, mistaken) if mistaken else nullcontext():
        report = _check(settings)
        if known:
            report = report.followed_by(check_training(_toy_step(settings), known))
    if mistaken is not None and report.passed:
        raise UsageError(
            f"--break {mistake}: no check sees this mistake in this model; it concerns what the "
            "model does not have, such as dropout"
        )
    return report


def precisions(library: LibraryName) -> list[Backend]:
    """Return the products of a library in each precision that this processor has.

    Raises:
        UsageError: the library is not to be had here.
    """
    try:
        found = [select(library, "float32")]
    except Unavailable as reason:
        raise UsageError(f"--products {library}: {reason}") from None
    with suppress(Unavailable):
        found.append(select(library, "bfloat16"))
    return found


def _toy_step(settings: config.Settings) -> Step:
    """Return a step of training with random weights, of the sizes ``STEP``."""
    model, documents = settings.model, settings.data.documents is not None
    toy_model, window = toy(
        V, H, model.layers, T, B, 0.0, seed=0, cell=model.variant, documents=documents
    )
    dropout = Dropout(model.dropout, (0,), model.weight_dropout)
    state = window.state.astype(np.float32)
    return Step(toy_model.astype(np.float32), window.x, window.targets, state, dropout, PROCESSES)


def settings_of(values: config.Values) -> config.Settings:
    """Return the settings of the model that ``check_settings`` checks; errors as there."""
    unused = sorted(config.INFLUENCES.keys() & values.keys() - {*CHECKED})
    if unused:
        raise UsageError(
            f"{unused[0]} has no effect on a gradient check; "
            f"these settings have an effect: {', '.join(sorted(CHECKED))}"
        )
    return config.resolve([("--set", values)], config.Settings(model=BASE))


def _check(settings: config.Settings) -> Report:
    model = settings.model
    checks = check_all(
        hidden=model.hidden,
        layers=model.layers,
        dropout=model.dropout,
        cell=model.variant,
        recurrent=model.weight_dropout,
        documents=settings.data.documents is not None,
        entries=None if model.hidden <= EVERY_ENTRY_UP_TO else ENTRIES,
    )
    return Report(list(checks))


@np.errstate(all="ignore")
@blas_limited_to(1)  # the products are small
@checked
def check_run(
    path: FilePath, text: str | None = None, products: LibraryName | None = None
) -> Report:
    """Check the gradients of a run's best checkpoint, in float64.

    Args:
        path: a run directory or a checkpoint.
        text: a text file; None for the run's own text.
        products: as for ``check_settings``.

    Raises:
        CheckpointError: there is no such run, or its text is not known.
        CorpusError: the text cannot be read, is too short or has changed.
        UnknownCharacterError: the text has characters that the model never saw.
        UsageError: these products are not to be had here.
    """
    known = [] if products is None else precisions(products)
    run = Run.open(path)
    checkpoint, ids = run.checkpoint, run.ids(text)
    report = Report(list(_of_checkpoint(checkpoint, ids, known, own=text is None)))
    if report.undecided:
        rows = _of_checkpoint(_untrained(checkpoint), ids, known, own=False)
        report = report.followed_by((f"initial weights, {title}", row) for title, row in rows)
    return report


def _of_checkpoint(
    checkpoint: Checkpoint, ids: Ids, all_products: Sequence[Backend], *, own: bool
) -> Iterator[tuple[str, Row]]:
    model = checkpoint.model.astype(np.float64)
    yield from check_trained(model, _window(ids, checkpoint.state), ENTRIES)
    if all_products:
        text = checkpoint.splits(ids).train if own else ids
        yield from check_training(next_step(checkpoint, text, resumes=own), all_products)


def _untrained(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with the initial weights of its model."""
    model = model_for(checkpoint.settings, checkpoint.vocabulary)
    model.initialize(random_stream(checkpoint.settings.train.seed, WEIGHTS))
    state = np.zeros_like(checkpoint.state)
    return replace(checkpoint, model=model, state=state)


def _window(ids: Ids, state: Array) -> Window:
    """Return characters from a few places of a text, with the states that training saved."""
    streams = min(STREAMS, state.shape[1], len(ids) // 2)
    steps = min(STEPS, len(ids) // streams - 1)
    starts = np.arange(streams) * (len(ids) // streams)  # (B,)
    window = ids[starts + np.arange(steps + 1)[:, None]].astype(np.intp)  # (T+1, B)
    return Window(window[:-1], window[1:], state[:, :streams].astype(np.float64), None)
