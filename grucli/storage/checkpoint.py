"""A checkpoint: all that sampling needs and all that training needs to go on, in one .npz.

Members, none pickled and none compressed:

    meta                  UTF-8 JSON: format, settings, where the run stands (``Progress``)
    vocabulary            (V,) uint32: the symbols in order
    counts                (V,) int64: how often each occurs in the training text
    layer1.W_x ... output.b_c   the parameters, float32, by name
    adam.m  adam.v        (P,) float32: the moments, in the order of the parameters
    ema                   (P,) float32: moving average of the parameters, if optim.ema is set
    state                 (L, B, S H) float32: the hidden states carried into the next window

Equal content makes equal bytes, so that a file's hash tells whether two runs agree. Reading
checks every name, shape and type against the settings before it allocates anything.
"""

import errno
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from grucli import __version__
from grucli.config import RENAMED, Settings
from grucli.data.corpus import Corpus
from grucli.data.vocabulary import Unknown, Vocabulary
from grucli.errors import CheckpointError
from grucli.files import open_file, replace_file
from grucli.language_model import LanguageModel
from grucli.nn.model import Model, shapes
from grucli.nn.optim import Moments
from grucli.nn.params import Array, Params

FORMAT = 2
"""Version 0.1.0 wrote format 1, with other names for some settings and members."""

META_LIMIT = 2**24
"""Bytes of ``meta`` above which a file is not believed."""

LARGEST_WEIGHT = 1e30
"""Size of a parameter above which it says nothing: the sums of products of as many parameters as a
layer can have are finite below, in float32, and so are all losses."""

LAST_CODE_POINT = {"char": 0x10FFFF, "byte": 0xFF}
"""The largest symbol of each level."""

Count = Annotated[int, Field(ge=0, le=10**15)]


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: updates done.
        seconds: time used, kept only where the budget is in minutes: it steers the learning
            rate then, and would make equal runs differ otherwise.
        loss_sum: sum of losses since the last row of the training loss ...
        chars: ... and the characters they were over.
        best_step: evaluation with the lowest loss so far, None before the first.
        best_loss: that loss, nats a character.
        evaluations_since_best: evaluations since then.
        evaluated_step: the last evaluation whose checkpoint was written, None before the first.
        evaluated_loss: its loss.
        lr: learning rate of the last update.
        grad_norm: norm of its gradient before clipping.
        train_loss: the last row of the training loss.
        due: whether the run was stopped before the row, the evaluation or the sample of this step.
        skipped: steps that changed nothing because their loss or gradient was not finite.
        consecutive_nonfinite: how many of them were the last ones in a row.
        lr_factor: what learning rates are multiplied by; below 1 once the run was rolled back.
    """

    step: Count = 0
    seconds: Annotated[FiniteFloat, Field(ge=0)] | None = None
    loss_sum: FiniteFloat = 0.0
    chars: Count = 0
    best_step: Count | None = None
    best_loss: FiniteFloat | None = None
    evaluations_since_best: Count = 0
    evaluated_step: Count | None = None
    evaluated_loss: FiniteFloat | None = None
    lr: FiniteFloat = 0.0
    grad_norm: FiniteFloat = 0.0
    train_loss: FiniteFloat = 0.0
    due: bool = False
    skipped: Count = 0
    consecutive_nonfinite: Count = 0
    lr_factor: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def of_evaluation(self) -> bool:
        """Whether this is where an evaluation ended, and not where a stop or the clock cut in."""
        return self.step == self.evaluated_step

    def note_skipped(self) -> None:
        """Note a step that has changed nothing, since its loss or gradient was not finite."""
        self.step += 1
        self.skipped += 1
        self.consecutive_nonfinite += 1

    def note_evaluation(self, loss: float) -> bool:
        """Note the loss of an evaluation at this step; returns whether it is the best so far."""
        self.evaluated_step, self.evaluated_loss = self.step, loss
        if self.best_loss is not None and loss >= self.best_loss:
            self.evaluations_since_best += 1
            return False
        self.best_loss, self.best_step, self.evaluations_since_best = loss, self.step, 0
        return True

    def out_of_patience(self, patience: int) -> bool:
        """Whether the loss has not improved for as many evaluations; 0 stands for any number."""
        return 0 < patience <= self.evaluations_since_best


_PROGRESS = TypeAdapter(Progress)


@dataclass
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        settings: resolved settings of the run.
        vocabulary: the symbols.
        counts: how often each occurs in the training text, (V,).
        model: the parameters.
        moments: the optimizer's state.
        ema: exponential moving average of the parameters, or None.
        use_ema: whether it evaluated better, so that it is what to sample from.
        state: carried hidden states, (L, B, S H).
        window: characters in a window, after any shrinking.
        corpus: {"sha256", "chars", "skipped"} of the corpus; characters skipped are not counted.
        progress: where the run stands.
    """

    settings: Settings
    vocabulary: Vocabulary
    counts: npt.NDArray[np.int64]
    model: Model
    moments: Moments
    ema: Params | None
    state: Array
    window: int
    corpus: dict[str, Any]
    use_ema: bool = False
    progress: Progress = field(default_factory=Progress)

    @property
    def unknown(self) -> Unknown:
        """How its corpus was read: whether unknown characters were skipped."""
        return "skip" if self.corpus.get("skipped") else "error"

    def model_to_use(self) -> Model:
        """The model to sample from and evaluate: averaged where that was better."""
        return self.averaged() if self.use_ema else self.model

    def language_model(self, path: Path | None = None) -> LanguageModel:
        """The model to use, with what its ids stand for; ``path`` is shown as its name."""
        return LanguageModel(
            self.model_to_use(), self.vocabulary, self.counts, self.settings.data, path
        )

    def averaged(self) -> Model:
        """The model with averaged weights, if there are any."""
        if self.ema is None:
            return self.model
        chosen = self.model.astype(np.float32)
        chosen.params.flat[:] = self.ema.flat
        return chosen

    @property
    def finite(self) -> bool:
        """Whether all numbers that training goes on from are, and what is computed from them."""
        weights = [self.model.params.flat]
        if self.ema is not None:
            weights.append(self.ema.flat)
        others = [self.moments.m, self.moments.v, self.state]
        return all(map(_in_range, weights)) and all(bool(np.isfinite(x).all()) for x in others)

    def go_back_to(self, earlier: "Checkpoint") -> None:
        """Take over where an earlier checkpoint of the same run stands, in place."""
        self.model.params.flat[:] = earlier.model.params.flat
        self.moments.m[:], self.moments.v[:] = earlier.moments.m, earlier.moments.v
        if self.ema is not None and earlier.ema is not None:
            self.ema.flat[:] = earlier.ema.flat
        self.state, self.use_ema = earlier.state, earlier.use_ema
        vars(self.progress).update(vars(earlier.progress))


