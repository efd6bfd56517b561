"""Runs as Python objects: their settings, their results and their models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grucli.arguments import PathLike, checked
from grucli.charts import Curve, svg, typical_top
from grucli.config import Settings, resolve
from grucli.errors import CheckpointError, UsageError
from grucli.html import as_html
from grucli.run.directory import RunDirectory, check_is_run, list_runs, open_checkpoint
from grucli.run.run_files import HEADER, RunInfo
from grucli.run.summary import DAMAGED

if TYPE_CHECKING:
    from grucli.language_model import LanguageModel

Column = npt.NDArray[Any]


def loss_axis(noun: str) -> str:
    """The name of the axis of a loss per character or per byte."""
    return f"loss, nats per {noun}"


def common_noun(runs: "Sequence[Run]") -> str:
    """What all runs predict: "character" or "byte".

    Raises:
        UsageError: some predict characters and some bytes, so their losses have no common axis.
    """
    nouns = {run.settings.data.noun: run.path for run in runs}
    if len(nouns) > 1:
        one, other = (f"{path} predicts {noun}s" for noun, path in nouns.items())
        raise UsageError(
            f"{one} and {other}, so that their losses cannot be compared; name one kind only"
        )
    return next(iter(nouns))


class Run:
    """A run directory. Its files are read at each access, so the object shows current progress.

    Args:
        path: the run directory.

    Attributes:
        path: the run directory.

    Raises:
        CheckpointError: this is not a run directory.
    """

    @checked
    def __init__(self, path: PathLike) -> None:
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

    def curves(self, by: str = "step", column: str = "loss") -> list[Curve]:
        """The curves of the metrics: training, and for losses validation.

        Args:
            by: the column of the horizontal axis: step, chars or elapsed_s.
            column: the column of the vertical axis.

        Raises:
            CheckpointError: the file cannot be read.
        """
        return curves(self.metrics, by, column)

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
        loss = "" if best.loss is None else f"{best.loss:.4f} nats per {info.corpus.noun}"
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
            f"<td style='text-align:left'>{as_html(fact)}</td></tr>"
            for name, fact in facts.items()
        )
        try:
            losses = self.curves()
            curve = svg(
                losses, x="step", y=loss_axis(self.info.corpus.noun), highest=typical_top(losses)
            )
        except CheckpointError:
            curve = ""
        return f"<div><table>{rows}</table>{curve}</div>"


def curves(metrics: Mapping[str, Column], by: str = "step", column: str = "loss") -> list[Curve]:
    """The curves of ``Run.metrics``, as of ``Run.curves``."""
    found = []
    for number, (split, name) in enumerate((("train", "training"), ("val", "validation"))):
        rows = metrics["split"] == split
        if rows.any() and (column == "loss" or split == "train"):
            found.append(Curve(name, metrics[by][rows], metrics[column][rows], colour=number))
    return found


@checked
def runs(directory: PathLike = "runs") -> list[Run]:
    """All runs in a directory, newest first.

    Raises:
        UsageError: there is no such directory.
    """
    return [Run(run.path) for run in list_runs(Path(directory))]


def _type(column: str) -> type:
    if column in ("step", "chars"):
        return int
    return str if column == "split" else float
