"""Runs as Python objects: their settings, their results and their models."""

import html
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grucli.config import Settings, resolve
from grucli.errors import CheckpointError
from grucli.storage.directory import RunDirectory, check_is_run, list_runs, open_checkpoint
from grucli.storage.run_files import HEADER, RunInfo
from grucli.storage.summary import DAMAGED

if TYPE_CHECKING:
    from grucli.language_model import LanguageModel

Column = npt.NDArray[Any]

CURVE = 480, 160
"""Width and height of the loss curve in pixels."""

COLORS = {"train": "#888", "val": "#c33"}


class Run:
    """A run directory. Its files are read at each access, so the object shows current progress.

    Args:
        path: the run directory.

    Attributes:
        path: the run directory.

    Raises:
        CheckpointError: this is not a run directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        check_is_run(self.path)
        self._directory = RunDirectory(self.path)

    @property
    def settings(self) -> Settings:
        """The settings in config.yaml."""
        return resolve([self._directory.config()])

    @property
    def info(self) -> RunInfo:
        """The content of run.json; missing values are None.

        Raises:
            CheckpointError: the file is damaged.
        """
        return self._directory.info

    @property
    def status(self) -> str:
        """The status: running, done, interrupted, failed or died; errors as in ``info``."""
        return self._directory.status

    @property
    def metrics(self) -> dict[str, Column]:
        """The columns of metrics.csv by name, of equal length, in a form for ``pandas.DataFrame``.

        Raises:
            CheckpointError: the file cannot be read.
        """
        rows = self._directory.metrics()
        return {
            name: np.array([getattr(row, name) for row in rows], _type(name)) for name in HEADER
        }

    def load(self) -> "LanguageModel":
        """Load the model of the best checkpoint.

        Raises:
            CheckpointError: there is no checkpoint, or it is damaged.
        """
        file, checkpoint = open_checkpoint(self.path)
        return checkpoint.language_model(file)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {', '.join(self._facts().values())})"

    def _facts(self) -> dict[str, str]:
        """Facts about the run by name, as texts; unknown ones are left out."""
        try:
            info, status = self.info, self.status
        except CheckpointError:
            return {"status": DAMAGED}
        best = info.best
        loss = "" if best.loss is None else f"{best.loss:.4f} nats per character"
        facts = {
            "status": status,
            "text": ", ".join(Path(path).name for path in info.corpus.paths or []),
            "model": info.model or "",
            "parameters": f"{info.parameters:,} parameters" if info.parameters else "",
            "step": "" if info.step is None else f"step {info.step:,}",
            "best": f"{loss} at step {best.step:,}" if loss and best.step is not None else loss,
        }
        return {name: fact for name, fact in facts.items() if fact}

    def _repr_html_(self) -> str:
        """HTML for notebooks: the facts about the run and its loss curve."""
        facts = {"run": self.path.name, **self._facts()}
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'>{html.escape(fact)}</td></tr>"
            for name, fact in facts.items()
        )
        try:
            curve = _curve(self.metrics)
        except CheckpointError:
            curve = ""
        return f"<div><table>{rows}</table>{curve}</div>"


def runs(directory: str | os.PathLike[str] = "runs") -> list[Run]:
    """All runs in a directory, newest first.

    Raises:
        UsageError: there is no such directory.
    """
    return [Run(run.path) for run in list_runs(Path(directory))]


def _type(column: str) -> type:
    if column in ("step", "chars"):
        return int
    return str if column == "split" else float


def _curve(metrics: dict[str, Column]) -> str:
    """The loss curve as SVG; empty if there are fewer than two steps."""
    steps, losses = metrics["step"], metrics["loss"]
    if len(steps) < 2 or steps.min() == steps.max():
        return ""
    width, height = CURVE
    low, high = float(losses.min()), float(losses.max())
    x = (steps - steps.min()) / (steps.max() - steps.min()) * (width - 10) + 5
    y = (high - losses) / ((high - low) or 1.0) * (height - 10) + 5
    lines = "".join(
        _line(x[metrics["split"] == split], y[metrics["split"] == split], color)
        for split, color in COLORS.items()
    )
    names = ", ".join(
        f"<span style='color:{color}'>{name}</span>" for name, color in COLORS.items()
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' role='img' aria-label='loss over steps'>{lines}</svg>"
        f"<div>loss {names}: {low:.3f} to {high:.3f} nats per character, "
        f"{low / math.log(2):.3f} to {high / math.log(2):.3f} bits</div>"
    )


def _line(x: Sequence[float] | Column, y: Sequence[float] | Column, color: str) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f"<polyline points='{points}' fill='none' stroke='{color}' stroke-width='1.5'/>"
