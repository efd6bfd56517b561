import json
import shutil
from pathlib import Path

import pytest
import yaml

import grucli
from grucli.errors import UsageError
from grucli.exchange.safetensors import load
from tests.conftest import TINY, Grucli
from tests.exchange.models import make_run
from tests.texts import prose

FILES = {"README.md", "config.json", "model.safetensors", "page.html", "report.html"}


def test_the_folder_has_a_card_the_weights_and_the_pages(trained: Path) -> None:
    made = grucli.export(trained, "hub", "my-model", license="mit", language="en")
    assert {path.name for path in made.files} == FILES == {p.name for p in made.path.iterdir()}
    _, head, text = (made.path / "README.md").read_text("utf-8").split("---\n", 2)
    card = yaml.safe_load(head)
    assert (card["license"], card["language"]) == ("mit", "en")
    result = card["model-index"][0]
    assert result["name"] == "my-model"
    loss = grucli.runs(trained.parent)[0].checkpoint.progress.loss
    assert loss is not None
    assert result["results"][0]["metrics"][0]["value"] == pytest.approx(loss / 0.693147, abs=1e-3)
    assert "grucli import model.safetensors --name my-model" in text
    assert "text.txt (4,000 characters)" in text
    assert "How surprising" not in (made.path / "report.html").read_text("utf-8")
    config = json.loads((made.path / "config.json").read_text("utf-8"))
    assert config["vocabulary"] == json.loads(
        load(made.path / "model.safetensors")[1]["vocabulary"]
    )


def test_the_weights_can_be_imported(trained: Path) -> None:
    grucli.export(trained, "hub", "m", license="mit")
    run = grucli.import_model("m/model.safetensors")
    assert run.lm.sample(30, seed=1) == grucli.load(trained).sample(30, seed=1)
    again = grucli.export(run.path, "hub", "again", license="mit")
    assert (
        Path("m/model.safetensors").read_bytes() == (again.path / "model.safetensors").read_bytes()
    )
    card = (again.path / "README.md").read_text("utf-8")
    assert "a text that is not recorded" in card
    assert "`report.html` has its curves" in card
    (file,) = Path(run.path, "checkpoints").glob("*.npz")
    alone = Path(shutil.copy(file, "alone.npz"))
    alone_card = grucli.export(alone, "hub", "third", license="mit").path / "README.md"
    assert "report.html" not in alone_card.read_text("utf-8")


def test_the_model_has_the_name_of_its_run() -> None:
    run = make_run()
    card = grucli.export(run.path, "hub", license="mit").path / "README.md"
    assert f"\n# {run.path.name}\n" in card.read_text("utf-8")


def test_nothing_names_the_folders_of_who_made_it(grucli: Grucli) -> None:
    private = Path("private").resolve()
    private.mkdir()
    (private / "valid.txt").write_text(prose(400))
    Path("text.txt").write_text(prose(4_000))
    grucli("train", "text.txt", "--val", private / "valid.txt", *TINY, "--steps=3", "--name=m")
    (run,) = Path("runs").iterdir()
    assert str(private) in (run / "report.html").read_text("utf-8")
    grucli("export", run, "--to", "hub", "--license", "mit", "-o", "hub")
    for path in Path("hub").iterdir():
        assert str(private).encode() not in path.read_bytes(), path
    assert "valid.txt" in Path("hub/report.html").read_text("utf-8")


def test_the_licence_is_asked_for() -> None:
    run = make_run()
    with pytest.raises(UsageError, match="license must name the licence of the model"):
        grucli.export(run.path, "hub")
    assert not (run.path / "hub").exists()
    with pytest.raises(UsageError, match="license is for --to hub"):
        grucli.export(run.path, "csv", license="mit")
