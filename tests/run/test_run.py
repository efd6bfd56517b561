import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from grucli.errors import ArgumentError, CheckpointError, CorpusError, UsageError
from grucli.run.records import HEADER
from grucli.run.run import DAMAGED, Run, even_means, load, runs
from tests.cli.helpers import trained_on
from tests.conftest import Grucli


def test_a_run_tells_its_facts(trained: Path) -> None:
    run = Run(str(trained))
    assert run.path == trained
    assert run.settings.model.hidden == 12
    assert run.info.step == 30
    assert run.status == "done"
    assert repr(run).startswith(f"Run({str(trained)!r}: done, text.txt, GRU 1x12, ")


def test_a_run_from_before_some_settings_has_what_they_were(trained: Path) -> None:
    run = Run(shutil.copytree(trained, "former"))
    config = run.path / "config.yaml"
    names = ("newlines", "recurrent_lr", "input_lr")
    lines = config.read_text("utf-8").splitlines(keepends=True)
    config.write_text("".join(one for one in lines if one.split(":")[0].strip() not in names))
    settings = run.settings
    assert settings.data.newlines == "keep"
    assert (settings.optim.recurrent_lr, settings.optim.input_lr) == (1, 1)
    assert settings.optim.lr == Run(trained).settings.optim.lr


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
    assert "GRU 1x12" in shown


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


def test_facts_for_a_list_even_of_damaged_runs(trained: Path) -> None:
    for name in ("20260101-000000-old", "20270101-000000-new"):
        shutil.copytree(trained, Path("runs", name))
    Path("runs", "20270101-000000-new", "run.json").write_text("{", encoding="utf-8")
    new, old = (run.facts() for run in runs("runs"))
    assert (new["run"], new["status"], new["loss"]) == ("20270101-000000-new", DAMAGED, None)
    assert (old["run"], old["status"], old["step"]) == ("20260101-000000-old", "done", 30)
    assert (old["model"], old["corpus"]) == ("GRU 1x12", "text.txt")
    assert (old["loss"] is not None, old["level"]) == (True, "char")
    assert new.keys() == old.keys()


def test_a_directory_and_its_checkpoint_are_one_run(trained: Path) -> None:
    run = Run.open(trained)
    opened = Run.open(run.file)
    assert run.file == trained / "checkpoints" / run.checkpoints.find("best").name
    assert (opened.path, opened.file) == (trained.resolve(), run.file)
    assert opened.info == run.info
    assert opened.noun == run.noun == "character"
    assert opened.text_names == run.text_names == ["text.txt"]
    assert opened.checkpoint is opened.checkpoint is not run.checkpoint
    assert opened.lm is opened.lm
    assert opened.text is opened.text
    assert len(opened.ids()) == sum(map(len, vars(opened.splits).values()))
    np.testing.assert_array_equal(opened.split("val"), run.splits.val)
    assert run.was_trained_on(opened.text)
    with pytest.raises(UsageError, match="did not hold out test text"):
        run.split("test")
    with pytest.raises(ArgumentError, match="must be train, val or test"):
        run.split("rest")


def test_a_checkpoint_outside_of_a_run_has_a_model_but_no_text(trained: Path) -> None:
    shutil.copy(Run(trained).checkpoints.find("best"), "alone.npz")
    run = Run.open("alone.npz")
    assert run.path == run.file == Path("alone.npz")
    assert run.settings == Run(trained).settings
    assert (run.noun, run.status, run.info.step) == ("character", "unknown", None)
    assert run.lm.sample(20, seed=1) == load(trained).sample(20, seed=1)
    assert list(run.inputs()) == [run.path, run.path]
    with pytest.raises(CheckpointError, match="is outside its run directory"):
        assert run.text


def test_the_text_of_a_run_that_has_changed_is_refused(trained: Path) -> None:
    copy = Path(shutil.copytree(trained, "copy"))
    told = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    Path("other.txt").write_text("other text", encoding="utf-8")
    told["corpus"]["paths"] = ["other.txt"]
    (copy / "run.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(
        CorpusError, match=r"other\.txt: the .*; the text has changed since training"
    ):
        assert Run(copy).text
    told["corpus"]["paths"] = ["-"]
    (copy / "run.json").write_text(json.dumps(told), encoding="utf-8")
    assert Run(copy).text_names == ["standard input"]
    with pytest.raises(CheckpointError, match="was trained on standard input"):
        assert Run(copy).text


def test_the_model_of_a_run(trained: Path) -> None:
    assert Run(trained).load().sample(20, seed=1) == Run(trained).load().sample(20, seed=1)


def test_curves_have_all_rows_of_the_metrics(grucli: Grucli, text_file: Path) -> None:
    run = Run(trained_on(grucli, text_file, "--steps", "30"))
    training, validation = run.curves()
    splits = run.metrics["split"].tolist()
    assert len(training.points) == splits.count("train")
    assert len(validation.points) == splits.count("val") == 3
    (speed,) = run.curves(column="chars_per_s")
    assert len(speed.points) == splits.count("train")


def test_training_losses_are_drawn_as_means_over_equal_numbers_of_characters() -> None:
    chars = np.array([50, 100, 130, 131, 150, 200, 201])
    losses = np.array([3.0, 2.5, 2.4, 9.0, 2.2, 2.1, 9.0])
    last, means = even_means(chars, losses)
    assert last.tolist() == [0, 1, 4, 6]
    merged = (30 * 2.4 + 9.0 + 19 * 2.2) / 50, (50 * 2.1 + 9.0) / 51
    np.testing.assert_allclose(means, [3.0, 2.5, *merged])
    assert means @ [50, 50, 50, 51] == pytest.approx(losses @ np.diff(chars, prepend=0))
    assert [one.tolist() for one in even_means(np.array([7]), np.array([1.5]))] == [[0], [1.5]]