def same_text(corpus: Corpus, checkpoint: Checkpoint) -> bool:
    """Whether a text is what a checkpoint was trained on, and was read in the same way."""
    then = checkpoint.corpus
    return (corpus.sha256, len(corpus.ids)) == (then["sha256"], then["chars"])


def model_for(settings: Settings, vocabulary: Vocabulary) -> Model:
    """A model of that size, its parameters still to be set."""
    size = settings.model
    separator = vocabulary.line_end if settings.data.documents else None
    return Model(len(vocabulary), size.hidden, size.layers, cell=size.variant, separator=separator)


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, complete or not at all; it is read back before it takes its place.

    Raises:
        OSError: nothing of it is left, and an older file of that name is untouched.
    """
    meta = {
        "format": FORMAT,
        "grucli": __version__,
        "settings": checkpoint.settings.model_dump(mode="json"),
        "window": checkpoint.window,
        "corpus": checkpoint.corpus,
        "use_ema": checkpoint.use_ema,
        "progress": asdict(checkpoint.progress),
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "meta": np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), np.uint8),
        "vocabulary": checkpoint.vocabulary.symbols,
        "counts": checkpoint.counts,
        **dict(checkpoint.model.params.items()),
        "adam.m": checkpoint.moments.m,
        "adam.v": checkpoint.moments.v,
        "state": checkpoint.state,
    }
    if checkpoint.ema is not None:
        arrays["ema"] = checkpoint.ema.flat
    replace_file(path, lambda file: np.savez(file, **arrays), _read_back)  # type: ignore[arg-type]


def _read_back(written: Path) -> None:
    """Compare what is on the disk with the checksums of what was to be written.

    Raises:
        OSError: they differ.
    """
    try:
        with zipfile.ZipFile(written) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        damaged = str(error)
    if damaged:
        raise OSError(errno.EIO, f"what was read back is not what was written ({damaged})")


def read(path: Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises:
        CheckpointError: missing, damaged, not a checkpoint, or from a newer format.
    """
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            return _Reader(path, archive).read()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file; `grucli runs` lists runs") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or a damaged one ({error}); "
            "use another checkpoint of its run"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    except CheckpointError:
        raise
    except Exception as error:  # zipfile, numpy, json and pydantic each have errors of their own
        raise CheckpointError(f"{path}: damaged, or not made by grucli: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What is wrong, in a line."""
    if not isinstance(error, ValidationError):
        return str(error) or type(error).__name__
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))} in meta: {first['msg']}"


