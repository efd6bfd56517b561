"""Checkpoints: .npz files that hold all data for sampling and for resuming a run.

The members of a file, those of ``MEMBERS`` and the parameters, are neither pickled nor compressed.
Equal content gives equal bytes. The reader checks all types before it allocates memory.
"""

import errno
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from grucli import __version__
from grucli.config import BEFORE, Settings, flatten, in_our_words, without_former
from grucli.data.corpus import Corpus, TextId
from grucli.data.documents import end_of
from grucli.data.vocabulary import Vocabulary
from grucli.data.windows import Splits, splits_of
from grucli.errors import CheckpointError
from grucli.files import open_file, replace_file
from grucli.language_model import LanguageModel
from grucli.nn.cells import basic
from grucli.nn.model import Model, shapes
from grucli.nn.optim import Moments
from grucli.nn.params import Array
from grucli.run.records import KEPT_CELL, Count

FORMAT = 2  # version of the file format
Shape = tuple[int | None, ...]  # sizes of an array; None allows any size

# Maximum absolute value of a parameter. Up to it, sums of products over a whole layer are finite in
# float32, and all losses are finite.
LARGEST_WEIGHT = 1e30

LAST_CODE_POINT = {"char": 0x10FFFF, "byte": 0xFF}  # the largest symbol of each level


@dataclass
class Progress:
    """The progress of a run: the part of a checkpoint that is not an array."""

    step: Count = 0  # steps done, which are updates and skipped steps
    # Time used, if the budget is in minutes, because it then determines the learning rate.
    # Otherwise None, so that equal runs have equal checkpoints.
    seconds: Annotated[FiniteFloat, Field(ge=0)] | None = None
    loss_sum: FiniteFloat = 0.0  # of the losses since the last row with the training loss, in nats
    chars: Count = 0  # characters in ``loss_sum``
    best_step: Count | None = None  # of the evaluation with the lowest loss; None before the first
    best_loss: FiniteFloat | None = None  # of that evaluation, in nats per symbol
    evaluations_since_best: Count = 0
    evaluated_step: Count | None = None  # of the last evaluation whose checkpoint was written
    evaluated_loss: FiniteFloat | None = None  # of that evaluation
    lr: FiniteFloat = 0.0  # of the last update
    grad_norm: FiniteFloat = 0.0  # of the last gradient, before clipping
    train_loss: FiniteFloat = 0.0  # mean training loss in the last row with it
    rows_loss_sum: FiniteFloat = 0.0  # of the losses in the rows since the last evaluation, in nats
    rows_chars: Count = 0  # characters in ``rows_loss_sum``
    logit_scale: Annotated[FiniteFloat, Field(gt=0)] = 1.0  # fitted at the last evaluation
    due: bool = False  # a row, evaluation or sample of this step has still to be made after a stop
    skipped: Count = 0  # steps skipped because their loss or gradient was not finite
    consecutive_nonfinite: Count = 0  # skipped steps since the last update
    consecutive_absurd: Count = 0  # steps in a row, up to now, whose loss was absurdly high
    # Factor for the learning rates; it is halved each time the run goes back.
    lr_factor: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def updates(self) -> int:
        return self.step - self.skipped

    @property
    def of_evaluation(self) -> bool:
        """Whether the run was evaluated and saved at this step."""
        return self.step == self.evaluated_step

    @property
    def loss(self) -> float | None:
        """Validation loss at this step, in nats per symbol; None if there was no evaluation."""
        return self.evaluated_loss if self.of_evaluation else None

    @property
    def loss_since_evaluation(self) -> float:
        """Mean training loss in all rows since the last evaluation."""
        return self.rows_loss_sum / self.rows_chars if self.rows_chars else self.train_loss

    def note_row(self) -> None:
        """Begin a new mean of the training loss, for the next row."""
        self.train_loss = self.loss_sum / self.chars
        self.rows_loss_sum += self.loss_sum
        self.rows_chars += self.chars
        self.loss_sum, self.chars = 0.0, 0

    def note_evaluation(self, loss: float) -> bool:
        """Record the loss of an evaluation at this step; return whether it is the best so far."""
        self.evaluated_step, self.evaluated_loss = self.step, loss
        self.rows_loss_sum, self.rows_chars = 0.0, 0
        if self.best_loss is not None and loss >= self.best_loss:
            self.evaluations_since_best += 1
            return False
        self.best_loss, self.best_step, self.evaluations_since_best = loss, self.step, 0
        return True

    def out_of_patience(self, patience: int) -> bool:
        """Whether the loss has not improved for ``patience`` evaluations; never if that is 0."""
        return 0 < patience <= self.evaluations_since_best


