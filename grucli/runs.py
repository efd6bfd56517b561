"""Run directories: one a run, made exclusively, readable with nothing but the file system.

runs/20260131-101500-corpus/
  config.yaml  overrides.yaml  run.json  metrics.csv
  samples/step-00001000.txt
  checkpoints/step-00001000.npz  best.json  last.json
"""

import contextlib
import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from grucli import checkpoint as checkpoints
from grucli.checkpoint import Checkpoint, Progress
from grucli.config import Settings, to_yaml
from grucli.corpus import Corpus
from grucli.corpus import read as read_corpus
from grucli.errors import CheckpointError, CorpusError, RunError, UsageError, quote
from grucli.files import Lock, append_line, replace_file, replace_text, sha256, temporary_for
from grucli.sources import STANDARD_INPUT

Which = Literal["best", "last"]
Status = Literal["running", "done", "interrupted", "failed"]


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

    step: int
    epoch: float
    chars: int
    split: Literal["train", "val"]
    loss: float
    bpc: float
    lr: float
    grad_norm: float
    chars_per_s: float
    elapsed_s: float


HEADER = list(Metrics.__dataclass_fields__)

READS = 20
"""Attempts to read the best checkpoint of a run that another process trains."""

STEP_DIGITS = 16
"""No step has as many digits."""

OWN_FILES = frozenset(
    ["config.yaml", "overrides.yaml", "run.json", "metrics.csv", "best.json", "last.json"]
)
OWN_NUMBERED = re.compile(r"step-\d{8,}\.(npz|txt)")
"""The files that the program writes into a run directory."""

CHECKPOINT_NAME = re.compile(r"step-(\d{8,})\.npz")
"""The name of a checkpoint, as the program writes it."""


