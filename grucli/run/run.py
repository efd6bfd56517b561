"""A run, opened to be read: its settings and results, its text, and its model."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from grucli.arguments import PathLike, checked
from grucli.charts import Curve, svg, typical_top
from grucli.config import (
    BEFORE,
    HELD_OUT,
    INFLUENCES,
    Data,
    Settings,
    Values,
    flatten,
    read_file,
    resolve,
)
from grucli.data.corpus import Corpus, hashes, read_again, with_held_out
from grucli.data.text_files import STANDARD_INPUT, expand
from grucli.data.windows import Splits
from grucli.errors import ArgumentError, CheckpointError, CorpusError, SettingsError, UsageError
from grucli.files import Lock, open_file, sha256
from grucli.html import as_html
from grucli.language_model import LanguageModel
from grucli.nn.cells import in_words
from grucli.nn.params import Ids
from grucli.run import checkpoint as checkpoints
from grucli.run import records
from grucli.run.checkpoint import Checkpoint
from grucli.run.names import is_run, named_run, started
from grucli.run.records import KEPT_CELL, KEPT_TEXT, RunInfo, step_in
from grucli.text_out import quote

Column = npt.NDArray[Any]
Which = Literal["best", "last"]

DAMAGED = "damaged run.json"  # the status of a run that cannot be read
MOST_NAMED = 2  # settings that name a run in a figure
READS = 20  # attempts to read the best checkpoint while another process trains the run
SPLITS = ("train", *HELD_OUT)
CHANGED = "the text has changed since training; name a text"


class CheckpointFolder:
    """The directory ``checkpoints/`` of a run: files named by step, and pointers to two of them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file_of(self, step: int) -> Path:
        return self.path / f"{records.stem(step)}.npz"

    def files(self) -> list[Path]:
        """The checkpoint files of this run, in the order of their steps."""
        files = [path for path in self.path.glob("step-*.npz") if step_in(path.name) is not None]
        return sorted(files, key=lambda path: step_in(path.name) or 0)

    def pointer(self, which: Which) -> records.Pointer | None:
        """The content of ``best.json`` or ``last.json``; None before the first checkpoint."""
        return records.read_pointer(self.path / f"{which}.json")

    def find(self, which: Which) -> Path:
        """The verified file of the best or last checkpoint; the last if there is no best one."""
        return self.found(which)[0]

    def found(self, which: Which) -> tuple[Path, str]:
        """The same, and its SHA-256."""
        pointer = self.pointer(which)
        if pointer is None and (last := self.pointer("last")) and last.step:
            pointer = last
        if pointer is None:
            raise CheckpointError(
                f"{self.path.parent}: no checkpoint of trained weights yet; the first one is "
                "written at the first evaluation, or when the run is stopped"
            )
        path = self.path / pointer.file
        try:
            digest = sha256(path)
            if digest != pointer.sha256:  # damaged, or newer than the pointer after a crash
                checkpoints.read(path)
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be read, though {which}.json names it: {error.strerror}"
            ) from None
        return path, digest

    def read(self, which: Which) -> Checkpoint:
        return checkpoints.read(self.find(which))

    def last_sound(self) -> tuple[Path, Checkpoint, CheckpointError | None]:
        """The last checkpoint, or the newest intact one and the error of the last one."""
        try:
            path = self.find("last")
            return path, checkpoints.read(path), None
        except CheckpointError as error:
            problem = error
        for path in reversed(self.files()):
            with contextlib.suppress(CheckpointError):
                return path, checkpoints.read(path), problem
        raise problem


