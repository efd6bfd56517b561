"""Check the gradients of a model given by settings, or of a trained model on a text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from grucli import config
from grucli.analysis.mistakes import find, made
from grucli.analysis.subject import text_of
from grucli.arguments import FilePath, checked
from grucli.errors import UsageError
from grucli.nn.gradcheck import (
    TOLERANCE,
    Row,
    Window,
    check_all,
    check_products,
    check_trained,
    gradients_of,
    toy,
)
from grucli.nn.model import Model
from grucli.nn.onednn.library import Unavailable
from grucli.nn.params import Array, Ids
from grucli.nn.products import LibraryName, Products, choose
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

PRODUCTS_SIZE = {"V": 50, "H": 48, "T": 8, "B": 4}
"""Sizes of the model whose gradients are computed as in training."""

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
        """The largest relative error in float64; nan if an error is not a number."""
        return worst([row for _, row in self.rows if row.allowed == TOLERANCE])

    def with_products(self, comparisons: Iterable[tuple[str, Row]]) -> "Report":
        """Return a report with further results."""
        return Report([*self.rows, *comparisons])

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
    reference = gradients_of(*_toy(settings)) if known else {}
    mistaken = None if mistake is None else find(settings.model.variant, mistake)
    with made(settings.model.variant, mistaken) if mistaken else nullcontext():
        report = _check(settings)
        return report.with_products(_compare(*_toy(settings), known, reference))


def precisions(library: LibraryName) -> list[Products]:
    """Return the products of a library in each precision that this processor has.

    Raises:
        UsageError: the library is not to be had here.
    """
    try:
        found = [choose(library, "float32")]
    except Unavailable as reason:
        raise UsageError(f"--products {library}: {reason}") from None
    with suppress(Unavailable):
        found.append(choose(library, "bfloat16"))
    return found


def _toy(settings: config.Settings) -> tuple[Model, Window]:
    """Return a model of these settings, and a window, of the sizes ``PRODUCTS_SIZE``."""
    model = settings.model
    return toy(
        **PRODUCTS_SIZE,
        L=model.layers,
        dropout=model.dropout,
        seed=0,
        cell=model.variant,
        locked=model.locked,
        recurrent=model.weight_dropout,
        documents=settings.data.documents is not None,
    )


def _compare(
    model: Model, window: Window, all_products: Sequence[Products], reference: Mapping[str, Array]
) -> Iterator[tuple[str, Row]]:
    """Yield the comparisons of gradients as in training with those of NumPy in float64."""
    T, B = window.targets.shape
    sizes = f"V={model.V} H={model.H} L={model.L} T={T} B={B}"
    for products in all_products:
        title = f"as in training, {products}, against numpy float64: {sizes}"
        rows = check_products(model, window, products, reference)
        yield from ((title, row) for row in rows)


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
    file, checkpoint = open_checkpoint(path)
    model = checkpoint.model_to_use().astype(np.float64)
    window = _window(text_of(file, checkpoint, text), checkpoint.state)
    report = Report(list(check_trained(model, window, ENTRIES)))
    return report.with_products(_compare(model, window, known, gradients_of(model, window)))


def _window(ids: Ids, state: Array) -> Window:
    """Return characters from a few places of a text, with the states that training saved."""
    B = min(STREAMS, state.shape[1], len(ids) // 2)
    T = min(STEPS, len(ids) // B - 1)
    starts = np.arange(B) * (len(ids) // B)  # (B,)
    window = ids[starts + np.arange(T + 1)[:, None]].astype(np.intp)  # (T+1, B)
    return Window(window[:-1], window[1:], state[:, :B].astype(np.float64), None)
