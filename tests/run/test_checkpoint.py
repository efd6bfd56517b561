import json
import re
from pathlib import Path

import numpy as np
import pytest

from grucli import __version__
from grucli.config import FORMER
from grucli.evaluation import evaluate
from grucli.nn.model import Model
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint
from tests.run.helpers import refusal, rewrite


def test_everything_survives(checkpoint: Checkpoint, path: Path) -> None:
    loaded = checkpoints.read(path)
    np.testing.assert_array_equal(loaded.model.params.flat, checkpoint.model.params.flat)
    np.testing.assert_array_equal(loaded.moments.m, checkpoint.moments.m)
    np.testing.assert_array_equal(loaded.moments.v, checkpoint.moments.v)
    np.testing.assert_array_equal(loaded.state, checkpoint.state)
    np.testing.assert_array_equal(loaded.counts, checkpoint.counts)
    np.testing.assert_array_equal(loaded.vocabulary.symbols, checkpoint.vocabulary.symbols)
    assert loaded.progress == checkpoint.progress
    assert loaded.settings == checkpoint.settings
    assert (loaded.window, loaded.text_id) == (checkpoint.window, checkpoint.text_id)
    assert list(loaded.unseen) == list(checkpoint.unseen)


def test_equal_content_makes_equal_bytes(checkpoint: Checkpoint, path: Path) -> None:
    checkpoints.write(Path("again.npz"), checkpoint)
    assert Path("again.npz").read_bytes() == path.read_bytes()


def test_other_programs_can_read_it(checkpoint: Checkpoint, path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["layer1.W_h"], checkpoint.model.params["layer1.W_h"])
        assert json.loads(arrays["meta"].tobytes())["format"] == 2


def test_former_settings_are_ignored_where_they_had_no_effect(
    checkpoint: Checkpoint, path: Path
) -> None:
    settings = checkpoint.settings.model_dump()
    for key, value in FORMER.items():
        section, _, name = key.partition(".")
        settings[section][name] = value
    assert checkpoints.read(rewrite(path, settings=settings)).settings == checkpoint.settings
    settings["optim"]["name"] = "sgd"
    assert "has optim.name, which this grucli" in refusal(rewrite(path, settings=settings))


def test_a_run_from_before_rates_of_some_weights_keeps_its_one_rate(
    checkpoint: Checkpoint, path: Path
) -> None:
    settings = checkpoint.settings.model_dump()
    del settings["optim"]["input_lr"]
    optim = checkpoints.read(rewrite(path, settings=settings)).settings.optim
    assert optim.input_lr == 1
    assert optim.recurrent_lr == checkpoint.settings.optim.recurrent_lr
    del settings["optim"]["recurrent_lr"]
    assert checkpoints.read(rewrite(path, settings=settings)).settings.optim.recurrent_lr == 1


def test_a_run_by_the_former_optimizer_goes_on_without_its_momentum(
    checkpoint: Checkpoint, path: Path
) -> None:
    settings = checkpoint.settings.model_dump()
    settings["optim"]["muon"] = True
    checkpoint.moments.m[:], checkpoint.moments.v[:] = 7.0, 1.0
    checkpoint.moments.v[:5] = 0.0  # as Muon has left it
    checkpoints.write(path, checkpoint)
    loaded = checkpoints.read(rewrite(path, settings=settings))
    assert loaded.settings == checkpoint.settings
    np.testing.assert_array_equal(loaded.moments.m[:6], [0, 0, 0, 0, 0, 7])


def test_missing_directory_and_other_files(path: Path) -> None:
    assert "there is no such file" in refusal(Path("nothing.npz"))
    Path("text.npz").write_text("not an archive", encoding="utf-8")
    assert "not a checkpoint" in refusal(Path("text.npz"))
    np.savez("other.npz", a=np.zeros(3))
    assert "no member named meta" in refusal(Path("other.npz"))
    Path("empty.npz").touch()
    assert "not a checkpoint" in refusal(Path("empty.npz"))


@pytest.mark.parametrize("number", [1, 99])
def test_another_format_asks_for_the_version_that_wrote_it(path: Path, number: int) -> None:
    told = refusal(rewrite(path, format=number))
    assert f"written in format {number} by grucli" in told
    assert "use the grucli that wrote it" in told


def test_members_must_be_what_the_settings_promise(path: Path) -> None:
    assert "adam.v is missing" in refusal(rewrite(path, adam__v=None))
    assert "extra is not expected" in refusal(rewrite(path, extra=[1]))
    assert "output.b_c is float32[3], not float32[" in refusal(
        rewrite(path, output__b_c=np.zeros(3, np.float32))
    )
    assert "adam.m is float64" in refusal(rewrite(path, adam__m=np.zeros(3)))
    assert "state is float32[1]" in refusal(rewrite(path, state=np.zeros(1, np.float32)))
    assert "damaged" in refusal(rewrite(path, settings={"model": {"hidden": "x"}}))


def test_settings_of_another_version_are_named(path: Path, checkpoint: Checkpoint) -> None:
    settings = checkpoint.settings.model_dump(mode="json")
    settings["model"]["wings"] = 2
    told = refusal(rewrite(path, settings=settings, grucli="99.1"))
    assert f"has model.wings, which this grucli {__version__} does not know" in told
    assert "written by grucli 99.1: use that version" in told
    assert "has nonsense, which" in refusal(rewrite(path, progress={"nonsense": 1}))