class Run:
    """A run directory, or a checkpoint file outside of one.

    The small files are read at each access, so ``settings``, ``info``, ``status``, ``metrics`` and
    what follows from them show the progress of a run in training. The checkpoint, the model and
    the text are read once. ``file`` is a checkpoint to use instead of the best one.
    """

    checkpoints: CheckpointFolder

    @checked
    def __init__(self, path: PathLike, file: PathLike | None = None) -> None:
        self.path = named_run(Path(path))
        self._file = None if file is None else Path(file)
        if self._file != self.path and not is_run(self.path):
            raise CheckpointError(
                f"{path}: not a run directory: it holds no run.json; `grucli runs` lists runs"
            )
        self.checkpoints = CheckpointFolder(self.path / "checkpoints")

    @classmethod
    @checked
    def open(cls, path: PathLike) -> "Run":
        """Open a run directory, with its best checkpoint, or a file; or raise CheckpointError.

        The end of a name after a hyphen names a run in ``runs``; ``latest`` is the newest one.
        """
        path = named_run(Path(path))
        try:
            if path.is_dir():
                return cls(path)
            exists = path.exists()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
        if not exists:
            raise CheckpointError(
                f"{path}: there is no such run or checkpoint; `grucli runs` lists runs"
            )
        runs = (folder for folder in path.resolve().parents[:2] if (folder / "run.json").is_file())
        return cls(next(runs, path), path)

    # ---- small files

    @property
    def settings(self) -> Settings:
        """The settings in config.yaml, or a SettingsError; outside of a run, the checkpoint's."""
        if self._is_alone:
            return self.checkpoint.settings
        return resolve([("", BEFORE), self.config()])

    def config(self) -> tuple[str, Values]:
        """The path of config.yaml, and its settings."""
        path = self.path / "config.yaml"
        try:
            open_file(path).close()  # refuses a pipe, which would block
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
        return str(path), read_file(path)

    @property
    def info(self) -> RunInfo:
        """The content of run.json; missing values are None, and damage is a CheckpointError."""
        return RunInfo() if self._is_alone else records.read_info(self.path / "run.json")

    @property
    def status(self) -> str:
        """Running, done, interrupted or failed; died, if it is running but its lock is free."""
        status = self.info.status or "unknown"
        died = status == "running" and Lock(self.path / "lock").is_free()
        return "died" if died else status

    def rows(self) -> list[records.Metrics]:
        return records.read_metrics(self.path / "metrics.csv")

    @property
    def metrics(self) -> dict[str, Column]:
        """The columns of metrics.csv by name, as ``pandas.DataFrame`` takes them."""
        rows = self.rows()
        types = {"step": int, "chars": int, "split": str}
        return {
            name: np.array([getattr(row, name) for row in rows], types.get(name, float))
            for name in records.HEADER
        }

    def curves(self, by: str = "step", column: str = "loss") -> list[Curve]:
        """The curves of a column of the metrics: of training, and for losses of validation.

        ``by`` is the column of the horizontal axis: step, chars or elapsed_s.
        """
        return curves(self.metrics, by, column)

    def validation_losses(self) -> list[float]:
        return [row.loss for row in self.rows() if row.split == "val"]

    def samples(self) -> list[tuple[int, Path]]:
        """The samples with their steps, in order, without what is not a file."""
        folder = self.path / "samples"
        paths = [] if folder.is_symlink() else folder.glob("step-*.txt")
        named = [(step_in(path.name), path) for path in paths if S_ISREG(path.lstat().st_mode)]
        return sorted((step, path) for step, path in named if step is not None)

    def inputs(self) -> Iterator[Path]:
        """The files that a command may read: those of the run, and its text."""
        yield from filter(None, (self.path, self._file))
        if not self._is_alone:
            yield from (file for file in self.path.rglob("*") if records.is_own(file.name))
        held_out = (one.paths or [] for one in self.info.corpus.held_out.values())
        for path in chain(self.paths or [], *held_out):
            yield Path(path)
            with contextlib.suppress(CorpusError):  # it may be gone
                yield from map(Path, expand([path]))

    # ---- the checkpoint and its model

    @property
    def _is_alone(self) -> bool:
        """Whether this is a checkpoint outside of a run directory."""
        return self._file == self.path

    @cached_property
    def _opened(self) -> tuple[Path, Checkpoint, str]:
        if self._file is not None:
            return self._file, checkpoints.read(self._file), sha256(self._file)
        for attempt in range(READS):
            try:
                file, digest = self.checkpoints.found("best")
                return file, checkpoints.read(file), digest
            except CheckpointError:
                # a process that trains the run may have replaced the file just now
                if attempt + 1 == READS or Lock(self.path / "lock").is_free():
                    raise
        raise AssertionError

    @property
    def file(self) -> Path:
        """The file of ``checkpoint``."""
        return self._opened[0]

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that was opened: the best one, or the file; or CheckpointError."""
        return self._opened[1]

    @property
    def sha256(self) -> str:
        """Of the file as it was read; a run in training may have removed it since."""
        return self._opened[2]

    @cached_property
    def lm(self) -> LanguageModel:
        """The model of ``checkpoint``."""
        return self.checkpoint.language_model(self.file, compiled=True)

    def load(self) -> LanguageModel:
        """Load the model of the best checkpoint, as it is now."""
        return Run(self.path, self._file).lm

    # ---- the text

    @property
    def noun(self) -> str:
        """What the model predicts: "character" or "byte"."""
        return self.settings.data.noun

    @property
    def text_names(self) -> list[str]:
        """The names of the files of the text, as far as run.json tells them."""
        names = (Path(path).name for path in self.info.corpus.paths or [])
        return ["standard input" if name == STANDARD_INPUT else name for name in names]

    @property
    def sources(self) -> list[str]:
        """The paths of the text, which can be read again; ``-`` is standard input."""
        paths = self.paths
        if paths is None:
            unnamed = f"{self.path / 'run.json'}: does not name the corpus"
            outside = f"{self.path}: is outside its run directory, which records the text"
            raise CheckpointError(f"{outside if self._is_alone else unnamed}; name a text")
        for path in paths:
            if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
                raise CheckpointError(f"{path}: is a pipe or a device; give the corpus again")
        return paths

    @property
    def paths(self) -> list[str] | None:
        """The paths of the text, as far as run.json tells them; - is standard input."""
        paths, kept = self.info.corpus.paths, str(self.path.resolve() / KEPT_TEXT)
        return paths and [_moved(kept if path == KEPT_TEXT else path) for path in paths]

    def resume_command(self, sources: Sequence[str] = ()) -> str:
        """The command that resumes the run. It names its text only if a part is standard input."""
        ranks = self.info.ranks or 1
        again = map(quote, sources if STANDARD_INPUT in sources else ())
        mpiexec, mpi = ([f"mpiexec -n {ranks}"], ["--mpi"]) if ranks > 1 else ([], [])
        run = f"--resume {quote(str(self.path))}{self.cell_option()}"
        return " ".join([*mpiexec, "grucli train", *again, run, *mpi])

    def cell_option(self) -> str:
        """The option by which a command reads the run's copy of its cell, if it has one."""
        kept = self.path / KEPT_CELL
        return f" --cell-file {quote(str(kept))}" if kept.is_file() else ""

    @cached_property
    def text(self) -> Corpus:
        """The training text, with held-out files; CheckpointError, CorpusError: gone or changed."""
        held_out = self.checkpoint.text_id.held_out
        return with_held_out(self.training_text, {name: self._held_out(name) for name in held_out})

    @cached_property
    def training_text(self) -> Corpus:
        """The training text without held-out files, which need not be there."""
        sources = self.sources
        if STANDARD_INPUT in sources:
            raise CheckpointError(f"{self.path}: was trained on standard input; name a text")
        check_there(sources, "copy it into this directory, or name a text")
        vocabulary, text_id = self.checkpoint.vocabulary, self.checkpoint.text_id
        return read_again(sources, self._data, vocabulary, replace(text_id, held_out={}), CHANGED)

    def _held_out(self, name: str) -> Corpus:
        """The text of held-out files: "val" or "test"."""
        data, text_id = self._data, self.checkpoint.text_id.held_out[name]
        check_there(data.files[name], "name a text")
        return read_again(data.files[name], data, self.checkpoint.vocabulary, text_id, CHANGED)

    @property
    def _data(self) -> Data:
        """How the texts are read; held-out files may have moved since the checkpoint."""
        data = self.checkpoint.settings.data
        return with_moved(data.model_copy(update=self.settings.data.files) if data.files else data)

    @property
    def splits(self) -> Splits:
        """The parts of the text."""
        return self.checkpoint.splits(self.text)

    def part(self, name: str) -> Ids:
        """The ids of "train", "val" or "test", (N,); none if the run did not hold out such text."""
        if name in self.checkpoint.text_id.held_out:
            return self._held_out(name).ids
        ids: Ids = getattr(self.checkpoint.splits(self.training_text), name)
        return ids

    @property
    def judged(self) -> Ids:
        """The validation text; the training text if there is none, (N,)."""
        val = self.part("val")
        return val if len(val) else self.part("train")

    def split(self, name: str) -> Ids:
        """The ids of a part of the text: "train", "val" or "test"; (N,)."""
        if name not in SPLITS:
            raise ArgumentError("split", f"must be train, val or test, not {name}")
        ids = self.part(name)
        if len(ids) < 2:
            raise UsageError(f"the run did not hold out {name} text: data.{name} was 0")
        return ids

    def ids(self, file: str | None = None) -> Ids:
        """The ids of the text, or of a file that is read in the same way, (N,)."""
        if file is None:
            return self.training_text.ids
        ids = self.lm.read(file).ids
        if len(ids) < 2:
            raise CorpusError(f"{file}: too short; it must have at least two characters")
        return ids

    def was_trained_on(self, text: Corpus) -> bool:
        """Whether a text has the content of the training text, or is one of its files."""
        own = list[Path]()
        with contextlib.suppress(CheckpointError):
            own = [Path(path) for path in self.paths or [] if path != STANDARD_INPUT]
        files = [Path(file).resolve() for file in text.sources if file != STANDARD_INPUT]
        is_file = any(path in (file, *file.parents) for file in files for path in own)
        return is_file or text.text_id.sha256 == self.checkpoint.text_id.sha256

    # ---- what is shown of a run

    def facts(self) -> dict[str, Any]:
        """Facts for a list of runs, by name; unknown ones are None.

        ``loss`` is the best validation loss, in nats per symbol; ``level`` tells what a symbol is;
        ``step`` is that of the last checkpoint. If run.json is damaged, ``status`` says so.
        """
        try:
            info, status, names = self.info, self.status, self.text_names
        except CheckpointError:
            info, status, names = RunInfo(), DAMAGED, []
        return {
            "run": self.path.name,
            "status": status,
            "loss": None if info.best.split == "train" else info.best.loss,
            "level": info.corpus.level,
            "step": info.step,
            "model": info.model,
            "lr": info.lr,
            "dropout": info.dropout,
            "budget": info.budget,
            "corpus": ", ".join(names) or None,
        }

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {', '.join(self._described().values())})"

    def _described(self) -> dict[str, str]:
        facts = self.facts()
        info = RunInfo() if facts["status"] == DAMAGED else self.info
        best = info.best
        loss = "" if best.loss is None else f"{best.loss:.4f} nats per {info.corpus.noun}"
        words = {
            "status": facts["status"],
            "text": facts["corpus"],
            "model": info.model,
            "parameters": f"{info.parameters:,} parameters" if info.parameters else "",
            "step": "" if info.step is None else f"step {info.step:,}",
            "best": f"{loss} at step {best.step:,}" if loss and best.step is not None else loss,
        }
        return {name: word for name, word in words.items() if word}

    def _repr_html_(self) -> str:
        """HTML for notebooks: the facts about the run and its loss curve."""
        facts = {"run": self.path.name, **self._described()}
        left, rows, curve = "style='text-align:left'", "", ""
        for name, fact in facts.items():
            rows += f"<tr><th {left}>{name}</th><td {left}>{as_html(fact)}</td></tr>"
        with contextlib.suppress(CheckpointError):
            losses, axis = self.curves(), loss_axis(self.info.corpus.noun)
            curve = svg(losses, x="step", y=axis, highest=typical_top(losses))
        return f"<div><table>{rows}</table>{curve}</div>"


