"""Check the gradients of a model given by settings, or of a trained model on a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grucli import config
from grucli.analysis.mistakes import find, made
from grucli.analysis.subject import text_of
from grucli.errors import UsageError
from grucli.nn.gradcheck import TOLERANCE, Row, Window, check_all, check_trained
from grucli.nn.params import Array, Ids
from grucli.storage.directory import open_checkpoint
from grucli.threads import blas_limited_to

ENTRIES = 24
"""Number of entries compared in each array of a large or a trained model."""

EVERY_ENTRY_UP_TO = 16
"""Up to this number of hidden units, every entry of every array is compared."""

BASE = config.Model(hidden=5, layers=2, dropout=0.25)
"""Default settings of the model to check."""

CHECKED = frozenset(
    ["data.documents"]
    + [
        f"model.{name}"
        for name in ("cell", "reset", "hidden", "layers", "dropout", "locked", "weight_dropout")
    ]
)
"""The settings that have an effect on the check."""

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
        return [row.name for _, row in self.rows if not row.passed]

    @property
    def passed(self) -> bool:
        """Whether all gradients are right."""
        return not self.wrong

    @property
    def worst(self) -> float:
        """The largest relative error; nan if an error is not a number."""
        return worst([row for _, row in self.rows])

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
                "passed": row.passed,
            }
            for section, row in self.rows
        ]
        answer = {"passed": self.passed, "tolerance": TOLERANCE, "worst": self.worst}
        return answer | {"checks": checks}


def worst(rows: Sequence[Row]) -> float:
    """Return the largest relative error; ``max`` would ignore nan."""
    return float(np.max([row.error for row in rows]))


@blas_limited_to(1)  # the products are small
def check_settings(values: config.Values, mistake: str | None = None) -> Report:
    """Check the gradients of a small model with random weights.

    Args:
        values: settings of the model, such as ``{"model.cell": "lstm"}``.
        mistake: the name of a mistake to make in the backward pass (``mistakes``).

    Raises:
        SettingsError: a key or a value is wrong.
        UsageError: a setting does not change the model that is checked, or there is no such
            mistake.
    """
    settings = settings_of(values)
    if mistake is None:
        return _check(settings)
    with made(settings.model.variant, find(settings.model.variant, mistake)):
        return _check(settings)


def settings_of(values: config.Values) -> config.Settings:
    """Return the settings of the model that ``check_settings`` checks; errors as there."""
    unused = sorted((set(values) - CHECKED) & set(config.flatten(config.Settings())))
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
        locked=model.locked,
        recurrent=model.weight_dropout,
        documents=settings.data.documents is not None,
        entries=None if model.hidden <= EVERY_ENTRY_UP_TO else ENTRIES,
    )
    with np.errstate(all="ignore"):  # an error that is not finite is a wrong gradient
        return Report(list(checks))


@blas_limited_to(1)  # the products are small
def check_run(path: Path, text: str | None = None) -> Report:
    """Check the gradients of a run's best checkpoint, in float64.

    Args:
        path: a run directory or a checkpoint.
        text: a text file; None for the run's own text.

    Raises:
        CheckpointError: there is no such run, or its text is not known.
        CorpusError: the text cannot be read, is too short or has changed.
        UnknownCharacterError: the text has characters that the model never saw.
    """
    file, checkpoint = open_checkpoint(path)
    model = checkpoint.model_to_use().astype(np.float64)
    window = _window(text_of(file, checkpoint, text), checkpoint.state)
    return Report(list(check_trained(model, window, ENTRIES)))


def _window(ids: Ids, state: Array) -> Window:
    """Return characters from a few places of a text, with the states that training saved."""
    B = min(STREAMS, state.shape[1], len(ids) // 2)
    T = min(STEPS, len(ids) // B - 1)
    starts = np.arange(B) * (len(ids) // B)  # (B,)
    window = ids[starts + np.arange(T + 1)[:, None]].astype(np.intp)  # (T+1, B)
    return Window(window[:-1], window[1:], state[:, :B].astype(np.float64), None)