def test_values_must_be_finite(path: Path, checkpoint: Checkpoint) -> None:
    bias = np.full(checkpoint.model.V, np.nan, np.float32)
    assert "output.b_c holds values that are not finite" in refusal(rewrite(path, output__b_c=bias))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": True}, "no format number"),
        ({"format": -1}, "no format number"),
        ({"format": 1.0}, "no format number"),
        ({"window": 10**30}, "window does not fit its settings"),
        ({"window": True}, "window does not fit its settings"),
        ({"window": "12"}, "window does not fit its settings"),
        ({"corpus": {"sha256": "0", "chars": True}}, "identify the corpus"),
        ({"corpus": {"sha256": "0", "chars": 9, "skipped": "x"}}, "identify the corpus"),
        ({"corpus": {"sha256": "0", "chars": 9}}, "counts are not those of a text"),
        ({"corpus": []}, "damaged"),
        ({"corpus": {"sha256": "0", "chars": 9, "unseen": [-1]}}, "corpus.unseen in meta"),
        ({"corpus": {"sha256": "0", "chars": 9, "unseen": [True]}}, "corpus.unseen in meta"),
        ({"corpus": {"sha256": "0", "chars": 9, "unseen": [10**6]}}, "corpus.unseen in meta"),
        (
            {
                "corpus": {
                    "sha256": "0",
                    "chars": 9,
                    "held_out": {"val": {"sha256": "0", "chars": 9}},
                }
            },
            "identify the held-out texts",
        ),
        ({"progress": {"step": -5}}, "step in meta"),
        ({"progress": {"step": 10**16}}, "step in meta"),
        ({"progress": {"best_loss": float("nan")}}, "best_loss in meta"),
        ({"progress": {"lr_factor": 0.0}}, "lr_factor in meta"),
        ({"settings": {"model": {"hidden": 10**30}}}, "model.hidden in meta"),
    ],
)
def test_what_no_training_writes_is_refused_in_a_line(
    path: Path, change: dict[str, object], problem: str
) -> None:
    message = refusal(rewrite(path, **change))
    assert problem in message
    assert "\n" not in message


def test_arrays_that_no_training_writes_are_refused(path: Path, checkpoint: Checkpoint) -> None:
    V, P = checkpoint.model.V, checkpoint.model.params.flat.size
    for counts in (np.full(V, 2**62), np.full(V, -1), np.zeros(V, np.int64)):
        assert "counts are not those of a text" in refusal(rewrite(path, counts=counts))
    symbols = checkpoint.vocabulary.symbols.copy()
    symbols[-1] = 0x110000
    assert "0x110000, which is not a char" in refusal(rewrite(path, vocabulary=symbols))
    for size in (3e38, -3e38):
        biases = np.full(V, size, np.float32)
        assert "weights above 1e+30" in refusal(rewrite(path, output__b_c=biases))
    squares = np.full(P, -1, np.float32)
    assert "squares below zero" in refusal(rewrite(path, adam__v=squares))
    wide = np.zeros((2, checkpoint.settings.train.batch + 1, 5), np.float32)
    assert "its state does not fit its settings" in refusal(rewrite(path, state=wide))


def test_what_is_computed_from_the_largest_weights_is_finite(
    path: Path, checkpoint: Checkpoint
) -> None:
    largest = np.float32(checkpoints.LARGEST_WEIGHT)
    signs = np.where(np.arange(checkpoint.model.params.flat.size) % 2, -1, 1)
    checkpoint.model.params.flat[:] = 0.999 * largest * signs
    assert checkpoint.finite
    checkpoints.write(path, checkpoint)
    ids = np.arange(300) % checkpoint.model.V
    with np.errstate(all="ignore"):
        score = evaluate(checkpoints.read(path).model, ids)
    assert np.isfinite([score.loss, score.bits, score.perplexity, score.accuracy]).all()
    checkpoint.model.params.flat[0] = 2 * largest
    assert not checkpoint.finite  # and so it is not written


def test_a_failed_write_leaves_the_old_file(
    path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    checkpoint.progress.step = 8
    with pytest.raises(OSError, match="No space left"):
        checkpoints.write(path, checkpoint)
    assert path.read_bytes() == before
    assert [p.name for p in Path().iterdir() if "tmp" in p.name] == []


def test_the_document_lists_the_members() -> None:
    page = (Path(__file__).parents[2] / "docs" / "run-directory.md").read_text(encoding="utf-8")
    described = {
        name: kind
        for names, kind in re.findall(r"^\| (`.+?`) \| (\w+ \(.*?\)) \|", page, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", names)
    }
    for name, (dtype, letters) in checkpoints.MEMBERS.items():
        comma = "," if len(letters) == 1 else ""
        shape = f"({', '.join(letters)}{comma})"
        assert described.pop(name) == f"{dtype} {shape}"
    parameters = Model(5, 4, 1).params.shapes
    assert described.keys() <= set(parameters)  # they may have a table of their own


def test_the_table_of_members_is_what_a_file_holds(checkpoint: Checkpoint, path: Path) -> None:
    parameters = dict(checkpoint.model.params.items())
    with np.load(path) as arrays:
        assert set(arrays) - set(parameters) == set(checkpoints.MEMBERS)
        for name in set(arrays) - set(parameters):
            dtype, letters = checkpoints.MEMBERS[name]
            assert arrays[name].dtype == dtype
            assert arrays[name].ndim == len(letters)
