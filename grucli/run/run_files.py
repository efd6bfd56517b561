"""Readers for the small files of a run directory: run.json, best.json, last.json, metrics.csv.

Users may edit these files, copies may be incomplete, and older versions of grucli wrote fewer
values. Therefore each file has one reader, which checks the type of every value.
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

from grucli.config import NOUNS
from grucli.errors import CheckpointError
from grucli.files import open_file, read_json

METRICS_LIMIT = 2**28
"""Maximum size of metrics.csv in bytes: about three million rows."""

LINE_LIMIT = 2**12
"""Maximum length of a row of metrics.csv in bytes."""


def _usable(path: str) -> str:
    """Check that a file can have this path. Paths that are not UTF-8 are allowed."""
    if not path or "\0" in path:
        raise ValueError("not a path")
    os.fsencode(path)
    return path


FilePath = Annotated[InstanceOf[str], Field(max_length=2**16), AfterValidator(_usable)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Words = Annotated[str, Field(max_length=200)]


# ---- run.json ----------------------------------------------------------------------------------


class _Facts(BaseModel):
    """A JSON object. Missing or invalid values count as unknown; other keys are kept."""

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

    def to_dict(self) -> dict[str, Any]:
        """All known values and all other keys, as a dictionary for JSON."""
        return self.model_dump(exclude_unset=True)


class TextInfo(_Facts):
    """The training text of a run; ``bytes`` and ``sha256`` are those of all its files together.

    At level byte, ``chars`` is the number of its bytes that were read.
    """

    paths: Annotated[list[FilePath], Field(min_length=1)] | None = None
    bytes: Count | None = None
    chars: Count | None = None
    level: Literal["char", "byte"] | None = None
    symbols: Count | None = None
    skipped: Count | None = None
    rare: Count | None = None
    sha256: Words | None = None

    @property
    def noun(self) -> str:
        """What a symbol of the text is: "character" or "byte", or "symbol" if this is unknown."""
        return NOUNS.get(self.level or "", "symbol")


class Best(_Facts):
    """The evaluation with the lowest loss so far, and the split that it evaluated."""

    step: Count | None = None
    loss: float | None = None
    split: Literal["val", "train"] | None = None


class InitFrom(_Facts):
    """The checkpoint from which a run started, and how characters new to it were treated.

    Attributes:
        path: the run or the checkpoint that the user named.
        file: the checkpoint file.
        sha256: hash of the checkpoint file.
        unknown: whether characters that it does not know were an error or were left out.
        extend_vocabulary: whether such characters were added to the vocabulary.
    """

    path: FilePath | None = None
    file: FilePath = "unknown"
    sha256: Words | None = None
    unknown: Literal["error", "skip"] = "error"
    extend_vocabulary: bool = False


class WentBack(_Facts):
    """A time that the run diverged.

    Attributes:
        step: the step at which it diverged.
        to: the step to which it went back.
        lr_factor: the factor for the learning rates from then on.
        problem: how it diverged.
    """

    step: Count | None = None
    to: Count | None = None
    lr_factor: float | None = None
    problem: Words | None = None


class RunInfo(_Facts):
    """The content of run.json.

    Attributes:
        status: running, done, interrupted or failed.
        versions: versions of the software and the machine, by name.
        seed: the random seed.
        workers: number of processes that shared a batch, on each rank.
        ranks: number of ranks, each with its processes.
        corpus: the training text.
        parameters: number of parameters.
        budget: the budget in words.
        lr: the learning rate.
        dropout: the dropout.
        commands: the command lines of all sessions of the run.
        model: cell, layers and units.
        init_from: the checkpoint with the initial weights, if they were not random.
        study: the id of the study whose trial the run is, if it is one.
        step: number of steps done at the last checkpoint.
        best: the best evaluation up to the last checkpoint.
        elapsed_s: seconds used up to the last checkpoint.
        went_back: the times that the run diverged and went back.
    """

    status: Words | None = None
    versions: dict[Words, Words] = {}
    seed: int | None = None
    workers: Count | None = None
    ranks: Count | None = None
    corpus: TextInfo = TextInfo()
    parameters: Count | None = None
    budget: Words | None = None
    lr: float | None = None
    dropout: float | None = None
    commands: list[Annotated[str, Field(max_length=2**17)]] = []
    model: Words | None = None
    init_from: InitFrom | None = None
    study: Words | None = None
    step: Count | None = None
    best: Best = Best()
    elapsed_s: Annotated[float, Field(ge=0)] | None = None
    went_back: list[WentBack] = []


def read_info(path: Path) -> RunInfo:
    """Read run.json. If there is no such file, all values are unknown.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        return RunInfo.model_validate(read_json(path))
    except FileNotFoundError:
        return RunInfo()
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: damaged: {_reason(error)}; correct it, or move it away and give the "
            "corpus with --resume, which writes a new one"
        ) from None


# ---- best.json and last.json -------------------------------------------------------------------


def _file_name(name: str) -> str:
    """The last part of a path, since the run may have been moved."""
    if not (last := Path(_usable(name)).name):
        raise ValueError("not the name of a file")
    return last


@dataclass(frozen=True)
class Pointer:
    """A pointer to a checkpoint: its file name, step, validation loss and hash."""

    file: Annotated[InstanceOf[str], AfterValidator(_file_name)]
    step: Annotated[Count, Strict()]
    loss: Annotated[FiniteFloat, Strict()] | None
    sha256: StrictStr


_POINTER = TypeAdapter(Pointer)


def read_pointer(path: Path) -> Pointer | None:
    """Read best.json or last.json. Return None if there is no such file.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        return _POINTER.validate_python(read_json(path))
    except FileNotFoundError:
        return None
    except ValidationError:
        reason = "it must have the file, step, loss and sha256 of a checkpoint"
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
        step: number of steps done.
        epoch: number of passes over the training text.
        chars: number of characters trained on; of bytes, in a model of bytes.
        split: train or val.
        loss: nats per character, or per byte in a model of bytes; for train, the mean since the
            previous row, with dropout.
        bpc: the same loss in bits.
        lr: learning rate of the last update.
        grad_norm: norm of the last gradient before clipping.
        chars_per_s: training speed since the previous row, without evaluation.
        elapsed_s: seconds since the run started, without pauses between sessions.
    """

    step: Count
    epoch: FiniteFloat
    chars: Count
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
        row: its values, or None if it is not a valid row.
        text: the row as grucli writes it.
        faithful: whether ``text`` is the whole content of the line.
        torn: whether it is the last line and has no line end.
    """

    row: Metrics | None
    text: str
    faithful: bool
    torn: bool


def read_metrics(path: Path) -> Iterator[Line]:
    """Yield the lines of metrics.csv. A header, if there is one, gives the order of columns.

    Raises:
        CheckpointError: the file cannot be read, or is too long.
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
    """The content of metrics.csv without the rows after ``step``; errors as in ``read_metrics``.

    Returns:
        The content, and the number of invalid lines that it does not fully reproduce. An incomplete
        last line, which a crash can leave, does not count.
    """
    kept, lost = [",".join(HEADER)], 0
    for line in read_metrics(path):
        lost += not line.faithful and not line.torn
        if line.row is not None and line.row.step <= step:
            kept.append(line.text)
    return "\n".join(kept) + "\n", lost


def _cells(raw: bytes) -> list[str]:
    """The cells of a line; an empty list if the line cannot be a row."""
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