class RunDirectory:
    """The files of one run.

    Whoever writes to it holds its lock. If the lock file is deleted or replaced meanwhile, another
    process may have come in, and every method that writes raises a RunError instead.

    Args:
        path: an existing run directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._lock = Lock(path / "lock")

    @classmethod
    def create(
        cls,
        root: Path,
        name: str,
        settings: Settings,
        overrides: Mapping[str, Any],
        info: Mapping[str, Any] = MappingProxyType({}),
    ) -> "RunDirectory":
        """Make a directory that did not exist, and lock it.

        ``run.json`` is written last, so that what has one can be resumed.

        Args:
            root: the directory of all runs.
            name: suffix of the new directory's name.
            settings: resolved settings.
            overrides: what the user has typed.
            info: the content of run.json.

        Raises:
            UsageError: the place cannot be written to.
        """
        stem = f"{datetime.now():%Y%m%d-%H%M%S}-{_file_name(name)}"
        made = None
        try:
            root.mkdir(parents=True, exist_ok=True)
            made = _make_new(root, stem)
            run = cls(made)
            run.lock()
            run.make_ready()
            replace_text(run.path / "config.yaml", to_yaml(settings))
            replace_text(run.path / "overrides.yaml", _overrides_yaml(overrides))
            run.write_info(info)
        except OSError as error:
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)  # it is new, and nobody's yet
            raise UsageError(
                f"{root}: cannot make a run directory here: {error.strerror or error}; "
                "choose a place to write with --runs-dir"
            ) from None
        return run

    def make_ready(self) -> None:
        """Make what a run needs and sweep up what a crash left; the run must be locked or new."""
        (self.path / "samples").mkdir(exist_ok=True)
        self.checkpoints.mkdir(exist_ok=True)
        if not (self.path / "metrics.csv").exists():
            replace_text(self.path / "metrics.csv", ",".join(HEADER) + "\n")
        for folder in (self.path, self.path / "samples", self.checkpoints):
            for file in folder.iterdir():
                if _is_own(temporary_for(file.name)):
                    file.unlink(missing_ok=True)

    def lock(self) -> None:
        """Take the right to write to this run; the system takes it back when the process ends.

        Raises:
            UsageError: another process is training it.
        """
        if not self._lock.acquire():
            raise UsageError(
                f"{self.path}: process {self._lock.holder()} is training this run; "
                "wait for it or stop it"
            )

    def release(self) -> None:
        """Give the right back."""
        self._lock.release()

    def _check_lock(self) -> None:
        """Refuse to write where another process may be writing.

        Raises:
            RunError: the lock was taken, and its file was deleted or replaced since.
        """
        if self._lock.is_lost():
            raise RunError(
                f"{self._lock.path}: was deleted or replaced while this run was training, so that "
                "another process may have begun to train it; nothing more is written. Look at the "
                f"run, and resume it: grucli train --resume {quote(str(self.path))}"
            )

    # ---- run.json

    @property
    def info(self) -> dict[str, Any]:
        """What run.json says.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        path = self.path / "run.json"
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: not the file of a run: {error}") from None
        if not isinstance(loaded, dict):
            raise CheckpointError(f"{path}: not the file of a run")
        return loaded

    @property
    def sources(self) -> list[str]:
        """The paths of the corpus, ``-`` for standard input.

        Raises:
            CheckpointError: run.json does not tell.
        """
        corpus = self.info.get("corpus")
        paths = corpus.get("paths") if isinstance(corpus, dict) else None
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise CheckpointError(
                f"{self.path / 'run.json'}: does not name the corpus; give it again"
            )
        return paths

    @property
    def status(self) -> str:
        """The status; a run that says it is running while no process holds it has died."""
        status = str(self.info.get("status"))
        died = status == "running" and Lock(self.path / "lock").is_free()
        return "died" if died else status

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace run.json."""
        self._check_lock()
        replace_text(self.path / "run.json", json.dumps(dict(info), indent=2) + "\n")

    def update_info(self, **changes: Any) -> None:
        """Change some of run.json."""
        self.write_info(self.info | changes)

    # ---- metrics and samples

    def append_metrics(self, row: Metrics) -> None:
        """Add a whole row and hand it to the system."""
        values = {
            key: f"{value:.6g}" if isinstance(value, float) else value
            for key, value in asdict(row).items()
        }
        line = io.StringIO()
        csv.DictWriter(line, HEADER, lineterminator="\n").writerow(values)
        self._check_lock()
        append_line(self.path / "metrics.csv", line.getvalue())

    def metrics(self) -> list[dict[str, str]]:
        """The rows of metrics.csv, in order."""
        with (self.path / "metrics.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def validation_losses(self) -> list[float]:
        """The losses of the evaluations, in order."""
        return [float(row["loss"]) for row in self.metrics() if row["split"] == "val"]

    def write_sample(self, step: int, text: bytes) -> None:
        """Write the sample made at ``step``."""
        self._check_lock()
        path = self.path / "samples" / f"{_stem(step)}.txt"
        replace_file(path, lambda file: file.write(text))

    def drop_after(self, step: int) -> None:
        """Remove metric rows and samples of steps after ``step``: a resumed run makes them anew."""
        self._check_lock()
        path = self.path / "metrics.csv"
        rows = [row for row in self.metrics() if _step_of(row) <= step]
        text = io.StringIO()
        writer = csv.DictWriter(text, HEADER, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        replace_text(path, text.getvalue())
        for sample in (self.path / "samples").glob("step-*.txt"):
            number = sample.stem.removeprefix("step-")
            if number.isdigit() and int(number) > step:
                sample.unlink()

    # ---- checkpoints

    def save(self, checkpoint: Checkpoint, *, best: bool, keep: int) -> Path:
        """Write a checkpoint, then the pointers to it, then remove what is no longer kept.

        Raises:
            OSError: what was saved before is still there.
            RunError: the lock is lost; what was saved before is still there.
        """
        self._check_lock()
        path = self.file_of(checkpoint.progress.step)
        checkpoints.write(path, checkpoint)
        where = checkpoint.progress
        loss = where.evaluated_loss if where.of_evaluation else None
        pointers: tuple[Which, ...] = ("last", "best") if best else ("last",)
        self.point(pointers, path, where.step, loss)
        self.prune(keep, checkpoint.progress.evaluated_step)
        return path

    @property
    def has_checkpoint(self) -> bool:
        """Whether a checkpoint was ever written."""
        pointers = (self.checkpoints / "best.json", self.checkpoints / "last.json")
        return any(map(os.path.lexists, pointers)) or bool(self.files())

    def file_of(self, step: int) -> Path:
        """The file of the checkpoint at ``step``."""
        return self.checkpoints / f"{_stem(step)}.npz"

    def point(self, pointers: Iterable[Which], path: Path, step: int, loss: float | None) -> None:
        """Have pointers name a checkpoint; ``loss`` is that of the best one."""
        self._check_lock()
        content = {"file": path.name, "step": step, "loss": loss, "sha256": sha256(path)}
        for which in pointers:
            replace_text(self.checkpoints / f"{which}.json", json.dumps(content) + "\n")

    def pointer(self, which: Which) -> dict[str, Any] | None:
        """Where ``best.json`` or ``last.json`` points, or None before the first checkpoint."""
        path = self.checkpoints / f"{which}.json"
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
            pointer = {key: loaded[key] for key in ("file", "step", "loss", "sha256")}
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise CheckpointError(f"{path}: damaged; name a checkpoint file") from None
        if not isinstance(pointer["file"], str):
            raise CheckpointError(f"{path}: damaged; name a checkpoint file")
        return pointer

    def checkpoint(self, which: Which) -> Path:
        """The best or last checkpoint's file, verified; the last before any was evaluated.

        Raises:
            CheckpointError: none was written yet, or it is not what was written.
        """
        pointer = self.pointer(which) or self.pointer("last")
        if pointer is None:
            raise CheckpointError(
                f"{self.path}: no checkpoint yet; the first is written at the first evaluation, "
                "or when the run is stopped"
            )
        path = self.checkpoints / Path(pointer["file"]).name
        try:
            as_written = sha256(path) == pointer["sha256"]
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be read, though {which}.json names it: {error.strerror}"
            ) from None
        if not as_written:  # damaged, or whole but newer than the pointer: a crash came between
            checkpoints.read(path)
        return path

    def last_sound(self) -> tuple[Path, Checkpoint, CheckpointError | None]:
        """The last checkpoint; if it is damaged, the newest of those before it that are not.

        Returns:
            Its file, its content, and what is wrong with the last one if this is another.

        Raises:
            CheckpointError: there is no sound one.
        """
        try:
            path = self.checkpoint("last")
            return path, checkpoints.read(path), None
        except CheckpointError as error:
            problem = error
        for path in reversed(self.files()):
            with contextlib.suppress(CheckpointError):
                return path, checkpoints.read(path), problem
        raise problem

    def files(self) -> list[Path]:
        """The checkpoint files of this run, in the order of their steps."""
        found = [path for path in self.checkpoints.glob("step-*.npz") if _step_in(path) is not None]
        return sorted(found, key=lambda path: _step_in(path) or 0)

    def mend_pointers(self, path: Path, checkpoint: Checkpoint) -> list[str]:
        """Have last.json name the checkpoint to go on from, and best.json the best sound one.

        Args:
            path: the checkpoint's file.
            checkpoint: its content; where the best one is lost, it learns of the one in its place.

        Returns:
            What was wrong with best.json, and what it names now; nothing if it was right.
        """
        where = checkpoint.progress
        if not self._names("last", where.step):
            self.point(["last"], path, where.step, None)
        if where.best_step is None or self._names("best", where.best_step):
            return []
        best, where.best_step, where.best_loss = self._best_of(path, where)
        self.point(["best"], best, where.best_step, where.best_loss)
        return [f"{self.checkpoints / 'best.json'}: was damaged; it names {best.name} now"]

    def _names(self, which: Which, step: int) -> bool:
        """Whether a pointer names a sound checkpoint of that step."""
        try:
            pointer = self.pointer(which)
            return (
                pointer is not None
                and pointer["step"] == step
                and checkpoints.read(self.checkpoint(which)).progress.step == step
            )
        except CheckpointError:
            return False

    def _best_of(self, path: Path, where: Progress) -> tuple[Path, int, float | None]:
        """The best of the sound checkpoints of evaluations, or else the one to go on from."""
        found: list[tuple[float, int, Path]] = []
        for file in self.files():
            with contextlib.suppress(CheckpointError):
                then = checkpoints.read(file).progress
                if then.of_evaluation and then.step <= where.step and then.evaluated_loss:
                    found.append((then.evaluated_loss, then.step, file))
        loss, step, best = min(found, default=(None, where.step, path))
        return best, step, loss

    def prune(self, keep: int, evaluated_step: int | None) -> None:
        """Remove checkpoints that are no longer kept.

        The best, the last and the last evaluated one stay, and of the other evaluated ones the
        newest. One that a stop or the clock has inserted goes as soon as it is not the last: what
        is left must not depend on when a run was stopped. Files with other names stay.

        Args:
            keep: how many others to keep.
            evaluated_step: the step of the last evaluation that was saved.
        """
        self._check_lock()
        try:
            pointers = [self.pointer("best"), self.pointer("last")]
        except CheckpointError:
            return  # a checkpoint too many does no harm
        kept = {pointer["file"] for pointer in pointers if pointer}
        if evaluated_step is not None:
            kept.add(self.file_of(evaluated_step).name)
        last = max((pointer["step"] for pointer in pointers if pointer), default=0)
        others = [p for p in self.files() if p.name not in kept and (_step_in(p) or 0) <= last]
        inserted = [path for path in others if not checkpoints.is_of_evaluation(path)]
        evaluated = [path for path in others if path not in inserted]
        for path in inserted + evaluated[: max(0, len(evaluated) - keep)]:
            for _ in range(2):  # a hitch is over by then; a checkpoint too many does no harm
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def is_run(path: Path) -> bool:
    """Whether ``path`` is a run directory."""
    return (path / "run.json").is_file() or (path / "checkpoints").is_dir()


def find_checkpoint(path: Path, which: Which) -> Path:
    """The checkpoint file that ``path``, a run directory or a checkpoint, stands for.

    Raises:
        CheckpointError: it is neither.
    """
    try:
        directory, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    if directory:
        if not is_run(path):
            raise CheckpointError(
                f"{path}: not a run directory: it holds no run.json; `grucli runs` lists runs"
            )
        return RunDirectory(path).checkpoint(which)
    if not exists:
        raise CheckpointError(
            f"{path}: there is no such run or checkpoint; `grucli runs` lists runs"
        )
    return path


def open_checkpoint(path: Path) -> tuple[Path, Checkpoint]:
    """The best checkpoint of a run, or the one named: its file and its content.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    for attempt in range(READS):
        try:
            file = find_checkpoint(path, "best")
            return file, checkpoints.read(file)
        except CheckpointError:
            # a run that is being trained may have replaced the file in between
            if attempt + 1 == READS or Lock(path / "lock").is_free():
                raise
    raise AssertionError


