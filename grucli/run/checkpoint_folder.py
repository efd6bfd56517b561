"""The checkpoints of a run: files named by step, and pointers to the best and the last one."""

import contextlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from grucli.errors import CheckpointError
from grucli.files import replace_text, sha256
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint, Copy
from grucli.run.progress import Progress
from grucli.run.run_files import Pointer, read_pointer

Which = Literal["best", "last"]


class CheckpointFolder:
    """The directory ``checkpoints/`` of a run.

    Args:
        path: the directory.
        check_writable: raises a RunError if this process may not write.
    """

    def __init__(self, path: Path, check_writable: Callable[[], object]) -> None:
        self.path, self._check_writable = path, check_writable
        self._written: dict[Which, Pointer] = {}

    def save(self, checkpoint: Checkpoint | Copy, *, best: bool, keep: int) -> Path:
        """Write a checkpoint and its pointers, then remove checkpoints that are no longer kept.

        Raises:
            OSError: the checkpoint cannot be written; earlier ones are still there.
            RunError: the lock is lost; earlier checkpoints are still there.
        """
        self._check_writable()
        path = self.file_of(checkpoint.progress.step)
        checkpoints.write(path, checkpoint)
        pointers: tuple[Which, ...] = ("last", "best") if best else ("last",)
        self._point(pointers, path, checkpoint.progress)
        self.prune(keep, checkpoint.progress.evaluated_step)
        return path

    @property
    def exist(self) -> bool:
        """Whether there is any checkpoint or pointer."""
        pointers = (self.path / "best.json", self.path / "last.json")
        return any(map(os.path.lexists, pointers)) or bool(self.files())

    def file_of(self, step: int) -> Path:
        """The file of the checkpoint at ``step``."""
        return self.path / f"{stem(step)}.npz"

    def _point(self, pointers: Iterable[Which], path: Path, where: Progress) -> None:
        """Write pointers to a checkpoint, whose progress is ``where``."""
        self._check_writable()
        content: dict[str, Any] = {
            "file": path.name,
            "step": where.step,
            "loss": where.loss,
            "sha256": sha256(path),
        }
        for which in pointers:
            replace_text(self.path / f"{which}.json", json.dumps(content) + "\n")
            self._written[which] = Pointer(**content)

    def pointer(self, which: Which) -> Pointer | None:
        """The content of ``best.json`` or ``last.json``; None before the first checkpoint.

        Raises:
            CheckpointError: the file is damaged, and was not written by this object.
        """
        try:
            return read_pointer(self.path / f"{which}.json")
        except CheckpointError:
            if which not in self._written:
                raise
            return self._written[which]

    def find(self, which: Which) -> Path:
        """The verified file of the best or last checkpoint; the last if there is no best one.

        Raises:
            CheckpointError: there is no checkpoint yet, or the file is damaged.
        """
        pointer = self.pointer(which) or self.pointer("last")
        if pointer is None:
            raise CheckpointError(
                f"{self.path.parent}: no checkpoint yet; the first one is written at the first "
                "evaluation, or when the run is stopped"
            )
        path = self.path / pointer.file
        try:
            as_written = sha256(path) == pointer.sha256
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be read, though {which}.json names it: {error.strerror}"
            ) from None
        if not as_written:  # damaged, or newer than the pointer after a crash
            checkpoints.read(path)
        return path

    def last_sound(self) -> tuple[Path, Checkpoint, CheckpointError | None]:
        """The last checkpoint; if it is damaged, the newest intact one.

        Returns:
            Its file, its content, and the error of the last checkpoint if that is damaged.

        Raises:
            CheckpointError: there is no intact checkpoint.
        """
        try:
            path = self.find("last")
            return path, checkpoints.read(path), None
        except CheckpointError as error:
            problem = error
        for path in reversed(self.files()):
            with contextlib.suppress(CheckpointError):
                return path, checkpoints.read(path), problem
        raise problem

    def files(self) -> list[Path]:
        """The checkpoint files of this run, in the order of their steps."""
        found = [path for path in self.path.glob("step-*.npz") if step_in(path.name) is not None]
        return sorted(found, key=lambda path: step_in(path.name) or 0)

    def mend_pointers(self, path: Path, checkpoint: Checkpoint) -> list[str]:
        """Repair last.json and best.json before a run is resumed.

        Args:
            path: the file of the checkpoint from which the run continues.
            checkpoint: its content; its best step and loss change if the best checkpoint is lost.

        Returns:
            A note if best.json has changed; otherwise an empty list.
        """
        where = checkpoint.progress
        if not self._names("last", where.step):
            self._point(["last"], path, where)
        if where.best_step is None or self._names("best", where.best_step):
            return []
        best, then = self._best_of(path, where)
        where.best_step, where.best_loss = then.step, then.loss
        self._point(["best"], best, then)
        return [f"{self.path / 'best.json'}: was damaged; it names {best.name} now"]

    def _names(self, which: Which, step: int) -> bool:
        """Whether a pointer names an intact checkpoint of this step."""
        try:
            pointer = self.pointer(which)
            return (
                pointer is not None
                and pointer.step == step
                and checkpoints.read(self.find(which)).progress.step == step
            )
        except CheckpointError:
            return False

    def _best_of(self, path: Path, where: Progress) -> tuple[Path, Progress]:
        """The best intact checkpoint of an evaluation; ``path`` if there is none."""
        best, best_loss, then = path, math.inf, where
        for file in self.files():
            with contextlib.suppress(CheckpointError):
                progress = checkpoints.read(file).progress
                loss = progress.loss
                if progress.step <= where.step and loss is not None and loss < best_loss:
                    best, best_loss, then = file, loss, progress
        return best, then

    def drop_after(self, step: int) -> None:
        """Remove all checkpoints of steps after ``step``, to which the run has gone back."""
        self._check_writable()
        for path in self.files():
            if (step_in(path.name) or 0) > step:
                with contextlib.suppress(OSError):  # a later checkpoint replaces it
                    path.unlink()

    def prune(self, keep: int, evaluated_step: int | None) -> None:
        """Remove checkpoints that are no longer kept.

        The best, the last and the last evaluated checkpoint are kept, and the newest of the other
        evaluated ones. A checkpoint that was written at a stop or by the clock is removed when it
        is not the last any more, so that equal runs keep equal files. Files with other names are
        kept.

        Args:
            keep: number of other evaluated checkpoints to keep.
            evaluated_step: the step of the last evaluation that was saved.
        """
        self._check_writable()
        try:
            pointers = [self.pointer("best"), self.pointer("last")]
        except CheckpointError:
            return  # an extra checkpoint does no harm
        kept = {pointer.file for pointer in pointers if pointer}
        if evaluated_step is not None:
            kept.add(self.file_of(evaluated_step).name)
        last = max((pointer.step for pointer in pointers if pointer), default=0)
        others = [p for p in self.files() if p.name not in kept and (step_in(p.name) or 0) <= last]
        inserted = [path for path in others if not checkpoints.is_of_evaluation(path)]
        evaluated = [path for path in others if path not in inserted]
        for path in inserted + evaluated[: max(0, len(evaluated) - keep)]:
            for _ in range(2):  # a second attempt after a temporary error
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def stem(step: int) -> str:
    """The name of a file of step ``step``, without its extension."""
    return f"step-{step:08d}"


def step_in(name: str) -> int | None:
    """The step in the name of a sample or checkpoint file; None for other names."""
    found = re.fullmatch(r"step-([0-9]{8,16})\.(txt|npz)", name)
    step = int(found[1]) if found else None
    return step if step is not None and name.startswith(f"{stem(step)}.") else None
