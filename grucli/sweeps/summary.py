"""What came of a study: its trials by result, the best settings, and what mattered."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grucli.config import Data, resolve, to_yaml
from grucli.errors import CheckpointError, SettingsError
from grucli.files import replace_text
from grucli.run.report import report
from grucli.run.run import Run
from grucli.sweeps.study import Study
from grucli.sweeps.trial import Trial, why_foreign

BEST, REPORT = "best.yaml", "report.html"
"""The files that ``Summary.write`` makes in the folder of the study."""


@dataclass(frozen=True)
class Summary:
    """What came of a study.

    Attributes:
        path: the folder of the study.
        trials: its trials, those that are done first, and the lowest loss first.
        importances: the share of each parameter in the differences of the results; empty if there
            are too few results.
        minutes: minutes in which at least one worker trained.
        fixed: the settings that all trials have in common, by dotted key.
        folder_id: the id of the folder, which its runs carry.
    """

    path: Path
    trials: Sequence[Trial]
    importances: Mapping[str, float]
    minutes: float
    fixed: Mapping[str, Any]
    folder_id: str

    @property
    def best(self) -> Trial | None:
        """The trial with the lowest loss; None if none is done."""
        return next((one for one in self.trials if one.status == "done"), None)

    @property
    def noun(self) -> str:
        """What all trials predict: "character" or "byte"."""
        return Data(level=self.fixed.get("data.level", Data().level)).noun

    @property
    def settings(self) -> str:
        """The settings of the best trial, as YAML for ``--config``; empty if none is done."""
        best = self.best
        if best is None:
            return ""
        if self._is_here(best):
            source, values = Run(self.path / best.run).config()
        else:
            source, values = str(self.path), {**self.fixed, **best.values}
        return (
            f"# Trial {best.number} of the sweep {self.path.name}: validation loss "
            f"{best.loss:.4f} nats per {self.noun} at step {best.step}.\n\n"
            + to_yaml(resolve([(source, values)]))
        )

    @property
    def runs(self) -> list[Path]:
        """The run directories that are here, the best trial first."""
        return [self.path / one.run for one in self.trials if self._is_here(one)]

    def _is_here(self, trial: Trial) -> bool:
        """Whether the directory with the name of a trial holds its run."""
        values = {**self.fixed, **trial.values}
        with suppress(CheckpointError, SettingsError):
            return why_foreign(self.path / trial.run, self.folder_id, values) is None
        return False

    def write(self) -> list[Path]:
        """Write the best settings and the report of all runs; return the files.

        Raises:
            CheckpointError: a file of a run is damaged.
            OSError: a file cannot be written.
        """
        written = []
        if self.settings:
            written.append(self.path / BEST)
            replace_text(written[0], self.settings)
        runs = [path for path in self.runs if _has_losses(path)]
        if runs:
            written.append(self.path / REPORT)
            replace_text(written[-1], report(*runs, passage=False).html)
        return written

    def to_dict(self) -> dict[str, Any]:
        """The summary for JSON."""
        return {
            "study": str(self.path),
            "trials": [one.to_dict() for one in self.trials],
            "best": None if self.best is None else self.best.number,
            "importances": dict(self.importances),
            "minutes": self.minutes,
        }


def summarize(study: Study) -> Summary:
    """What came of a study so far."""
    trials = sorted(study.trials(), key=_rank)
    return Summary(
        study.folder, trials, study.importances(), study.minutes(),
        study.definition.fixed, study.folder_id,
    )  # fmt: skip


def _rank(trial: Trial) -> tuple[bool, float, int]:
    loss = math.inf if trial.loss is None else trial.loss
    return trial.status != "done", loss, trial.number


def _has_losses(path: Path) -> bool:
    try:
        return any(curve.name == "validation" for curve in Run(path).curves())
    except CheckpointError:
        return False
