from pathlib import Path

import numpy as np
import pytest

import grucli
from grucli.calibration import ENOUGH, logit_scale
from grucli.evaluation import evaluate
from grucli.exchange.export import export
from grucli.exchange.imports import import_model
from grucli.nn.backend import Backend
from grucli.nn.model import Model
from grucli.nn.params import Ids
from grucli.nn.stepper import Stepper
from grucli.run.run import Run


def random_model(cell: str = "gru", layers: int = 1) -> Model:
    model = Model(7, 12, layers, cell=cell)
    rng = np.random.default_rng(0)
    model.initialize(rng)
    model.params.flat += rng.normal(0, 0.3, model.params.flat.shape).astype(np.float32)
    return model


def drawn_from(model: Model, length: int) -> Ids:
    """A text that the model itself has written, of which it is as certain as it should be."""
    stepper, rng, ids = Stepper(model, 1), np.random.default_rng(1), [0]
    for uniform in rng.random(length - 1):
        c = stepper.step(np.array(ids[-1:]))[0].astype(np.float64)
        y = np.exp(c - c.max())
        ids.append(int(np.searchsorted(np.cumsum(y / y.sum()), uniform).clip(max=6)))
    return np.array(ids, np.uint8)


@pytest.mark.parametrize(("cell", "layers"), [("gru", 1), ("lstm", 2)])
def test_the_scale_gives_the_lowest_loss(cell: str, layers: int) -> None:
    model = random_model(cell, layers)
    ids = drawn_from(model, 8192)
    assert logit_scale(model, ids) == pytest.approx(1, abs=0.1)
    for factor in (0.8, 1.25):
        uncertain = model.scaled(factor)
        best = min(
            np.arange(0.5, 1.6, 0.01), key=lambda one: evaluate(uncertain.scaled(one), ids).nats
        )
        assert logit_scale(uncertain, ids) == pytest.approx(best, abs=0.03)


def test_logits_that_are_larger_have_a_smaller_scale() -> None:
    model = random_model()
    ids = drawn_from(model, 3000)
    assert logit_scale(model.scaled(1.5), ids) == pytest.approx(logit_scale(model, ids) / 1.5, 2e-3)


def test_the_scale_has_limits() -> None:
    model, ids = random_model(), drawn_from(random_model(), 1000)
    assert logit_scale(model.scaled(100), ids) == 0.5
    assert logit_scale(model.scaled(0.01), ids) == 2
    assert logit_scale(model.scaled(float("nan")), ids) == 1


@pytest.mark.parametrize("length", [0, 2, ENOUGH - 1])
def test_a_short_text_fits_no_scale(length: int) -> None:
    assert logit_scale(random_model().scaled(3), np.zeros(length, np.uint8)) == 1


def test_only_logits_are_scaled() -> None:
    model = random_model()
    before = model.params.flat.copy()
    scaled = model.scaled(0.5)
    assert np.array_equal(model.params.flat, before)
    assert np.array_equal(scaled.params["output.W_hc"], model.params["output.W_hc"] / 2)
    assert np.array_equal(scaled.params["output.b_c"], model.params["output.b_c"] / 2)
    assert np.array_equal(scaled.params["layer1.W_h"], model.params["layer1.W_h"])
    assert model.scaled(1) is model
    fast = Backend(compiled=True)
    assert model.on(fast).scaled(0.5).backend == fast


SETTINGS = {
    "model.hidden": 64,
    "model.dropout": 0,
    "train.window": 32,
    "train.eval_every": 60,
    "optim.schedule": "constant",
    "optim.warmup": 5,
    "optim.input_lr": 1.0,
    "sample.length": 0,
}


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of random letters, which can only be memorized."""
    path = tmp_path_factory.mktemp("memorized") / "letters.txt"
    path.write_text("".join(np.random.default_rng(0).choice(list("abcdefgh"), 12_000)))
    return path


@pytest.fixture(scope="module")
def memorized(letters: Path) -> Run:
    runs_dir = letters.parent / "runs"
    return grucli.train(letters, steps=120, settings=SETTINGS, runs_dir=runs_dir)


def test_a_run_that_was_stopped_has_equal_bytes(memorized: Run, letters: Path) -> None:
    ended = []

    def stop() -> bool:
        return len(ended) > 80

    again = grucli.train(
        letters,
        steps=120,
        settings=SETTINGS,
        runs_dir=letters.parent / "again",
        on_event=ended.append,
        stop=stop,
    )
    assert 60 < (again.info.step or 0) < 120
    again = grucli.train(letters, resume=again.path)
    files = [run.checkpoints.file_of(120).read_bytes() for run in (memorized, again)]
    assert files[0] == files[1]


def test_the_losses_of_a_run_are_those_of_scaled_logits(memorized: Run) -> None:
    last = memorized.checkpoints.read("last")
    scale, val = last.progress.logit_scale, memorized.split("val")
    assert 0.5 <= scale < 0.9
    raw = evaluate(last.model, val).loss
    scaled = last.language_model().evaluate(val).loss
    assert scaled == pytest.approx(last.progress.evaluated_loss, abs=1e-5)
    assert scaled < raw - 0.01
    assert memorized.lm.evaluate(val).loss == pytest.approx(memorized.info.best.loss, abs=1e-5)


def test_training_does_not_scale_its_weights(memorized: Run) -> None:
    last = memorized.checkpoints.read("last")
    assert last.calibrated.progress.logit_scale == 1
    assert not np.array_equal(last.calibrated.model.params.flat, last.model.params.flat)
    assert np.array_equal(
        last.calibrated.calibrated.model.params.flat, last.calibrated.model.params.flat
    )


def test_an_export_has_the_scaled_weights_once(memorized: Run, tmp_path: Path) -> None:
    file = memorized.checkpoints.file_of(120)
    export(file, to="safetensors", output=tmp_path / "one.safetensors")
    back = import_model(tmp_path / "one.safetensors", runs_dir=tmp_path)
    checkpoint = memorized.checkpoints.read("last")
    assert np.array_equal(back.lm.model.params.flat, checkpoint.language_model().model.params.flat)
    assert not np.array_equal(back.lm.model.params.flat, checkpoint.model.params.flat)