@checked
def load(path: PathLike) -> LanguageModel:
    """Load the model of a checkpoint file, or of the best checkpoint of a run directory.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
    """
    return Run.open(path).lm


@checked
def runs(directory: PathLike = "runs") -> list[Run]:
    """All runs in a directory, newest first.

    Raises:
        UsageError: there is no such directory.
    """
    root = Path(directory)
    if not root.is_dir():
        raise UsageError(f"{root}: there is no such directory; `grucli train CORPUS` makes runs")
    paths = [path for path in root.iterdir() if os.path.lexists(path / "run.json")]
    return [Run(path) for path in sorted(paths, key=started, reverse=True)]


# ---- texts that have moved


def _moved(path: str) -> str:
    """The path of a text; if it is gone, one in the working directory that ends in the same way."""
    parts = re.split(r"[\\/]", path)  # who reads the text compares its hash
    ends = ("/".join(parts[first:]) for first in range(1, len(parts)))
    return path if os.path.lexists(path) else next(filter(os.path.exists, ends), path)


def with_moved(data: Data) -> Data:
    """The same, with the paths at which held-out files are found now."""
    found = {name: tuple(map(_moved, paths)) for name, paths in data.files.items()}
    return data.model_copy(update=found)


def check_there(sources: Sequence[str], advice: str) -> None:
    for source in sources:
        if source != STANDARD_INPUT and not os.path.lexists(source):
            raise CorpusError(f"{source}: the text of the run is not there; {advice}")