def run_of(checkpoint: Path) -> RunDirectory | None:
    """The run that a run directory or a checkpoint file in one belongs to."""
    for path in (checkpoint, *checkpoint.resolve().parents[:2]):
        if (path / "run.json").is_file():
            return RunDirectory(path)
    return None


def own_corpus(checkpoint_file: Path, checkpoint: Checkpoint) -> Corpus:
    """The text that a checkpoint was trained on, if it is still the same.

    Raises:
        CheckpointError: its run does not know the text, or the text is not kept.
        CorpusError: it has changed.
    """
    run = run_of(checkpoint_file)
    if run is None:
        raise CheckpointError(
            f"{checkpoint_file}: stands outside its run directory, which knows its text; name one"
        )
    if STANDARD_INPUT in run.sources:
        raise CheckpointError(f"{run.path}: was trained on standard input; name a text")
    corpus = read_corpus(
        run.sources, checkpoint.settings.data, checkpoint.vocabulary, checkpoint.unknown
    )
    if not checkpoints.same_text(corpus, checkpoint):
        raise CorpusError(f"{', '.join(run.sources)}: has changed since training; name a text")
    return corpus


def list_runs(root: Path) -> list[RunDirectory]:
    """All runs under ``root``, newest first.

    Raises:
        UsageError: there is no such directory.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: there is no such directory; `grucli train CORPUS` makes runs")
    found = [path for path in root.iterdir() if _has_info(path)]
    return [RunDirectory(path) for path in sorted(found, key=lambda p: p.name, reverse=True)]


def _has_info(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return (path / "run.json").is_file()
    return False


def _make_new(root: Path, stem: str) -> Path:
    number = 1
    while True:
        path = root / (stem if number == 1 else f"{stem}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
        number += 1


def _file_name(name: str) -> str:
    name = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return name.encode()[:64].decode(errors="ignore") or "run"


def _stem(step: int) -> str:
    return f"step-{step:08d}"


def _step_in(path: Path) -> int | None:
    """The step in the name of a checkpoint file; None for a name that is not the program's."""
    match = CHECKPOINT_NAME.fullmatch(path.name)
    step = int(match[1]) if match and len(match[1]) < STEP_DIGITS else None
    return step if step is not None and path.name == f"{_stem(step)}.npz" else None


def _is_own(name: str | None) -> bool:
    """Whether the program writes files of that name into a run directory."""
    return name is not None and (name in OWN_FILES or OWN_NUMBERED.fullmatch(name) is not None)


def _step_of(row: Mapping[str, str]) -> float:
    """A row cut short by a crash has no step; it counts as later than everything."""
    complete = None not in row.values() and row["step"].isdigit()
    return int(row["step"]) if complete else float("inf")


def _overrides_yaml(overrides: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(overrides), allow_unicode=True) if overrides else "{}\n"