_PROGRESS = TypeAdapter(Progress)


@dataclass
class Checkpoint:
    """The state of a run: the content of a checkpoint file."""

    settings: Settings  # resolved settings of the run
    vocabulary: Vocabulary
    counts: npt.NDArray[np.int64]  # how often each symbol occurs in the training text, (V,)
    model: Model
    moments: Moments  # the state of the optimizer
    state: Array  # carried hidden states, (L, B, S H)
    window: int  # characters in a window; fewer than in the settings if the text is short
    text_id: TextId  # the identity of the training text
    unseen: Sequence[int] = ()  # ids of symbols that occur in held-out text alone
    progress: Progress = field(default_factory=Progress)

    @property
    def batch(self) -> int:
        """Number of windows in a batch; fewer than in the settings if the text is short."""
        return int(self.state.shape[1])

    def splits(self, text: Corpus) -> Splits:
        """The parts of the run's corpus, or of another text that is read in the same way."""
        return splits_of(text, self.settings.data)

    @property
    def calibrated(self) -> "Checkpoint":
        """The state with the weights that are evaluated and sampled, whose logits are scaled."""
        progress = replace(self.progress, logit_scale=1.0)
        return replace(self, model=self.model.scaled(self.progress.logit_scale), progress=progress)

    @property
    def facts(self) -> dict[str, Any]:
        """What run.json says of it."""
        progress, judge = self.progress, "val" if self.settings.data.val else "train"
        return {
            "parameters": int(self.model.params.flat.size),
            "model": self.settings.model.in_words,
            "step": progress.step,
            "best": {"step": progress.best_step, "loss": progress.best_loss, "split": judge},
        }

    def with_weights(self, model: Model, progress: Progress) -> "Checkpoint":
        """The state of a run of the same text and settings that has not trained its weights."""
        moments, state = Moments.like(model.params.flat), model.zero_state(self.batch)
        return replace(self, model=model, moments=moments, state=state, progress=progress)

    def language_model(self, path: Path | None = None, *, compiled: bool = False) -> LanguageModel:
        """The model with its vocabulary; ``path`` is displayed as its name."""
        train, text = self.settings.train, (self.vocabulary, self.counts, self.settings.data)
        compiled = compiled and train.compiled is not False
        model = self.calibrated.model
        return LanguageModel(
            model, *text, path, library=train.products, compiled=compiled, unseen=self.unseen
        )

    @property
    def finite(self) -> bool:
        """Whether all numbers are finite, and the weights small enough to give finite losses."""
        others = [self.moments.m, self.moments.v, self.state]
        return _in_range(self.model.params.flat) and all(np.isfinite(x).all() for x in others)

    def copy(self) -> "Checkpoint":
        """The state as it is now, which can be written while training goes on."""
        return replace(
            self,
            model=self.model.astype(np.float32),
            moments=Moments(self.moments.m.copy(), self.moments.v.copy()),
            state=self.state.copy(),
            progress=replace(self.progress),
        )

    def go_back_to(self, earlier: "Checkpoint", lr_factor: float) -> None:
        """Return to an earlier checkpoint of the same run, in place, with other learning rates."""
        self.model.params.flat[:] = earlier.model.params.flat
        self.moments.m[:], self.moments.v[:] = earlier.moments.m, earlier.moments.v
        self.state = earlier.state
        vars(self.progress).update(vars(earlier.progress), lr_factor=lr_factor)
        self.progress.consecutive_nonfinite = self.progress.consecutive_absurd = 0