class _Reader:
    """Reads members of an archive, each against what the settings say it must be."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive
        self.members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if "average" in self.members:  # format 1
            self.members["ema"] = self.members.pop("average")
        if len(self.members) != len(archive.infolist()):
            raise ValueError("a member occurs twice")
        claimed = sum(max(m.file_size, m.compress_size) for m in archive.infolist())
        if claimed > path.stat().st_size:
            raise ValueError(f"its members claim {claimed:,} bytes, more than the file has")

    def read(self) -> Checkpoint:
        meta = self.meta()
        settings = Settings.model_validate_json(json.dumps(meta["settings"]))
        symbols = self._array("vocabulary", np.uint32, (None,))
        if not len(symbols) or (symbols[1:] <= symbols[:-1]).any():
            raise ValueError("vocabulary is empty or not in ascending order")
        if symbols[-1] > LAST_CODE_POINT[settings.data.level]:
            raise ValueError(
                f"vocabulary holds {symbols[-1]:#x}, which is no {settings.data.level}"
            )
        V = len(symbols)
        self._check_names(settings, V)
        vocabulary = Vocabulary.of(symbols, settings.data)
        model = model_for(settings, vocabulary)
        P = model.params.flat.size
        for name, parameter in model.params.items():
            parameter[...] = self._weights(name, parameter.shape)
        state_shape = (model.L, None, model.state_size)
        checkpoint = Checkpoint(
            settings=settings,
            vocabulary=vocabulary,
            counts=self._array("counts", np.int64, (V,)),
            model=model,
            moments=Moments(*(self._array(f"adam.{x}", np.float32, (P,)) for x in "mv")),
            ema=None,
            state=self._array("state", np.float32, state_shape),
            window=meta["window"],
            corpus=dict(meta["corpus"]),
            use_ema=meta["use_ema"],
            progress=_progress(meta["progress"]),
        )
        _check(checkpoint)
        if settings.optim.ema:
            checkpoint.ema = model.params.like()
            checkpoint.ema.flat[:] = self._weights("ema", (P,))
        return checkpoint

    def meta(self) -> dict[str, Any]:
        """What the checkpoint says of itself."""
        if "meta" not in self.members:
            raise ValueError("it has no member named meta")
        if self.members["meta"].file_size > META_LIMIT:
            raise ValueError("meta is larger than any that grucli writes")
        meta = json.loads(self._array("meta", np.uint8, (None,)).tobytes().decode())
        if not isinstance(meta, dict) or type(meta.get("format")) is not int or meta["format"] < 1:
            raise ValueError("meta holds no format number")
        if meta["format"] > FORMAT:
            raise CheckpointError(
                f"{self.path}: written in format {meta['format']} by grucli {meta.get('grucli')}; "
                f"this is grucli {__version__}, which reads formats up to {FORMAT}: upgrade grucli"
            )
        return _of_today(meta) if meta["format"] == 1 else meta

    def _check_names(self, settings: Settings, V: int) -> None:
        """Compare the members with what the settings promise."""
        model = settings.model
        named = shapes(V, model.hidden, model.layers, model.variant)
        expected = {"meta", "vocabulary", "counts", "adam.m", "adam.v", "state", *named}
        if settings.optim.ema:
            expected.add("ema")
        for name in sorted(expected.symmetric_difference(self.members)):
            raise ValueError(f"{name} is {'missing' if name in expected else 'not expected'}")
        for name, shape in named.items():
            self._header(name, np.float32, shape)

    def _header(
        self, name: str, dtype: npt.DTypeLike, shape: tuple[int | None, ...]
    ) -> tuple[int, ...]:
        """Check a member's type, shape and size without reading its data; its true shape."""
        info = self.members[name]
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        with self.archive.open(info) as file:
            found, fortran, found_type = _read_header(file)
            start = file.tell()
        fits = len(found) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, found, strict=True)
        )
        if not fits or fortran or found_type != np.dtype(dtype):
            raise ValueError(
                f"{name} is {found_type}{list(found)}, not {np.dtype(dtype)}"
                f"{['any' if want is None else want for want in shape]}"
            )
        size = int(np.prod(found, dtype=object)) * np.dtype(dtype).itemsize
        if info.file_size != start + size:
            raise ValueError(
                f"{name} says it has {size:,} bytes and has {info.file_size - start:,}"
            )
        return found

    def _array(
        self, name: str, dtype: npt.DTypeLike, shape: tuple[int | None, ...]
    ) -> npt.NDArray[Any]:
        self._header(name, dtype, shape)
        with self.archive.open(self.members[name]) as file:
            array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            if file.read(1):  # reading to the end verifies the checksum
                raise ValueError(f"{name} is longer than it says")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite")
        return array

    def _weights(self, name: str, shape: tuple[int, ...]) -> Array:
        array = self._array(name, np.float32, shape)
        if not _in_range(array):
            raise ValueError(f"{name} holds weights above {LARGEST_WEIGHT:g}: the run has diverged")
        return array


