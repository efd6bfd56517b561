"""The process that trains a run, and so writes its directory (``docs/run-directory.md``)."""

import contextlib
import errno
import itertools
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from grucli import files
from grucli.config import Settings, to_scalar, to_yaml
from grucli.errors import CheckpointError, RunError, UsageError
from grucli.files import replace_text
from grucli.nn.cells.from_file import FILES
from grucli.run import checkpoint as checkpoints
from grucli.run import records
from grucli.run.checkpoint import Checkpoint, Progress
from grucli.run.records import Metrics, Pointer, RunInfo, step_in
from grucli.run.run import CheckpointFolder, Run, Which

REPORT = "report.html"
# What must not be a link where a run is written.
NO_LINKS = records.OWN_FILES | {"lock", "samples", "checkpoints", "tensorboard"}


class CheckpointWriter(CheckpointFolder):
    """The checkpoints of a run in training."""

    def __init__(self, path: Path, check_writable: Callable[[], object]) -> None:
        super().__init__(path)
        self._check_writable = check_writable  # raises a RunError if this process may not write
        self.written: dict[Which, Pointer] = {}

    def save(self, checkpoint: Checkpoint, *, best: bool, keep: int) -> Path:
        """Write a checkpoint and its pointers, then remove checkpoints that are no longer kept."""
        self._check_writable()
        path = self.file_of(checkpoint.progress.step)
        checkpoints.write(path, checkpoint)
        pointers: tuple[Which, ...] = ("last", "best") if best else ("last",)
        self._point(pointers, path, checkpoint.progress)
        self.prune(keep)
        return path

    def pointer(self, which: Which) -> Pointer | None:
        """What this object has written, whatever has happened to the file since."""
        return self.written.get(which) or super().pointer(which)

    def _point(self, pointers: Iterable[Which], path: Path, progress: Progress) -> None:
        self._check_writable()
        pointer = Pointer(path.name, progress.step, progress.loss, files.sha256(path))
        for which in pointers:
            replace_text(self.path / f"{which}.json", json.dumps(asdict(pointer)) + "\n")
            self.written[which] = pointer

    def mend_pointers(self, path: Path, checkpoint: Checkpoint) -> list[str]:
        """Repair last.json and best.json before the run goes on from the checkpoint at ``path``."""
        progress = checkpoint.progress
        self._point(["last"], path, progress)
        if progress.best_step is None:
            return []
        with contextlib.suppress(CheckpointError):
            pointer = self.pointer("best")
            if pointer and pointer.step == self.read("best").progress.step == progress.best_step:
                return []
        best, then = self._best_of(path, progress)
        progress.best_step, progress.best_loss = then.step, then.loss
        self._point(["best"], best, then)
        return [f"{self.path / 'best.json'}: was damaged; it names {best.name} now"]

    def _best_of(self, path: Path, progress: Progress) -> tuple[Path, Progress]:
        """The best intact checkpoint of an evaluation; ``path`` if there is none."""
        best, best_loss, then = path, math.inf, progress
        for file in self.files():
            with contextlib.suppress(CheckpointError):
                earlier = checkpoints.read(file).progress
                loss = earlier.loss
                if earlier.step <= progress.step and loss is not None and loss < best_loss:
                    best, best_loss, then = file, loss, earlier
        return best, then

    def drop_after(self, step: int) -> None:
        """Remove all checkpoints of steps after ``step``, to which the run has gone back."""
        self._check_writable()
        for path in self.files():
            if (step_in(path.name) or 0) > step:
                with contextlib.suppress(OSError):  # a later checkpoint replaces it
                    path.unlink()

    def prune(self, keep: int) -> None:
        """Keep the first, the best, the last, and ``keep`` others of evaluations."""
        self._check_writable()
        try:
            pointers = [one for one in map(self.pointer, get_args(Which)) if one]
        except CheckpointError:
            return  # an extra checkpoint does no harm
        kept = {pointer.file for pointer in pointers}
        kept.add(self.file_of(0).name)
        last = max((pointer.step for pointer in pointers), default=0)
        others = [p for p in self.files() if p.name not in kept and (step_in(p.name) or 0) <= last]
        # written at a stop or by the clock; equal runs keep equal files
        inserted = [path for path in others if not checkpoints.is_of_evaluation(path)]
        evaluated = [path for path in others if path not in inserted]
        for path in inserted + evaluated[: max(0, len(evaluated) - keep)]:
            for _ in range(2):  # a second attempt after a temporary error
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


