"""The metrics of a run: a wide table, and an event file of TensorBoard."""

import csv
import io
import logging
import math
import re
import time
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from typing import Any

from grucli.errors import UsageError
from grucli.exchange.comparison import needed
from grucli.files import read_small
from grucli.run.records import HEADER, Metrics
from grucli.run.run import Run
from grucli.training.events import Evaluated, Event, Logged, RolledBack, Sampled, Started

log = logging.getLogger(__name__)

PREFIX, FIRST = "events.out.tfevents", {"step": 0, "file_version": "brain.Event:2"}
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
    """An event file by its name. Its times end when the metrics were last written."""
    rows = _rows(run)
    start = (run.path / "metrics.csv").stat().st_mtime - rows[-1].elapsed_s
    times = {row.step: start + row.elapsed_s for row in rows}
    events = [FIRST, *(_scalars(asdict(row)) for row in rows)]
    events += [_text(step, read_small(path)) for step, path in run.samples()]
    events.sort(key=itemgetter("step"))
    content = b"".join(_record(times.get(event["step"], start), event) for event in events)
    return {f"{PREFIX}.{int(start):010d}.grucli": content}


def is_export(name: str) -> bool:
    """Whether a file is one of ``tensorboard``, and not one of a session."""
    return re.fullmatch(rf"{re.escape(PREFIX)}\.\d+\.grucli", name) is not None


class EventFile:
    """Writes what events of training say for TensorBoard, one file for each session of a run."""

    def __init__(self) -> None:
        self.path: Path | None = None
        _record(0, FIRST)  # TensorBoard must be there before a run is made

    def __call__(self, event: Event) -> Event:
        """Write what an event says, and return it. No trouble with the file ends a run."""
        now, fields = time.time(), _fields(event)
        try:
            if isinstance(event, Started):
                self.path = event.path / "tensorboard" / f"{PREFIX}.{now:020.9f}.grucli"
                self.path.parent.mkdir(exist_ok=True)
                self.path.write_bytes(_record(now, FIRST))
            if self.path and fields:
                with self.path.open("ab") as file:
                    file.write(_record(now, fields))
        except OSError as error:
            log.warning(f"note: {self.path}: no more is written for TensorBoard: {error.strerror}")
            self.path = None
        return event


def _fields(event: Event) -> dict[str, Any]:
    if isinstance(event, Started | RolledBack):  # forget the later steps of earlier files
        return {"step": event.step + 1, "session_log": {"status": 1}}
    if isinstance(event, Logged):
        return _scalars(asdict(event.row))
    if isinstance(event, Evaluated) and (loss := event.val_loss) is not None:
        numbers = {"epoch": event.epoch, "loss": loss, "bpc": loss / math.log(2)}
        return _scalars({"step": event.step, "split": "val", **numbers})
    return _text(event.step, event.text) if isinstance(event, Sampled) else {}


def _scalars(row: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in row if name not in ("step", "split")]
    values = [{"tag": f"{name}/{row['split']}", "simple_value": row[name]} for name in names]
    return {"step": row["step"], "summary": {"value": values}}


def _text(step: int, sample: bytes) -> dict[str, Any]:
    shown = "    " + sample.decode(errors="replace").replace("\n", "\n    ")  # code, in Markdown
    shape, metadata = {"dim": [{"size": 1}]}, {"plugin_data": {"plugin_name": "text"}}
    tensor = {"dtype": 7, "tensor_shape": shape, "string_val": [shown.encode()]}
    value = {"tag": "sample", "tensor": tensor, "metadata": metadata}
    return {"step": step, "summary": {"value": [value]}}


def _record(wall_time: float, fields: dict[str, Any]) -> bytes:
    """An event, by its fields, as a file of TensorBoard holds it."""
    event = needed("tensorboard.compat.proto.event_pb2", "tensorboard").Event
    records = needed("tensorboard.summary.writer.record_writer", "tensorboard")
    buffer = io.BytesIO()
    records.RecordWriter(buffer).write(event(wall_time=wall_time, **fields).SerializeToString())
    return buffer.getvalue()


def _rows(run: Run) -> list[Metrics]:
    rows = run.rows() if (run.path / "metrics.csv").is_file() else []
    if not rows:
        raise UsageError(f"{run.path}: has no metrics to export; only a run that was trained has")
    return rows