def model_for(settings: Settings, vocabulary: Vocabulary) -> Model:
    """A model for these settings, whose parameters are not yet initialized."""
    size = settings.model
    separator = vocabulary.id_of(end_of(settings.data))
    return Model(len(vocabulary), size.hidden, size.layers, cell=size.variant, separator=separator)


# ---- members -----------------------------------------------------------------------------------


# The types and shapes of all members except the parameters. V symbols, P parameters, L layers, B
# streams, S H numbers of the state of a layer; n is any number. Each parameter is a float32 member
# under its own name.
MEMBERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "meta": ("uint8", ("n",)),  # UTF-8 JSON: format, settings, progress of the run
    "vocabulary": ("uint32", ("V",)),  # the symbols in order
    "counts": ("int64", ("V",)),  # how often each occurs in the training text
    "adam.m": ("float32", ("P",)),  # moving averages of gradients
    "adam.v": ("float32", ("P",)),  # moving averages of their squares
    "state": ("float32", ("L", "B", "S H")),  # carried into the next window
}


def meta(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a file says besides its arrays."""
    return {
        "format": FORMAT,
        "grucli": __version__,
        "settings": checkpoint.settings.model_dump(mode="json"),
        "window": checkpoint.window,
        "corpus": _facts(checkpoint.text_id) | {"unseen": list(checkpoint.unseen)},
        "progress": asdict(checkpoint.progress),
    }


def _facts(text: TextId) -> dict[str, Any]:
    held_out = {name: _facts(one) for name, one in text.held_out.items()}
    facts = {"sha256": text.sha256, "chars": text.chars, "skipped": text.skipped}
    return facts | ({"held_out": held_out} if held_out else {})


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, completely or not at all. It is verified before it replaces a file."""
    described = json.dumps(meta(checkpoint), ensure_ascii=False).encode()
    arrays = {  # equal bytes need this order
        "meta": np.frombuffer(described, np.uint8),
        "vocabulary": checkpoint.vocabulary.symbols,
        "counts": checkpoint.counts,
        **dict(checkpoint.model.params.items()),
        "adam.m": checkpoint.moments.m,
        "adam.v": checkpoint.moments.v,
        "state": checkpoint.state,
    }
    replace_file(path, lambda file: np.savez(file, **arrays), read_back)  # type: ignore[arg-type]


def read(path: Path) -> Checkpoint:
    """Read and check a checkpoint; a CheckpointError says what is wrong with the file."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            return _Reader(path, archive, path.stat().st_size).read()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file; `grucli runs` lists runs") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    except CheckpointError:
        raise
    except Exception as error:  # zipfile, zlib, numpy, json and pydantic have their own errors
        raise CheckpointError(
            f"{path}: not a checkpoint, or a damaged one ({reason(error)}); "
            "use another checkpoint of its run"
        ) from None


def from_members(path: Path, members: Mapping[str, npt.NDArray[Any]]) -> Checkpoint:
    """The checkpoint with these members, which are from the file ``path``; or a ValueError."""
    buffer = io.BytesIO()
    np.savez(buffer, **members)  # type: ignore[arg-type]
    with zipfile.ZipFile(buffer) as archive:
        return _Reader(path, archive, buffer.tell()).read()


def reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error) or type(error).__name__
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))} in meta: {in_our_words(first['msg'])}"


def read_back(written: Path) -> None:
    """Compare a written file with its checksums; an OSError says that they differ."""
    try:
        with zipfile.ZipFile(written) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        damaged = str(error)
    if damaged:
        raise OSError(errno.EIO, f"the file read back is not the file that was written ({damaged})")


class _Reader:
    """Reads a file of ``np.savez``, and checks it against the settings; a ValueError says more."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, size: int) -> None:
        self.path, self.archive = path, archive
        self.sizes: dict[str, int] = {}  # known sizes, by the letters in ``MEMBERS``
        self.members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(self.members) != len(archive.infolist()):
            raise ValueError("a member occurs twice")
        claimed = sum(max(m.file_size, m.compress_size) for m in archive.infolist())
        if claimed > size:
            raise ValueError(f"its members claim {claimed:,} bytes, more than the file has")

    def check(self, name: str, dtype: npt.DTypeLike, shape: Shape) -> None:
        """Check the type, shape and size of an array without reading its data."""
        info = self.members[name]
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        with self.archive.open(info) as file:
            if (version := np.lib.format.read_magic(file)) != (1, 0):
                raise ValueError(f"array format {version} is not one that grucli writes")
            actual, _, actual_type = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
        fits = len(actual) == len(shape) and all(
            size in (None, has) for size, has in zip(shape, actual, strict=True)
        )
        if not fits or actual_type != np.dtype(dtype):
            wanted = f"{np.dtype(dtype)}{['any' if size is None else size for size in shape]}"
            raise ValueError(f"{name} is {actual_type}{list(actual)}, not {wanted}")
        size, has = math.prod(actual) * np.dtype(dtype).itemsize, info.file_size - start
        if has != size:
            raise ValueError(f"{name} should have {size:,} bytes but has {has:,}")

    def array(self, name: str, dtype: npt.DTypeLike, shape: Shape) -> npt.NDArray[Any]:
        """Read an array of finite numbers, in any order of memory; return it in C order."""
        self.check(name, dtype, shape)
        with self.archive.open(self.members[name]) as file:
            array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            file.read(1)  # reading to the end verifies the checksum
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite")
        return np.ascontiguousarray(array)

    def read(self) -> Checkpoint:
        meta = self.meta()
        for section, values in meta["settings"].items():
            meta["settings"][section] = without_former(values, f"{section}.")
        for key, value in BEFORE.items():
            section, _, name = key.partition(".")
            meta["settings"].setdefault(section, {}).setdefault(name, value)
        muon = meta["settings"]["optim"].pop("muon", False)
        self._check_known(meta)
        self._check_cell(meta["settings"].get("model", {}).get("cell", "gru"))
        settings = Settings.model_validate_json(json.dumps(meta["settings"]))
        symbols = self._symbols(settings)
        self._check_names(settings, len(symbols))
        vocabulary = Vocabulary(symbols, settings.data)
        model = model_for(settings, vocabulary)
        for name, parameter in model.params.items():
            parameter[...] = self.array(name, np.float32, parameter.shape)
            if not _in_range(parameter):
                raise ValueError(
                    f"{name} holds weights above {LARGEST_WEIGHT:g}: the run has diverged"
                )
        self.sizes = {"V": model.V, "P": model.params.flat.size, "L": model.L}
        self.sizes["S H"] = model.state_size
        checkpoint = Checkpoint(
            settings=settings,
            vocabulary=vocabulary,
            counts=self._member("counts"),
            model=model,
            moments=Moments(self._member("adam.m"), self._member("adam.v")),
            state=self._member("state"),
            window=meta["window"],
            text_id=_text_id(meta["corpus"]),
            unseen=list(meta["corpus"].get("unseen", [])),
            progress=_progress(meta),
        )
        _check(checkpoint)
        if muon:  # a former optimizer, whose momentum is none of Adam's
            checkpoint.moments.m[checkpoint.moments.v == 0] = 0.0
        return checkpoint

    def meta(self) -> dict[str, Any]:
        if "meta" not in self.members:
            raise ValueError("it has no member named meta")
        meta = json.loads(self._member("meta").tobytes().decode())
        if not isinstance(meta, dict) or type(meta.get("format")) is not int or meta["format"] < 1:
            raise ValueError("meta holds no format number")
        if meta["format"] != FORMAT:
            raise CheckpointError(
                f"{self.path}: written in format {meta['format']} by grucli {meta.get('grucli')}; "
                f"this is grucli {__version__}, which reads format {FORMAT}: use the grucli that "
                "wrote it"
            )
        return meta

    def _check_known(self, meta: dict[str, Any]) -> None:
        """Refuse settings and progress of another version of the program."""
        named = {f"{part}.{key}" for part, keys in meta["settings"].items() for key in dict(keys)}
        unknown = sorted(named - {*flatten(Settings())})
        unknown += sorted(meta["progress"].keys() - {one.name for one in fields(Progress)})
        if unknown:
            raise CheckpointError(
                f"{self.path}: has {', '.join(unknown)}, which this grucli {__version__} does not "
                f"know; it was written by grucli {meta.get('grucli')}: use that version"
            )

    def _check_cell(self, cell: str) -> None:
        """Refuse a cell that is not known; its file is a program, and run only if it is named."""
        if cell in basic():
            return
        kept = self.path.parent.parent / KEPT_CELL
        copy = f"; the run keeps a copy, {kept}: read it first" if kept.is_file() else ""
        raise CheckpointError(
            f"{self.path}: its cell is {cell!r}, which a file of its own defines; name it with "
            f"--cell-file FILE, or load it with grucli.load_cell{copy}"
        )

    def _symbols(self, settings: Settings) -> npt.NDArray[np.uint32]:
        symbols = self._member("vocabulary")
        if not len(symbols) or (symbols[1:] <= symbols[:-1]).any():
            raise ValueError("vocabulary is empty or not in ascending order")
        if symbols[-1] > LAST_CODE_POINT[settings.data.level]:
            raise ValueError(
                f"vocabulary holds {symbols[-1]:#x}, which is not a {settings.data.level}"
            )
        return symbols

    def _check_names(self, settings: Settings, V: int) -> None:
        model = settings.model
        parameters = shapes(V, model.hidden, model.layers, model.variant)
        expected = {*MEMBERS, *parameters}
        for name in sorted(expected.symmetric_difference(self.members)):
            raise ValueError(f"{name} is {'missing' if name in expected else 'not expected'}")
        for name, shape in parameters.items():
            self.check(name, np.float32, shape)

    def _member(self, name: str) -> npt.NDArray[Any]:
        dtype, letters = MEMBERS[name]
        return self.array(name, dtype, tuple(map(self.sizes.get, letters)))


def _text_id(corpus: Mapping[str, Any]) -> TextId:
    values = [corpus.get("sha256"), corpus.get("chars"), corpus.get("skipped", 0)]
    if [*map(type, values)] != [str, int, int]:
        raise ValueError("meta does not identify the corpus")
    held_out = {name: _text_id(one) for name, one in corpus.get("held_out", {}).items()}
    return TextId(values[0], values[1], values[2], held_out=held_out)


def _progress(meta: Mapping[str, Any]) -> Progress:
    return _PROGRESS.validate_json(json.dumps(meta["progress"]), strict=True)


def _in_range(weights: Array) -> bool:
    """Whether weights are finite and at most ``LARGEST_WEIGHT``."""
    return bool(weights.max() <= LARGEST_WEIGHT and weights.min() >= -LARGEST_WEIGHT)


def _check(checkpoint: Checkpoint) -> None:
    """Refuse values that training cannot have written."""
    train, window, counts = checkpoint.settings.train, checkpoint.window, checkpoint.counts
    if checkpoint.text_id.held_out.keys() != checkpoint.settings.data.files.keys():
        raise ValueError("meta does not identify the held-out texts")
    if not all(type(id_) is int and 0 <= id_ < len(counts) for id_ in checkpoint.unseen):
        raise ValueError("corpus.unseen in meta has ids that no symbol has")
    if counts.min() < 0 or not 0 < sum(counts.tolist()) <= checkpoint.text_id.chars:
        raise ValueError("counts are not those of a text")
    if type(window) is not int or not 1 <= window <= train.window:
        raise ValueError("its window does not fit its settings")
    if not 1 <= checkpoint.state.shape[1] <= train.batch:
        raise ValueError("its state does not fit its settings")
    if checkpoint.moments.v.min() < 0:
        raise ValueError("adam.v holds squares below zero")


def is_of_evaluation(path: Path) -> bool:
    """Whether a checkpoint was written at an evaluation; True if it cannot be read."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            return _progress(_Reader(path, archive, path.stat().st_size).meta()).of_evaluation
    except Exception:  # a later reader of the file gets the error
        return True
