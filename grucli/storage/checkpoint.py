"""A checkpoint: all that sampling needs and all that training needs to go on, in one .npz.

Its members, none pickled and none compressed, are those of ``MEMBERS`` and the parameters. Equal
content makes equal bytes, so that a file's hash tells whether two runs agree. Reading checks every
name, shape and type against the settings before it allocates anything.
"""

import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from grucli import __version__
from grucli.config import Settings
from grucli.data.corpus import Corpus
from grucli.data.vocabulary import Unknown, Vocabulary
from grucli.errors import CheckpointError
from grucli.files import open_file, replace_file
from grucli.language_model import LanguageModel
from grucli.nn.model import Model, shapes
from grucli.nn.optim import Moments
from grucli.nn.params import Array, Params
from grucli.storage.archive import Archive, Shape, read_back
from grucli.storage.format1 import MEMBERS_RENAMED, of_today
from grucli.storage.progress import Progress, read_progress

FORMAT = 2
"""Version 0.1.0 wrote format 1, with other names for some settings and members."""

META_LIMIT = 2**24
"""Bytes of ``meta`` above which a file is not believed."""

LARGEST_WEIGHT = 1e30
"""Size of a parameter above which it says nothing: the sums of products of as many parameters as a
layer can have are finite below, in float32, and so are all losses."""

LAST_CODE_POINT = {"char": 0x10FFFF, "byte": 0xFF}
"""The largest symbol of each level."""


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


# ---- members -----------------------------------------------------------------------------------


class Member(NamedTuple):
    """A member of the file.

    Attributes:
        name: its name.
        dtype: type of its numbers.
        shape: V symbols, P parameters, L layers, B streams; S H numbers of state of a layer; n any.
        content: what it holds.
        of: takes it from a checkpoint; None where this one has no such member.
    """

    name: str
    dtype: str
    shape: tuple[str, ...]
    content: str
    of: Callable[[Checkpoint], npt.NDArray[Any] | None]


def _meta(checkpoint: Checkpoint) -> npt.NDArray[Any]:
    meta = {
        "format": FORMAT,
        "grucli": __version__,
        "settings": checkpoint.settings.model_dump(mode="json"),
        "window": checkpoint.window,
        "corpus": checkpoint.corpus,
        "use_ema": checkpoint.use_ema,
        "progress": asdict(checkpoint.progress),
    }
    return np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), np.uint8)