class RunWriter(Run):
    """A run that this process writes, while it holds the lock; without it, writing is an error."""

    checkpoints: CheckpointWriter

    def __init__(self, path: Path, file: Path | None = None) -> None:
        super().__init__(path, file)
        self.checkpoints = CheckpointWriter(path / "checkpoints", self._check_lock)
        self._lock = files.Lock(path / "lock")
        self._written: RunInfo | None = None

    @classmethod
    def create(
        cls,
        root: Path,
        name: str,
        checkpoint: Checkpoint,
        overrides: Mapping[str, Any],
        info: Mapping[str, Any],
        timed: bool = True,
        text: Path | None = None,
        *,
        best: bool = False,
    ) -> "RunWriter":
        """Make and lock a new run directory in ``root``; the time begins its name if ``timed``.

        ``run.json`` comes last: every directory with this file can be resumed. ``text`` is copied.
        """
        made, settings = None, checkpoint.settings
        try:
            root.mkdir(parents=True, exist_ok=True)
            made = _make_new(root, new_name(name, timed=timed))
            (made / "checkpoints").mkdir()
            run = cls(made)
            run.lock()
            run.make_ready()
            run.write_settings(settings)
            lines = [f"{key}: {to_scalar(value)}\n" for key, value in overrides.items()]
            replace_text(run.path / "overrides.yaml", "".join(lines) or "{}\n")
            if settings.model.cell in FILES:
                _, source = FILES[settings.model.cell]
                files.replace_file(run.path / records.KEPT_CELL, lambda file: file.write(source))
            if text is not None:
                with text.open("rb") as file:
                    copy = partial(shutil.copyfileobj, file)
                    files.replace_file(run.path / records.KEPT_TEXT, copy)
            run.checkpoints.save(checkpoint, best=best, keep=0)
            run.write_info(info)
        except BaseException:
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)  # it is new: nobody else uses it
            raise
        return run

    @classmethod
    def nowhere(cls) -> "RunWriter":
        """The run of a rank that writes no files."""
        return cls(Path(os.devnull), Path(os.devnull))

    def make_ready(self) -> None:
        """Make missing files and remove temporary ones; the run must be locked or new."""
        folders = (self.path / "samples", self.checkpoints.path)
        for folder in folders:
            folder.mkdir(exist_ok=True)
        if not (self.path / "metrics.csv").exists():
            replace_text(self.path / "metrics.csv", records.HEADER_LINE)
        for folder in (self.path, *folders):
            for file in folder.iterdir():
                if (name := files.temporary_for(file.name)) == REPORT or records.is_own(name):
                    file.unlink(missing_ok=True)

    # ---- the lock

    def lock(self) -> None:
        """Lock the run; on a file system without locks, use it unlocked."""
        for name in NO_LINKS:
            files.refuse_link(self.path / name)
        try:
            is_locked = self._lock.acquire()
        except files.LockError as error:
            idle = error.errno == errno.ENOLCK and self.info.status != "running"
            if error.errno not in files.NO_LOCKS and not idle:
                raise
            return
        if not is_locked:
            raise UsageError(
                f"{self.path}: process {self._lock.holder()} is training this run; "
                "wait for it or stop it"
            )

    def release(self) -> None:
        self._lock.release()
        self._written = None
        self.checkpoints.written.clear()

    def _check_lock(self) -> None:
        if self._lock.is_lost():
            raise RunError(
                f"{self._lock.path}: was deleted or replaced during training, so another "
                "process may be training this run; no more files are written. Check the run, "
                f"and resume it: {self.resume_command()}"
            )

    # ---- files

    @property
    def info(self) -> RunInfo:
        """What this object has written to run.json, whatever has happened to the file since."""
        return self._written or super().info

    def write_info(self, info: Mapping[str, Any]) -> None:
        self._check_lock()
        text = json.dumps(dict(info), indent=2)
        replace_text(self.path / "run.json", text + "\n")
        self._written = RunInfo.model_validate(json.loads(text))

    def update_info(self, **changes: Any) -> None:
        self.write_info(self.info.to_dict() | changes)

    def write_settings(self, settings: Settings) -> None:
        self._check_lock()
        replace_text(self.path / "config.yaml", to_yaml(settings))

    def append_metrics(self, row: Metrics) -> None:
        self._check_lock()
        path = self.path / "metrics.csv"
        if not path.exists():  # somebody has moved it away
            replace_text(path, records.HEADER_LINE)
        files.append_line(path, row.to_line())

    def write_sample(self, step: int, text: bytes) -> None:
        self._check_lock()
        path = self.path / "samples" / f"{records.stem(step)}.txt"
        files.replace_file(path, lambda file: file.write(text))

    def write_report(self, page: str) -> None:
        self._check_lock()
        replace_text(self.path / REPORT, page)

    def drop_after(self, step: int) -> None:
        """Remove rows and samples of steps after ``step``, which a resumed run makes again."""
        self._check_lock()
        path = self.path / "metrics.csv"
        replace_text(path, records.metrics_until(path, step))
        for sample in (self.path / "samples").glob("step-*.txt"):
            if (step_in(sample.name) or 0) > step:
                sample.unlink()


def write_run(paths: Iterable[Path], checkpoint: Checkpoint, info: Mapping[str, Any]) -> Path:
    """Write a run that holds one checkpoint and no training, completely or not at all.

    Its path, which is returned, is the first of ``paths`` at which there is nothing.
    """
    path = Path()
    try:
        for path in paths:
            if os.path.lexists(path):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
                root = Path(folder)
                made = RunWriter.create(root, "run", checkpoint, {}, info, timed=False, best=True)
                made.release()
                if _renamed(made.path, path):
                    return path
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None
    raise UsageError(f"{path}: exists already; name a new run directory")


def _renamed(made: Path, path: Path) -> bool:
    """Rename a directory, unless another process was faster and has made one at ``path``."""
    try:
        made.rename(path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    return True


def new_name(name: str, *, timed: bool = True) -> str:
    name = re.sub(r"[^\w.-]+", "-", name).strip("-.").encode()[:64].decode(errors="ignore")
    return f"{datetime.now():%Y%m%d-%H%M%S}-" * timed + (name or "run")


def new_paths(root: Path, name: str) -> Iterator[Path]:
    """Paths for a new run, of which a later one is taken if there is something at the others."""
    return _names(root / new_name(name))


def _names(path: Path) -> Iterator[Path]:
    yield path
    yield from (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))


def _make_new(root: Path, name: str) -> Path:
    for path in _names(root / name):
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError
