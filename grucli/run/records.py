"""The small files of a run: their names, run.json, best.json and last.json, metrics.csv.

Users may edit these files, so their readers check the type of every value.
"""

import os
import re
from dataclasses import asdict, dataclass, fields
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
from grucli.files import read_json, read_small

# The files that the program writes into a run directory, except those named by step.
KEPT_TEXT = "corpus.txt"  # the text of a run, if it was given as a value
KEPT_CELL = "cell.py"  # the file of its cell, if it is none of the package
OWN_FILES = frozenset(
    ["config.yaml", "overrides.yaml", "run.json", "metrics.csv", "best.json", "last.json"]
) | {KEPT_TEXT, KEPT_CELL}

ADAPTED = "adapted"  # the status of a run that holds the weights after dynamic evaluation
IMPORTED = "imported"  # the status of a run whose weights are from a file
MERGED = "merged"  # the status of a run whose weights are those of several others
NOT_TRAINED = (ADAPTED, IMPORTED, MERGED)  # whose first weights are the last

LONGEST_COMMAND = 2**17  # characters of a command line that are kept
METRICS_LIMIT = 2**28  # bytes of metrics.csv: about three million rows
LINE_LIMIT = 2**12  # bytes of a row of metrics.csv


def stem(step: int) -> str:
    return f"step-{step:08d}"


def step_in(name: str) -> int | None:
    """The step in the name of a sample or checkpoint file; None for other names."""
    match = re.fullmatch(r"step-([0-9]{8}|[1-9][0-9]{8,15})\.(txt|npz)", name)
    return int(match[1]) if match else None


def is_own(name: str | None) -> bool:
    """Whether the program writes files with this name into a run directory."""
    return name is not None and (name in OWN_FILES or step_in(name) is not None)


# ---- run.json ----------------------------------------------------------------------------------


def _usable(path: str) -> str:
    """Check that a file can have this path. Paths that are not UTF-8 are allowed."""
    if not path or "\0" in path:
        raise ValueError("not a path")
    os.fsencode(path)
    return path


FilePath = Annotated[InstanceOf[str], Field(max_length=2**16), AfterValidator(_usable)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Words = Annotated[str, Field(max_length=200)]


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
    """The training text of a run."""

    paths: Annotated[list[FilePath], Field(min_length=1)] | None = None  # or KEPT_TEXT
    bytes: Count | None = None  # of all its files together
    chars: Count | None = None  # symbols that were read: at level byte, bytes
    level: Literal["char", "byte"] | None = None
    symbols: Count | None = None  # different ones
    skipped: Count | None = None
    rare: Count | None = None
    sha256: Words | None = None  # of the bytes of all its files together
    held_out: dict[Literal["val", "test"], "TextInfo"] = {}  # the texts that are no part of it

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
    """The checkpoint from which a run started."""

    sha256: Words | None = None  # of the checkpoint


class WentBack(_Facts):
    """A time that the run diverged."""

    step: Count | None = None  # at which it diverged
    to: Count | None = None  # the step to which it went back
    lr_factor: float | None = None  # for the learning rates from then on
    problem: Words | None = None


class RunInfo(_Facts):
    """The content of run.json."""

    status: Words | None = None  # running, done, interrupted, failed, ADAPTED, IMPORTED, MERGED
    versions: dict[Words, Words] = {}  # of the software and the machine
    seed: int | None = None
    workers: Count | None = None  # processes that shared a batch, on each rank
    ranks: Count | None = None
    corpus: TextInfo = TextInfo()
    parameters: Count | None = None  # their number
    budget: Words | None = None
    lr: float | None = None
    dropout: float | None = None
    commands: list[Annotated[str, Field(max_length=LONGEST_COMMAND)]] = []  # of all sessions
    model: Words | None = None  # cell, layers and units
    init_from: InitFrom | None = None  # None: random weights
    study: Words | None = None  # the id of the study whose trial the run is
    step: Count | None = None  # at the last checkpoint
    best: Best = Best()  # up to the last checkpoint
    elapsed_s: Annotated[float, Field(ge=0)] | None = None  # up to the last checkpoint
    went_back: list[WentBack] = []


def read_info(path: Path) -> RunInfo:
    """Read run.json. If there is no such file, all values are unknown."""
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
    """A pointer to a checkpoint."""

    file: Annotated[InstanceOf[str], AfterValidator(_file_name)]
    step: Annotated[Count, Strict()]
    loss: Annotated[FiniteFloat, Strict()] | None  # of validation
    sha256: StrictStr


_POINTER = TypeAdapter(Pointer)


def read_pointer(path: Path) -> Pointer | None:
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
    """One row of metrics.csv; the names of the fields are its header."""

    step: Count  # steps done
    epoch: FiniteFloat  # passes over the training text
    chars: Count  # characters trained on, or bytes
    split: Literal["train", "val"]
    loss: FiniteFloat  # nats per symbol; for train, the mean since the previous row, with dropout
    bpc: FiniteFloat  # the same loss in bits
    lr: FiniteFloat  # of the last update
    grad_norm: FiniteFloat  # of the last gradient, before clipping
    chars_per_s: FiniteFloat  # training speed since the previous row, without evaluation
    elapsed_s: FiniteFloat  # seconds since the run started, without pauses between sessions

    def to_line(self) -> str:
        values = asdict(self).values()
        cells = (f"{one:.6g}" if isinstance(one, float) else str(one) for one in values)
        return ",".join(cells) + "\n"


HEADER = [field.name for field in fields(Metrics)]
HEADER_LINE = ",".join(HEADER) + "\n"
_METRICS = TypeAdapter(Metrics)


def read_metrics(path: Path) -> list[Metrics]:
    """Read the rows of metrics.csv, without a last line that a crash has cut short."""
    return [row for row, _ in _rows(path)]


def metrics_until(path: Path, step: int) -> str:
    kept = [line for row, line in _rows(path) if row.step <= step]
    return "".join([HEADER_LINE, *kept])


def _rows(path: Path) -> list[tuple[Metrics, str]]:
    try:
        *lines, _ = read_small(path, METRICS_LIMIT).split(b"\n")
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read: {_reason(error)}; without this file (move it away) a run "
            "can be resumed, but not compared"
        ) from None
    rows = []
    for number, raw in enumerate(lines, start=1):
        try:
            line = raw[:LINE_LIMIT].decode()
            cells = line.split(",")
            if number > 1:
                row = _METRICS.validate_python(dict(zip(HEADER, cells, strict=True)))
                rows.append((row, f"{line}\n"))
            elif cells != HEADER:
                raise ValueError("not the header")
        except ValueError:  # the errors of pydantic and of decoding are ValueErrors
            raise CheckpointError(
                f"{path}: line {number:,} is not one that grucli writes; correct it, or move the "
                "file away: without it a run can be resumed, but not compared"
            ) from None
    return rows