# ---- curves of several runs


def curves(metrics: Mapping[str, Column], by: str = "step", column: str = "loss") -> list[Curve]:
    drawn = []
    for number, (split, name) in enumerate((("train", "training"), ("val", "validation"))):
        rows = metrics["split"] == split
        if not rows.any() or (column != "loss" and split == "val"):
            continue
        x, y = metrics[by][rows], metrics[column][rows]
        if column == "loss" and split == "train":
            last, y = even_means(metrics["chars"][rows], y)
            x = x[last]
        drawn.append(Curve(name, x, y, colour=number))
    return drawn


def validation_curves(
    names: Sequence[str], metrics: Sequence[Mapping[str, Column]], by: str
) -> list[Curve]:
    """The validation losses of runs that have some, each in the run's colour."""
    return [
        Curve(name, curve.x, curve.y, colour=number)
        for number, (name, columns) in enumerate(zip(names, metrics, strict=True))
        for curve in curves(columns, by)
        if curve.name == "validation"
    ]


def names_in_figures(runs: Sequence[Run]) -> list[str]:
    """The settings that differ, such as "GRU, seed 2"; if they are many, the runs' names."""
    settings = [flatten(run.settings) for run in runs]
    keys = [key for key, influenced in INFLUENCES.items() if influenced in ("weights", "later")]
    differ = [key for key in keys if len({str(one[key]) for one in settings}) > 1]
    names = [", ".join(_in_words(key, one[key]) for key in differ) for one in settings]
    texts = {hashes(run.info.corpus) for run in runs}
    if len(texts) > 1 or len(differ) > MOST_NAMED or len(set(names)) < len(runs):
        return names_of(runs)
    return names


