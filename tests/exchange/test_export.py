"""Where exports are written; each format has a test of its own."""

import errno
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import grucli
from grucli.errors import RunError, UsageError
from grucli.exchange import export as exports
from grucli.exchange import torch_files
from grucli.exchange.export import NAMES
from tests.conftest import snapshot
from tests.exchange.models import make_run
from tests.exchange.test_hub import FILES

THREE = [b"weights", b"module", b"{}"]


def three(path: Path) -> dict[str, bytes]:
    names = [path.name, path.with_suffix(".py").name, path.with_suffix(".json").name]
    return dict(zip(names, THREE, strict=True))


@pytest.fixture
def run(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run, whose state dict needs no PyTorch."""
    monkeypatch.setattr(torch_files, "export", lambda _, path: three(path))
    return Path(shutil.copytree(trained, "run"))


def test_an_export_is_in_the_run_or_where_it_is_named(run: Path) -> None:
    assert grucli.export(run, "safetensors").path == run / "model.safetensors"
    assert grucli.export(run, "safetensors", "m.bin").files == (Path("m.bin"),)
    made = grucli.export(run, "torch", "m.pt")
    assert [path.read_bytes() for path in made.files] == THREE
    assert sorted(path.name for path in Path().glob("m.*")) == ["m.bin", "m.json", "m.pt", "m.py"]


def test_the_module_names_the_file_that_it_loads(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: object, path: Path) -> dict[str, bytes]:
        return three(path) | {"weights.py": torch_files.module("rnn", path.name).encode()}

    monkeypatch.setattr(torch_files, "export", write)
    _, module, _ = grucli.export(run, "torch", "weights.bin").files
    assert 'load("weights.bin")' in module.read_text("utf-8")


def test_curves_are_written_again_and_not_beside_the_old_ones(run: Path) -> None:
    pytest.importorskip("tensorboard")
    (first,) = grucli.export(run, "tensorboard", "logs").files
    os.utime(run / "metrics.csv", (1e9, 1e9))
    (second,) = grucli.export(run, "tensorboard", "logs", force=True).files
    assert first != second
    assert [*Path("logs").iterdir()] == [Path(second)]


def test_a_folder_of_the_hub_keeps_the_curves_that_are_in_it(run: Path) -> None:
    Path("hub").mkdir()
    curves = Path("hub/events.out.tfevents.1764489000.grucli")
    curves.write_text("mine")
    grucli.export(run, "hub", "hub", license="mit", force=True)
    assert curves.read_text() == "mine"


@pytest.mark.parametrize("existing", ["m.pt", "m.py", "m.json"])
def test_a_file_that_exists_is_overwritten_only_with_force(run: Path, existing: str) -> None:
    Path(existing).write_text("mine")
    before = snapshot(Path())
    with pytest.raises(UsageError, match=rf"--output {existing}: this file exists"):
        grucli.export(run, "torch", "m.pt")
    assert snapshot(Path()) == before
    grucli.export(run, "torch", "m.pt", force=True)
    assert Path(existing).read_text() != "mine"


def test_a_folder_must_be_empty_unless_forced(run: Path) -> None:
    Path("hub").mkdir()
    grucli.export(run, "hub", "hub", license="mit")
    with pytest.raises(UsageError, match="hub: is not empty"):
        grucli.export(run, "hub", "hub", license="mit")
    Path("hub/README.md").write_text("mine")
    Path("hub/other").write_text("mine")
    grucli.export(run, "hub", "hub", license="apache-2.0", force=True)
    assert "apache-2.0" in Path("hub/README.md").read_text("utf-8")
    assert Path("hub/other").read_text() == "mine"


@pytest.mark.parametrize(
    ("to", "output", "said"),
    [
        ("hub", "run/run.json", "this is a file, and hub is a folder"),
        ("hub", "none/hub", "there is no directory none"),
        ("safetensors", "none/m", "there is no directory none"),
        ("safetensors", "run", "this is a directory"),
        ("csv", "run/metrics.csv", "the command reads this file"),
        ("torch", "m.py", "output must end in .pt"),
        ("torch", "torch.pt", "Python has a module torch"),
        ("torch", "json.pt", "Python has a module json"),
        ("torch", "pipe", "pipe: this is not a file, and torch writes several"),
        ("torch", "beside.pt", r"beside\.py: this is not a file, and torch writes several"),
    ],
)
def test_a_place_that_cannot_be_is_refused(run: Path, to: Any, output: str, said: str) -> None:
    for name in ("pipe", "beside.py"):  # never a device: a fault here would replace it
        os.mkfifo(name)
    before = snapshot(Path())
    with pytest.raises(UsageError, match=said):
        grucli.export(run, to, output, force=True, license="mit" if to == "hub" else None)
    assert snapshot(Path()) == before


def test_a_file_of_the_text_is_not_overwritten() -> None:
    Path("texts").mkdir()
    text = Path("texts", "a.csv")
    text.write_text("some words\n" * 200)
    settings = {"model.hidden": 4, "sample.length": 0}
    made = grucli.train("texts", steps=2, settings=settings, runs_dir="runs")
    with pytest.raises(UsageError, match="the command reads this file"):
        grucli.export(made.path, "csv", text, force=True)
    assert text.read_text() == "some words\n" * 200


def test_a_link_still_leads_to_the_file(run: Path) -> None:
    Path("target.pt").write_text("old")
    Path("link.pt").symlink_to("target.pt")
    grucli.export(run, "torch", "link.pt", force=True)
    assert Path("link.pt").is_symlink()
    names = [path.name for path in sorted(Path().glob("target.*"))]
    assert names == ["target.json", "target.pt", "target.py"]
    assert Path("target.pt").read_bytes() == THREE[0]


@pytest.mark.parametrize("to", ["safetensors", "torch", "hub"])
def test_a_link_in_the_run_is_not_followed(run: Path, to: Any) -> None:
    """Nobody has named the place that it leads to."""
    Path("elsewhere").mkdir()
    (run / NAMES[to]).symlink_to(Path("elsewhere" if to == "hub" else "elsewhere/new.pt").resolve())
    with pytest.raises(UsageError, match="is a link to another place; name the export with -o"):
        grucli.export(run, to, force=True, license="mit" if to == "hub" else None)
    assert not any(Path("elsewhere").iterdir())


def test_an_export_to_a_folder_needs_no_other(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a mount point, or all that the user may write to."""
    Path("hub").mkdir()
    used = []

    def temporary(*, prefix: str, dir: Path) -> TemporaryDirectory[str]:
        used.append(dir)
        return TemporaryDirectory(prefix=prefix, dir=dir)

    monkeypatch.setattr(exports, "TemporaryDirectory", temporary)
    grucli.export(run, "hub", "hub", license="mit")
    assert used == [Path("hub")]
    assert {path.name for path in Path("hub").iterdir()} == FILES


def test_options_belong_to_their_formats(run: Path) -> None:
    with pytest.raises(UsageError, match="weights is for --to onnx"):
        grucli.export(run, "csv", weights="int8")
    with pytest.raises(UsageError, match="to must be 'onnx', "):
        grucli.export(run, "gguf")  # type: ignore[arg-type]


def test_a_checkpoint_outside_of_a_run_needs_a_name() -> None:
    path = make_run().checkpoints.find("best")
    alone = Path(shutil.copy(path, "alone.npz"))
    with pytest.raises(UsageError, match=r"alone\.npz: is not a run directory; name the export"):
        grucli.export(alone, "safetensors")
    first = grucli.export(alone, "safetensors", "a")
    assert first.path.read_bytes() == grucli.export(path, "safetensors", "b").path.read_bytes()


@pytest.mark.parametrize("to", ["safetensors", "torch"])
def test_a_full_disk_leaves_nothing(run: Path, to: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = snapshot(Path())
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match=r"m\.pt: cannot be written: No space left"):
        grucli.export(run, to, "m.pt")
    assert snapshot(Path()) == before
