import csv
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import grucli
from grucli.errors import UsageError
from grucli.exchange.curves import EventFile
from grucli.run.records import HEADER
from grucli.run.run import Run
from grucli.training.events import Logged, RolledBack, Started
from tests.cli.helpers import refusal
from tests.conftest import TINY, Grucli
from tests.exchange.models import make_run


def test_the_wide_table_has_one_row_for_each_step(trained: Path) -> None:
    made = grucli.export(trained, "csv", "wide.csv")
    with made.path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(set(steps))
    by_step = dict(zip(steps, rows, strict=True))
    for row in Run(trained).rows():
        wide = by_step[row.step]
        assert float(wide[f"{row.split}_loss"]) == row.loss
        assert float(wide[f"{row.split}_bpc"]) == row.bpc
        if row.split == "train":
            assert float(wide["chars_per_s"]) == row.chars_per_s
    assert any(row["val_loss"] == "" for row in rows)


@pytest.mark.parametrize("to", ["csv", "tensorboard"])
def test_a_run_without_metrics_is_refused(to: str) -> None:
    with pytest.raises(UsageError, match="has no metrics to export"):
        grucli.export(make_run().path, to)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_every_row_and_every_sample(trained: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import (
        STORE_EVERYTHING_SIZE_GUIDANCE,
        EventAccumulator,
    )

    path = Path(shutil.copytree(trained, "run"))
    (path / "samples" / "step-00000010.txt").write_bytes(b"\xff<b>&\r\n\n# x\0\xe4\xbd\xa0")
    run = Run(path)
    made = grucli.export(path, "tensorboard")
    reader = EventAccumulator(str(made.path), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE)
    reader.Reload()
    found = {
        (tag, event.step): event.value
        for tag in reader.Tags()["scalars"]
        for event in reader.Scalars(tag)
    }
    columns = [name for name in HEADER if name not in ("step", "split")]
    expected = {
        (f"{name}/{row.split}", row.step): getattr(row, name)
        for row in run.rows()
        for name in columns
    }
    assert found.keys() == expected.keys()
    assert all(math.isclose(found[key], expected[key], rel_tol=1e-6) for key in expected)
    texts = {event.step: event.tensor_proto.string_val[0] for event in reader.Tensors("sample")}
    assert texts.keys() == {step for step, _ in run.samples()}
    assert texts[10] == "    \ufffd<b>&\r\n    \n    # x\0\u4f60".encode()


def reader(folder: Path) -> Any:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    everything = accumulators.STORE_EVERYTHING_SIZE_GUIDANCE
    made = accumulators.EventAccumulator(str(folder), size_guidance=everything)
    return made.Reload()


def scalars(folder: Path, tag: str) -> dict[int, float]:
    return {event.step: event.value for event in reader(folder).Scalars(tag)}


def check_event_files(path: Path) -> None:
    """TensorBoard reads the losses and the samples of the run, and nothing else."""
    run, folder = Run(path), path / "tensorboard"
    for split in ("train", "val"):
        rows = {row.step: row for row in run.rows() if row.split == split}
        losses, bits = scalars(folder, f"loss/{split}"), scalars(folder, f"bpc/{split}")
        assert losses.keys() == bits.keys() == rows.keys()
        assert all(math.isclose(losses[step], rows[step].loss, rel_tol=1e-5) for step in rows)
        assert all(math.isclose(bits[step], rows[step].bpc, rel_tol=1e-5) for step in rows)
    texts = {event.step: event.tensor_proto for event in reader(folder).Tensors("sample")}
    assert texts.keys() == {step for step, _ in run.samples()}
    for step, sample in run.samples():
        shown = texts[step].string_val[0].decode()
        kept = sample.read_bytes().decode(errors="replace")
        assert shown == "\n".join("    " + line for line in kept.split("\n"))


@pytest.mark.filterwarnings("ignore")
def test_a_run_in_training_writes_an_event_file_for_each_session(
    grucli: Grucli, text_file: Path
) -> None:
    pytest.importorskip("tensorboard")
    done = grucli("train", text_file, "--steps=20", "--tensorboard", "-q", *TINY)
    assert (done.code, done.err) == (0, "")
    path = Path(done.out.strip())
    check_event_files(path)
    (first,) = (path / "tensorboard").iterdir()
    before = first.read_bytes()
    done = grucli("train", "--resume", path, "--steps=35", "--tensorboard", "-q")
    assert done.code == 0
    assert first.read_bytes() == before
    assert len(list((path / "tensorboard").iterdir())) == 2
    check_event_files(path)


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_forgets_the_steps_that_a_run_takes_again(trained: Path) -> None:
    pytest.importorskip("tensorboard")
    write, (row, *_) = EventFile(), Run(trained).rows()
    for step in (0, 10):  # a crash lost the steps after the tenth
        write(Started(Path(), step, None, 1.0, ()))
        for later in (5, 10, 15, 20):
            if later > step:
                write(Logged(replace(row, step=later, loss=float(later + step))))
    assert scalars(Path("tensorboard"), "loss/train") == {5: 5, 10: 10, 15: 25, 20: 30}
    write(RolledBack("the loss is not finite", 5, 0.5))
    assert scalars(Path("tensorboard"), "loss/train") == {5: 5}


@pytest.mark.filterwarnings("ignore")
def test_a_run_goes_on_without_its_event_file(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    written = Path.open

    def full(path: Path, *args: Any, **options: Any) -> Any:
        if ".tfevents." in path.name and args == ("ab",):
            raise OSError(28, "No space left on device", str(path))
        return written(path, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    done = grucli("train", text_file, "--steps=20", "--tensorboard", "-q", *TINY)
    assert done.code == 0
    assert done.err.count("no more is written for TensorBoard: No space left on device") == 1


def test_without_tensorboard_nothing_is_trained(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    said = refusal(grucli, "train", text_file, "--steps=2", "--tensorboard", *TINY)
    assert "tensorboard is not installed" in said