def names_of(runs: Sequence[Run]) -> list[str]:
    """The names of the directories of runs, or their paths if some have one name."""
    names = [run.path.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _in_words(key: str, value: Any) -> str:
    return in_words(value) if key == "model.cell" else f"{key.partition('.')[2]} {value}"


def even_means(chars: Column, losses: Column) -> tuple[npt.NDArray[np.intp], Column]:
    """Training losses as means over about equal numbers of characters, and the last row of each."""
    covered = np.maximum(np.diff(chars, prepend=0), 1)
    enough, last, counted = 0.75 * covered.max(), list[int](), 0
    for row, count in enumerate(covered):  # a row before an evaluation may cover a single step
        counted += count
        if counted >= enough:
            last.append(row)
            counted = 0
    last[-1:] = [len(covered) - 1]  # the rest belongs to the last of them
    first = np.concatenate([[0], np.add(last[:-1], 1)]).astype(np.intp)
    shares = covered / np.repeat(np.add.reduceat(covered, first), np.diff([*first, len(covered)]))
    return np.array(last), np.add.reduceat(shares * losses, first)


def loss_axis(noun: str) -> str:
    return f"loss, nats per {noun}"


def common_noun(runs: Sequence[Run]) -> str:
    """What all runs predict, "character" or "byte"; an error if that differs."""
    nouns = {run.noun: run.path for run in runs}
    if len(nouns) > 1:
        one, other = (f"{path} predicts {noun}s" for noun, path in nouns.items())
        raise UsageError(
            f"{one} and {other}, so that their losses cannot be compared; name one kind only"
        )
    return next(iter(nouns))
