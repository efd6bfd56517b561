from pathlib import Path

import numpy as np
import pytest

from grucli.errors import CheckpointError, UsageError
from grucli.run.run import Run, runs
from grucli.run.run_files import HEADER


def test_a_run_tells_its_facts(trained: Path) -> None:
    run = Run(str(trained))
    assert run.path == trained
    assert run.settings.model.hidden == 12
    assert run.info.step == 30
    assert run.status == "done"
    assert repr(run).startswith(f"Run({str(trained)!r}: done, text.txt, gru 1x12, ")


def test_metrics_are_columns_of_equal_length(trained: Path) -> None:
    metrics = Run(trained).metrics
    assert list(metrics) == HEADER
    assert len({len(column) for column in metrics.values()}) == 1
    assert metrics["step"].dtype == np.int64
    assert metrics["loss"].dtype == np.float64
    assert set(metrics["split"]) == {"train", "val"}
    val = metrics["loss"][metrics["split"] == "val"]
    assert val.min() == pytest.approx(Run(trained).info.best.loss, rel=1e-5)


def test_a_notebook_shows_facts_and_curve(trained: Path) -> None:
    shown = Run(trained)._repr_html_()
    assert "<svg" in shown
    assert shown.count("<polyline") == 2
    assert "gru 1x12" in shown


def test_a_run_without_rows_or_with_damage_can_be_shown(tmp_path: Path) -> None:
    path = tmp_path / "<b>"
    (path / "checkpoints").mkdir(parents=True)
    assert "<svg" not in Run(path)._repr_html_()
    (path / "metrics.csv").write_text("step,epoch")
    assert "<svg" not in Run(path)._repr_html_()
    assert len(Run(path).metrics["step"]) == 0
    (path / "run.json").write_text("{")
    assert "damaged run.json" in repr(Run(path))
    assert "<b>" not in Run(path)._repr_html_()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a run directory"):
        Run(tmp_path)
    with pytest.raises(UsageError, match="there is no such directory"):
        runs(tmp_path / "runs")


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    for name in ("20250101-000000-a", "20250102-000000-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    assert [run.path.name[-1] for run in runs(tmp_path)] == ["b", "a"]


def test_the_model_of_a_run(trained: Path) -> None:
    pytest.importorskip("grucli.language_model")
    assert Run(trained).load().sample(20, seed=1) == Run(trained).load().sample(20, seed=1)
