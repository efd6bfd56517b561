"""What the small files of a run directory say: run.json, best.json, last.json and metrics.csv.

People edit these files, copies of them are cut short, and older versions of grucli wrote less
into them. Each has one reader here, which knows the type of all that it returns.
"""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    InstanceOf,
    Strict,
    StrictStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from grucli.errors import CheckpointError
from grucli.files import open_file, read_json

METRICS_LIMIT = 2**28
"""Bytes above which metrics.csv is not read: some three million rows."""

LINE_LIMIT = 2**12
"""Bytes of a line of metrics.csv above which it is no row."""


def _usable(path: str) -> str:
    """A path that a file can have; the bytes of one that is not UTF-8 are kept."""
    if not path or "\0" in path:
        raise ValueError("not a path")
    os.fsencode(path)
    return path


FilePath = Annotated[InstanceOf[str], Field(max_length=2**16), AfterValidator(_usable)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Words = Annotated[str, Field(max_length=200)]


# ---- run.json ----------------------------------------------------------------------------------


class _Facts(BaseModel):
    """An object in JSON: what is missing or of another type is unknown, other keys are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*", mode="wrap")
    @classmethod
    def _or_unknown(
        cls, value: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        try:
            return read(value)
        except ValidationError:
            assert info.field_name is not None
            return cls.model_fields[info.field_name].get_default(call_default_factory=True)


class TextInfo(_Facts):
    """The text that a run was trained on; ``bytes`` and ``sha256`` are those of all its files."""

    paths: Annotated[list[FilePath], Field(min_length=1)] | None = None
    bytes: Count | None = None
    chars: Count | None = None
    symbols: Count | None = None
    skipped: Count | None = None
    rare: Count | None = None
    sha256: Words | None = None


class Best(_Facts):
    """The evaluation with the lowest loss so far, and the text it was of."""

    step: Count | None = None
    loss: float | None = None
    split: Literal["val", "train"] | None = None


class InitFrom(_Facts):
    """The checkpoint that a run started from, and how the new text was read with its vocabulary.

    Attributes:
        path: the run or the checkpoint, as it was named.
        file: the checkpoint.
        sha256: hash of its bytes.
        unknown: whether characters that it does not know were an error or left out.
        extend_vocabulary: whether they were added.
    """

    path: FilePath | None = None
    file: FilePath = "unknown"
    sha256: Words | None = None
    unknown: Literal["error", "skip"] = "error"
    extend_vocabulary: bool = False


class RunInfo(_Facts):
    """What run.json says of a run.

    Attributes:
        status: running, done, interrupted or failed.
        versions: of all that decides the last bits of results, by name.
        seed: of all random numbers.
        workers: processes that shared a batch.
        corpus: the text.
        parameters: number of them.
        model: cell, layers and units.
        init_from: the checkpoint that its weights started from.
        step: updates done at the last checkpoint.
        best: the best evaluation until then.
        elapsed_s: seconds used until then.
    """

    status: Words | None = None
    versions: dict[Words, Words] = {}
    seed: int | None = None
    workers: Count | None = None
    corpus: TextInfo = TextInfo()
    parameters: Count | None = None
    model: Words | None = None
    init_from: InitFrom | None = None
    step: Count | None = None
    best: Best = Best()
    elapsed_s: Annotated[float, Field(ge=0)] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All that is known, and what others have written besides, as JSON takes it."""
        return self.model_dump(exclude_unset=True)


def read_info(path: Path) -> RunInfo:
    """Read run.json; of a run that has none, nothing is known.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        return RunInfo.model_validate(read_json(path))
    except FileNotFoundError:
        return RunInfo()
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: damaged: {_reason(error)}; mend it, or move it away and give the corpus "
            "with --resume, which writes it again"
        ) from None


# ---- best.json and last.json -------------------------------------------------------------------


def _file_name(name: str) -> str:
    """The last part of a path: a run may have been moved."""
    if not (last := Path(_usable(name)).name):
        raise ValueError("not the name of a file")
    return last


@dataclass(frozen=True)
class Pointer:
    """A checkpoint: the name of its file, its step, its validation loss, the hash of its bytes."""

    file: Annotated[InstanceOf[str], AfterValidator(_file_name)]
    step: Annotated[Count, Strict()]
    loss: Annotated[FiniteFloat, Strict()] | None
    sha256: StrictStr


_POINTER = TypeAdapter(Pointer)


def read_pointer(path: Path) -> Pointer | None:
    """Read best.json or last.json; None before the first checkpoint.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        return _POINTER.validate_python(read_json(path))
    except FileNotFoundError:
        return None
    except ValidationError:
        reason = "it does not hold the file, step, loss and sha256 of a checkpoint"
    except (OSError, ValueError) as error:
        reason = _reason(error)
    raise CheckpointError(f"{path}: damaged: {reason}; name a checkpoint file instead")


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "a key in it is not text"
    return str(getattr(error, "strerror", None) or error)


# ---- metrics.csv -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metrics:
    """One row of metrics.csv; the field names are its header.

    Attributes:
        step: updates done.
        epoch: passes over the training text done.
        chars: characters trained on.
        split: train or val.
        loss: nats a character; of train the mean since the row before, with dropout.
        bpc: the same in bits.
        lr: learning rate of the last update.
        grad_norm: norm of its gradient before clipping.
        chars_per_s: training speed since the row before, evaluation not counted.
        elapsed_s: seconds since the run started, pauses before a resume not counted.
    """

    step: Count
    epoch: FiniteFloat
    chars: Annotated[int, Field(ge=0)]
    split: Literal["train", "val"]
    loss: FiniteFloat
    bpc: FiniteFloat
    lr: FiniteFloat
    grad_norm: FiniteFloat
    chars_per_s: FiniteFloat
    elapsed_s: FiniteFloat


HEADER = [field.name for field in fields(Metrics)]

_METRICS = TypeAdapter(Metrics)


@dataclass(frozen=True)
class Line:
    """A line of metrics.csv after its header.

    Attributes:
        row: what it says, None if it is not a row.
        text: the row as grucli writes it.
        faithful: whether ``text`` is all that the line holds.
        torn: whether it is the last one, and has no end.
    """

    row: Metrics | None
    text: str
    faithful: bool
    torn: bool


def read_metrics(path: Path) -> Iterator[Line]:
    """The lines of metrics.csv in order, by the names in its header if it has one.

    Raises:
        CheckpointError: it cannot be read, or is too long.
    """
    try:
        with open_file(path) as file:
            if os.fstat(file.fileno()).st_size > METRICS_LIMIT:
                raise OSError(f"longer than {METRICS_LIMIT:,} bytes")
            columns = HEADER
            for raw in file:
                cells = _cells(raw)
                if set(cells) >= set(HEADER):
                    columns = cells
                elif raw.strip():
                    yield _line(raw, dict(zip(columns, cells, strict=False)))
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read: {_reason(error)}; without this file (move it away) a run "
            "can be resumed, but not compared"
        ) from None


