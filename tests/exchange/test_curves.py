import csv
import math
import shutil
from pathlib import Path

import pytest

import grucli
from grucli.errors import UsageError
from grucli.run.records import HEADER
from grucli.run.run import Run
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
