import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grucli
from grucli.errors import UsageError
from grucli.evaluation import evaluate
from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.run.adapted import save
from grucli.run.merged import mean_of, merge
from grucli.run.run import Run
from tests.conftest import Grucli
from tests.texts import prose

Train = Callable[..., Run]


def random_model(H: int, L: int, cell: str, seed: int) -> Model:
    model, rng = Model(5, H, L, np.float64, cell), np.random.default_rng(seed)
    model.initialize(rng)
    model.params.flat += rng.normal(0, 0.3, model.params.flat.shape)
    return model


def logits(model: Model, x: Ids) -> Array:
    """Logits (T, B, V) of a window from the zero state."""
    inputs, _ = model.run(x, model.zero_state(x.shape[1]), model.workspace(*x.shape))
    output = model.output(model.params)
    return inputs[-1] @ output.W_hc + output.b_c


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_logits_are_the_mean_of_those_of_all_models(cell: str, layers: int) -> None:
    models = [random_model(H, layers, cell, H) for H in (3, 5, 4)]
    merged = mean_of([model.astype(np.float32) for model in models]).astype(np.float64)
    x = np.random.default_rng(0).integers(0, 5, (20, 2))
    assert (merged.H, merged.L, merged.cell) == (12, layers, cell)
    mean = sum(logits(model.astype(np.float32).astype(np.float64), x) for model in models) / 3
    np.testing.assert_allclose(logits(merged, x), mean, rtol=0, atol=1e-6)


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Makes a small run of one text."""
    (tmp_path / "text.txt").write_text(prose(16_000))

    def train(text: str = "text.txt", **options: Any) -> Run:
        settings = {"model.hidden": 16, "sample.length": 0} | options.pop("settings", {})
        options = {"steps": 30, "runs_dir": tmp_path / "runs"} | options
        return grucli.train(tmp_path / text, settings=settings, **options)

    return train


def test_the_loss_is_below_the_mean_of_losses(train: Train, tmp_path: Path) -> None:
    runs = [train(seed=0, steps=200), train(seed=1, steps=200, settings={"model.hidden": 20})]
    merged = merge(*[run.path for run in runs], runs_dir=tmp_path / "runs", name="both")
    assert merged.path.name.endswith("-both")
    assert (merged.info.status, merged.info.model) == ("merged", "GRU 1x36")
    assert merged.settings.model.hidden == merged.lm.model.H == 36
    loss = merged.lm.evaluate(merged.split("val")).loss
    assert loss == pytest.approx(merged.info.best.loss, abs=1e-6)
    assert loss < np.mean([run.info.best.loss or 0 for run in runs])  # it is convex in the logits
    assert merged.facts()["loss"] == merged.info.best.loss
    assert len(merged.lm.sample(20)) == 20
    assert merged.checkpoint.finite


def test_logits_are_scaled_on_validation_text(train: Train, tmp_path: Path) -> None:
    runs = [train(seed=seed) for seed in (0, 1)]
    merged = merge(*[run.path for run in runs], runs_dir=tmp_path / "runs")
    mean, val = mean_of([run.lm.model for run in runs]), merged.split("val")
    scales = merged.lm.model.params["output.b_c"] / mean.params["output.b_c"]
    assert np.ptp(scales) < 1e-3
    assert scales[0] != pytest.approx(1, abs=1e-3)
    assert evaluate(merged.lm.model, val).loss < evaluate(mean, val).loss


def test_without_its_text_nothing_is_scaled(train: Train, tmp_path: Path) -> None:
    runs = [train(seed=seed) for seed in (0, 1)]
    (tmp_path / "text.txt").unlink()
    merged = merge(*[run.path for run in runs], runs_dir=tmp_path / "runs")
    mean = mean_of([run.lm.model for run in runs])
    assert np.array_equal(merged.lm.model.params.flat, mean.params.flat)
    assert merged.info.best.loss is None


def test_any_of_the_runs_may_have_the_text(train: Train, tmp_path: Path) -> None:
    runs = [train(seed=seed) for seed in (0, 1)]
    alone = tmp_path / "alone.npz"
    shutil.copy(runs[0].file, alone)
    wanted = merge(*[run.path for run in runs], runs_dir=tmp_path / "runs")
    merged = merge(alone, runs[1].path, runs_dir=tmp_path / "runs")
    assert np.array_equal(merged.lm.model.params.flat, wanted.lm.model.params.flat)
    assert np.array_equal(merged.split("val"), wanted.split("val"))


def test_a_run_in_training_may_have_removed_what_was_read(train: Train, tmp_path: Path) -> None:
    run = Run(train(seed=0).path)
    digest = hashlib.sha256(run.file.read_bytes()).hexdigest()
    adapted = run.lm.adapt(run.split("val"))
    run.file.unlink()
    save(run, adapted, tmp_path / "adapted", {"text": "val"})
    kept = json.loads((tmp_path / "adapted" / "run.json").read_text("utf-8"))["adapted"]
    assert kept["sha256"] == digest


def test_a_text_that_a_run_has_kept_is_found(tmp_path: Path) -> None:
    settings = {"model.hidden": 8, "sample.length": 0}
    runs = [
        grucli.train(text=prose(3000), steps=5, seed=seed, settings=settings, runs_dir=tmp_path)
        for seed in (0, 1)
    ]
    merged = merge(*[run.path for run in runs], runs_dir=tmp_path / "elsewhere")
    assert np.array_equal(merged.split("val"), runs[0].split("val"))


def test_training_starts_from_it_and_does_not_resume_it(train: Train, tmp_path: Path) -> None:
    merged = merge(*[train(seed=seed).path for seed in (0, 1)], runs_dir=tmp_path / "runs")
    with pytest.raises(UsageError, match=r"weights that were merged, .*--init-from"):
        grucli.train(resume=merged.path)
    tuned = train(init_from=merged.path, settings={"model.hidden": 32})
    assert (tuned.info.best.loss or 9) < (merged.info.best.loss or 0) + 0.1


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"settings": {"model.cell": "lstm"}}, "another cell"),
        ({"settings": {"model.layers": 2}}, "another number of layers"),
        ({"settings": {"data.val": 0.2}}, "other settings of data"),
        ({"text": "other.txt"}, "another text"),
    ],
)
def test_runs_that_do_not_fit_are_refused(
    train: Train, tmp_path: Path, other: dict[str, Any], what: str
) -> None:
    (tmp_path / "other.txt").write_text(prose(16_000, seed=1))
    one, two = train(), train(**other)
    with pytest.raises(UsageError, match=re.escape(f"{two.path}: has {what} than {one.path}")):
        merge(one.path, two.path, runs_dir=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_one_held_out_text_may_lie_in_several_places(train: Train, tmp_path: Path) -> None:
    runs = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "valid.txt").write_text(prose(2_000))
        settings = {"data.val": [str(folder / "valid.txt")]}
        runs.append(train(seed=number, settings=settings).path)
    assert merge(*runs, runs_dir=tmp_path / "runs").status == "merged"


def test_one_run_is_refused(train: Train) -> None:
    one = train()
    with pytest.raises(UsageError, match="name two runs or more"):
        merge(one.path)
    with pytest.raises(UsageError, match="is named twice"):
        merge(one.path, one.path)


def test_the_command(train: Train, tmp_path: Path, grucli: Grucli) -> None:
    runs = [train(seed=seed) for seed in (0, 1)]
    done = grucli("merge", *[run.path for run in runs], "--runs-dir", tmp_path / "merged")
    path = Path(done.out.strip())
    assert done.code == 0
    assert Run(path).info.status == "merged"
    told = done.err.splitlines()
    assert told[0] == f"validation loss {runs[0].info.best.loss:.4f}  {runs[0].path}"
    assert told[-1] == f"validation loss {Run(path).info.best.loss:.4f}  merged"
    runs = [train(seed=seed, settings={"data.val": 0.0}) for seed in (0, 1)]
    done = grucli("merge", *[run.path for run in runs])
    assert done.err.startswith("training loss ")
    assert Run(done.out.strip()).info.best.split == "train"