BEFORE_PARAMETERS = (
    Member("meta", "uint8", ("n",), "UTF-8 JSON: format, settings, where the run stands", _meta),
    Member("vocabulary", "uint32", ("V",), "the symbols in order", lambda c: c.vocabulary.symbols),
    Member("counts", "int64", ("V",), "occurrences in the training text", lambda c: c.counts),
)
AFTER_PARAMETERS = (
    Member("adam.m", "float32", ("P",), "means of gradients", lambda c: c.moments.m),
    Member("adam.v", "float32", ("P",), "means of their squares", lambda c: c.moments.v),
    Member(
        "state", "float32", ("L", "B", "S H"), "carried into the next window", lambda c: c.state
    ),
    Member(
        "ema",
        "float32",
        ("P",),
        "moving average of the parameters, if optim.ema is set",
        lambda c: None if c.ema is None else c.ema.flat,
    ),
)
MEMBERS = {member.name: member for member in BEFORE_PARAMETERS + AFTER_PARAMETERS}
"""All but the parameters, each of which is a float32 member of its own name."""


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, complete or not at all; it is read back before it takes its place.

    Raises:
        OSError: nothing of it is left, and an older file of that name is untouched.
    """
    arrays = (
        {member.name: member.of(checkpoint) for member in BEFORE_PARAMETERS}
        | dict(checkpoint.model.params.items())
        | {member.name: member.of(checkpoint) for member in AFTER_PARAMETERS}
    )
    held = {name: array for name, array in arrays.items() if array is not None}
    replace_file(path, lambda file: np.savez(file, **held), read_back)  # type: ignore[arg-type]


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
    """Reads the members of a file, each against what the settings say it must be."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.archive = Archive(path, archive, MEMBERS_RENAMED)
        self.sizes: dict[str, int] = {}  # by the letters of ``Member.shape``, as far as known

    def read(self) -> Checkpoint:
        meta = self.meta()
        settings = Settings.model_validate_json(json.dumps(meta["settings"]))
        symbols = self._symbols(settings)
        self._check_names(settings, len(symbols))
        vocabulary = Vocabulary.of(symbols, settings.data)
        model = model_for(settings, vocabulary)
        for name, parameter in model.params.items():
            parameter[...] = _in_range_or_refused(
                name, self.archive.read(name, np.float32, parameter.shape)
            )
        self.sizes = {"V": model.V, "P": model.params.flat.size, "L": model.L}
        self.sizes["S H"] = model.state_size
        checkpoint = Checkpoint(
            settings=settings,
            vocabulary=vocabulary,
            counts=self._member("counts"),
            model=model,
            moments=Moments(self._member("adam.m"), self._member("adam.v")),
            ema=None,
            state=self._member("state"),
            window=meta["window"],
            corpus=dict(meta["corpus"]),
            use_ema=meta["use_ema"],
            progress=read_progress(meta["progress"]),
        )
        _check(checkpoint)
        if settings.optim.ema:
            checkpoint.ema = model.params.like()
            checkpoint.ema.flat[:] = _in_range_or_refused("ema", self._member("ema"))
        return checkpoint

    def meta(self) -> dict[str, Any]:
        """What the checkpoint says of itself."""
        if "meta" not in self.archive.members:
            raise ValueError("it has no member named meta")
        if self.archive.members["meta"].file_size > META_LIMIT:
            raise ValueError("meta is larger than any that grucli writes")
        meta = json.loads(self._member("meta").tobytes().decode())
        if not isinstance(meta, dict) or type(meta.get("format")) is not int or meta["format"] < 1:
            raise ValueError("meta holds no format number")
        if meta["format"] > FORMAT:
            raise CheckpointError(
                f"{self.path}: written in format {meta['format']} by grucli {meta.get('grucli')}; "
                f"this is grucli {__version__}, which reads formats up to {FORMAT}: upgrade grucli"
            )
        return of_today(meta) if meta["format"] == 1 else meta

    def _symbols(self, settings: Settings) -> npt.NDArray[np.uint32]:
        symbols = self._member("vocabulary")
        if not len(symbols) or (symbols[1:] <= symbols[:-1]).any():
            raise ValueError("vocabulary is empty or not in ascending order")
        if symbols[-1] > LAST_CODE_POINT[settings.data.level]:
            raise ValueError(
                f"vocabulary holds {symbols[-1]:#x}, which is no {settings.data.level}"
            )
        return symbols

    def _check_names(self, settings: Settings, V: int) -> None:
        """Compare the members with what the settings promise."""
        model = settings.model
        parameters = shapes(V, model.hidden, model.layers, model.variant)
        expected = {*MEMBERS, *parameters} - (set() if settings.optim.ema else {"ema"})
        for name in sorted(expected.symmetric_difference(self.archive.members)):
            raise ValueError(f"{name} is {'missing' if name in expected else 'not expected'}")
        for name, shape in parameters.items():
            self.archive.check(name, np.float32, shape)

    def _member(self, name: str) -> npt.NDArray[Any]:
        member = MEMBERS[name]
        shape: Shape = tuple(map(self.sizes.get, member.shape))
        return self.archive.read(name, member.dtype, shape)


def _in_range_or_refused(name: str, weights: Array) -> Array:
    if not _in_range(weights):
        raise ValueError(f"{name} holds weights above {LARGEST_WEIGHT:g}: the run has diverged")
    return weights


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
            return read_progress(_Reader(path, archive).meta()["progress"]).of_evaluation
    except Exception:  # whatever is wrong with it, whoever reads it is told
        return True
