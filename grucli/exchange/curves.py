"""The metrics of a run: a wide table, and an event file of TensorBoard."""

import csv
import io
from typing import Any

from grucli.errors import UsageError
from grucli.exchange.comparison import needed
from grucli.files import read_small
from grucli.run.records import HEADER, Metrics
from grucli.run.run import Run

BY_SPLIT = ("loss", "bpc")  # columns of which each split has its own


def wide(run: Run) -> bytes:
    """One row for each step, as CSV; what was not measured at a step is empty."""
    steps: dict[int, dict[str, float]] = {}
    common = [name for name in HEADER if name not in ("step", "split", *BY_SPLIT)]
    for row in _rows(run):
        cells = steps.setdefault(row.step, {"step": row.step})
        cells |= {f"{row.split}_{name}": getattr(row, name) for name in BY_SPLIT}
        for name in common:  # those of the row of training, if there is one
            cells.setdefault(name, getattr(row, name))
    losses = [f"{split}_{name}" for split in ("train", "val") for name in BY_SPLIT]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["step", *losses, *common], lineterminator="\n")
    writer.writeheader()
    writer.writerows(steps.values())
    return text.getvalue().encode()


def tensorboard(run: Run) -> dict[str, bytes]:
    """An event file by its name: each column as COLUMN/SPLIT, and the samples.

    Its times end when the metrics were last written.
    """
    proto, rows = "tensorboard.compat.proto", _rows(run)
    Event = needed(f"{proto}.event_pb2", "tensorboard").Event
    Summary = needed(f"{proto}.summary_pb2", "tensorboard").Summary
    records = needed("tensorboard.summary.writer.record_writer", "tensorboard")
    start = (run.path / "metrics.csv").stat().st_mtime - rows[-1].elapsed_s
    times = {row.step: start + row.elapsed_s for row in rows}
    events = [Event(wall_time=start, file_version="brain.Event:2")]
    for row in rows:
        values: list[Any] = [
            Summary.Value(tag=f"{name}/{row.split}", simple_value=getattr(row, name))
            for name in HEADER
            if name not in ("step", "split")
        ]
        events.append(Event(wall_time=times[row.step], step=row.step, summary={"value": values}))
    for step, path in run.samples():
        lines = read_small(path).decode(errors="replace").split("\n")
        shown = "\n".join(f"    {line}" for line in lines)  # as it is: indented, in Markdown
        one = {"dim": [{"size": 1}]}
        tensor = {"dtype": 7, "tensor_shape": one, "string_val": [shown.encode()]}
        metadata = {"plugin_data": {"plugin_name": "text"}}
        values = [Summary.Value(tag="sample", tensor=tensor, metadata=metadata)]
        time = times.get(step, start)
        events.append(Event(wall_time=time, step=step, summary={"value": values}))
    buffer = io.BytesIO()
    writer = records.RecordWriter(buffer)
    for event in sorted(events, key=lambda event: event.step):
        writer.write(event.SerializeToString())
    return {f"events.out.tfevents.{int(start):010d}.grucli": buffer.getvalue()}


def _rows(run: Run) -> list[Metrics]:
    rows = run.rows() if (run.path / "metrics.csv").is_file() else []
    if not rows:
        raise UsageError(f"{run.path}: has no metrics to export; only a run that was trained has")
    return rows