def _in_range(weights: Array) -> bool:
    """Whether weights are finite and small enough to compute with."""
    return bool(weights.max() <= LARGEST_WEIGHT and weights.min() >= -LARGEST_WEIGHT)


def _check(checkpoint: Checkpoint) -> None:
    """Refuse what no training writes.

    Raises:
        ValueError: naming it.
    """
    train, corpus, window = checkpoint.settings.train, checkpoint.corpus, checkpoint.window
    facts = corpus.get("sha256"), corpus.get("chars"), corpus.get("skipped", 0)
    if tuple(map(type, facts)) != (str, int, int):
        raise ValueError("meta does not identify the corpus")
    counts = checkpoint.counts
    if counts.min() < 0 or not 0 < sum(counts.tolist()) <= corpus["chars"]:
        raise ValueError("counts are not those of a text")
    if type(window) is not int or not 1 <= window <= train.window:
        raise ValueError("its window is not one that its settings ask for")
    if not 1 <= checkpoint.state.shape[1] <= train.batch:
        raise ValueError("its state is not one that its settings ask for")
    if checkpoint.moments.v.min() < 0:
        raise ValueError("adam.v holds squares below zero")
    if type(checkpoint.use_ema) is not bool:
        raise ValueError("use_ema is not true or false")


def is_of_evaluation(path: Path) -> bool:
    """Whether a checkpoint was written by an evaluation; one that cannot be read counts as one."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            return _progress(_Reader(path, archive).meta()["progress"]).of_evaluation
    except Exception:  # whatever is wrong with it, whoever reads it is told
        return True


PROGRESS_RENAMED = {
    "nats": "loss_sum",
    "stale": "evaluations_since_best",
    "bad": "consecutive_nonfinite",
}
"""Names in format 1, and those of today."""


def _of_today(meta: dict[str, Any]) -> dict[str, Any]:
    """``meta`` of format 1 in the names of today.

    Format 1 did not tell checkpoints of evaluations from others; all count as such.
    """
    settings = {
        section: {_new_key(section, key): value for key, value in keys.items()}
        for section, keys in meta["settings"].items()
    }
    progress = {PROGRESS_RENAMED.get(key, key): value for key, value in meta["progress"].items()}
    step, best = progress.get("step"), progress.get("best_step")
    progress["evaluated_step"] = step
    progress["evaluated_loss"] = progress.get("best_loss") if step == best else None
    return {**meta, "settings": settings, "progress": progress, "use_ema": meta["use_average"]}


def _new_key(section: str, key: str) -> str:
    return RENAMED.get(f"{section}.{key}", key).removeprefix(f"{section}.")


def _progress(values: dict[str, Any]) -> Progress:
    """Progress from JSON: no other keys, and each of its type."""
    return _PROGRESS.validate_json(json.dumps(asdict(Progress(**values))), strict=True)


def _read_header(file: BinaryIO | Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"array format {version} is not one that grucli writes")