def metrics_until(path: Path, step: int) -> tuple[str, int]:
    """The content of metrics.csv without the rows after ``step``; errors as of ``read_metrics``.

    Returns:
        The content, and how many lines hold something that is not in it. A last line that a crash
        has cut short is not among them.
    """
    kept, lost = [",".join(HEADER)], 0
    for line in read_metrics(path):
        lost += not line.faithful and not line.torn
        if line.row is not None and line.row.step <= step:
            kept.append(line.text)
    return "\n".join(kept) + "\n", lost


def _cells(raw: bytes) -> list[str]:
    """The cells of a line, none of one that cannot be a row."""
    try:
        text = raw[: LINE_LIMIT + 1].decode("utf-8-sig").rstrip("\r\n")
        return next(csv.reader([text]), []) if len(raw) <= LINE_LIMIT else []
    except (UnicodeDecodeError, csv.Error):
        return []


def _line(raw: bytes, values: dict[str, str]) -> Line:
    torn = not raw.endswith(b"\n")
    try:
        row = _METRICS.validate_python(values)
    except ValidationError:
        return Line(None, "", faithful=False, torn=torn)
    text = ",".join(values[name] for name in HEADER)
    return Line(row, text, faithful=text.encode() == raw.rstrip(b"\r\n"), torn=torn)
