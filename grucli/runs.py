"""Run directories: one a run, made exclusively, readable with nothing but the file system.

runs/20260131-101500-corpus/
  config.yaml  overrides.yaml  run.json  metrics.csv
  samples/step-00001000.txt
  checkpoints/step-00001000.npz  best.json  last.json
"""

import contextlib
import csv
import io
import itertools
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from grucli import checkpoint as checkpoints
from grucli.checkpoint import Checkpoint
from grucli.config import Settings, to_yaml
from grucli.corpus import Corpus
from grucli.corpus import read as read_corpus
from grucli.errors import CheckpointError, CorpusError, UsageError
from grucli.files import Lock, append_line, replace_file, replace_text, sha256
from grucli.info import (
    HEADER,
    Metrics,
    Pointer,
    RunInfo,
    metrics_until,
    read_info,
    read_metrics,
    read_pointer,
)
from grucli.sources import STANDARD_INPUT

Which = Literal["best", "last"]
Status = Literal["running", "done", "interrupted", "failed"]


READS = 20
"""Attempts to read the best checkpoint of a run that another process trains."""


class RunDirectory:
    """The files of one run.

    Args:
        path: an existing run directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    @classmethod
    def create(
        cls, root: Path, name: str, settings: Settings, overrides: Mapping[str, Any]
    ) -> "RunDirectory":
        """Make a directory that did not exist, with its settings in it.

        Raises:
            UsageError: the place cannot be written to.
        """
        stem = f"{datetime.now():%Y%m%d-%H%M%S}-{_file_name(name)}"
        made = None
        try:
            root.mkdir(parents=True, exist_ok=True)
            made = _make_new(root, stem)
            run = cls(made)
            run.make_ready()
            replace_text(run.path / "config.yaml", to_yaml(settings))
            replace_text(run.path / "overrides.yaml", _overrides_yaml(overrides))
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
        for stale in self.path.rglob(".*.tmp-*"):
            stale.unlink(missing_ok=True)

    def lock(self) -> Lock:
        """The right to write to this run; the system takes it back when the process ends.

        Raises:
            UsageError: another process is training it.
        """
        lock = Lock(self.path / "lock")
        if not lock.acquire():
            raise UsageError(
                f"{self.path}: process {lock.holder()} is training this run; wait for it or stop it"
            )
        return lock

    # ---- run.json

    @property
    def info(self) -> RunInfo:
        """What run.json says; errors as of ``read_info``."""
        return read_info(self.path / "run.json")

    @property
    def sources(self) -> list[str]:
        """The paths of the corpus, ``-`` for standard input.

        Raises:
            CheckpointError: run.json does not tell, or names what cannot be read again.
        """
        paths = self.info.corpus.paths
        if paths is None:
            raise CheckpointError(
                f"{self.path / 'run.json'}: does not name the corpus; give it again"
            )
        for path in paths:
            if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
                raise CheckpointError(f"{path}: is a pipe or a device; give the corpus again")
        return paths

    @property
    def status(self) -> str:
        """The status; a run that says it is running while no process holds it has died."""
        status = self.info.status or "unknown"
        died = status == "running" and Lock(self.path / "lock").is_free()
        return "died" if died else status

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace run.json."""
        replace_text(self.path / "run.json", json.dumps(info, indent=2) + "\n")

    def update_info(self, **changes: Any) -> None:
        """Change some of run.json."""
        self.write_info(self.info.to_dict() | changes)

    # ---- metrics and samples

    def append_metrics(self, row: Metrics) -> None:
        """Add a whole row and hand it to the system."""
        values = {
            key: f"{value:.6g}" if isinstance(value, float) else value
            for key, value in asdict(row).items()
        }
        line = io.StringIO()
        csv.DictWriter(line, HEADER, lineterminator="\n").writerow(values)
        append_line(self.path / "metrics.csv", line.getvalue())

    def metrics(self) -> list[Metrics]:
        """The rows of metrics.csv that can be read, in order; errors as of ``read_metrics``."""
        lines = read_metrics(self.path / "metrics.csv")
        return [line.row for line in lines if line.row is not None]

    def validation_losses(self) -> list[float]:
        """The losses of the evaluations, in order."""
        return [row.loss for row in self.metrics() if row.split == "val"]

    def write_sample(self, step: int, text: bytes) -> None:
        """Write the sample made at ``step``."""
        path = self.path / "samples" / f"{_stem(step)}.txt"
        replace_file(path, lambda file: file.write(text))

    def drop_after(self, step: int) -> Path | None:
        """Remove metric rows and samples of steps after ``step``: a resumed run makes them anew.

        Returns:
            A copy of metrics.csv as it was, made if it held something other than its rows.
        """
        path, copy = self.path / "metrics.csv", None
        content, lost = metrics_until(path, step)
        if lost:
            copy = _free_name(self.path, "metrics-as-found", ".csv")
            shutil.copyfile(path, copy)
        replace_text(path, content)
        for sample in (self.path / "samples").glob("step-*.txt"):
            number = _step_in(sample.name)
            if number is not None and number > step:
                sample.unlink()
        return copy

    # ---- checkpoints

    def save(self, checkpoint: Checkpoint, loss: float | None, *, best: bool, keep: int) -> Path:
        """Write a checkpoint, then the pointers to it, then remove what is no longer kept.

        Raises:
            OSError: what was saved before is still there.
        """
        step = checkpoint.progress.step
        path = self.checkpoints / f"{_stem(step)}.npz"
        checkpoints.write(path, checkpoint)
        pointer = {"file": path.name, "step": step, "loss": loss, "sha256": sha256(path)}
        pointers: tuple[Which, ...] = ("best", "last") if best else ("last",)
        for which in pointers:
            replace_text(self.checkpoints / f"{which}.json", json.dumps(pointer) + "\n")
        self.prune(keep)
        return path

    def pointer(self, which: Which) -> Pointer | None:
        """Where ``best.json`` or ``last.json`` points, or None before the first checkpoint."""
        return read_pointer(self.checkpoints / f"{which}.json")

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
        path = self.checkpoints / pointer.file
        try:
            as_written = sha256(path) == pointer.sha256
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
        for path in sorted(self.checkpoints.glob("step-*.npz"), reverse=True):
            with contextlib.suppress(CheckpointError):
                return path, checkpoints.read(path), problem
        raise problem

    def fall_back_to(self, path: Path, checkpoint: Checkpoint) -> None:
        """Make an older checkpoint the last one, and the best if that one is damaged or later."""
        where = checkpoint.progress
        pointer = {"file": path.name, "step": where.step, "loss": None, "sha256": sha256(path)}
        replace_text(self.checkpoints / "last.json", json.dumps(pointer) + "\n")
        try:
            best = checkpoints.read(self.checkpoint("best")).progress.step
        except CheckpointError:
            best = None
        if best is None or best > where.step:
            pointer["loss"] = where.best_loss
            replace_text(self.checkpoints / "best.json", json.dumps(pointer) + "\n")

    def prune(self, keep: int) -> None:
        """Remove all but so many of the checkpoints that are neither the best nor the last."""
        pointers = [self.pointer("best"), self.pointer("last")]
        pointed = {pointer.file for pointer in pointers if pointer}
        others = [
            path for path in sorted(self.checkpoints.glob("step-*.npz")) if path.name not in pointed
        ]
        for path in others[: max(0, len(others) - keep)]:
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
    found = [path for path in root.iterdir() if os.path.lexists(path / "run.json")]
    return [RunDirectory(path) for path in sorted(found, key=lambda p: p.name, reverse=True)]


def _make_new(root: Path, stem: str) -> Path:
    number = 1
    while True:
        path = root / (stem if number == 1 else f"{stem}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
        number += 1


def _free_name(directory: Path, stem: str, ending: str) -> Path:
    """A path that nothing has in a directory."""
    paths = (directory / f"{stem}-{number}{ending}" for number in itertools.count(1))
    return next(path for path in paths if not os.path.lexists(path))


def _file_name(name: str) -> str:
    name = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return name.encode()[:64].decode(errors="ignore") or "run"


def _stem(step: int) -> str:
    return f"step-{step:08d}"


def _step_in(name: str) -> int | None:
    """The step of a sample or a checkpoint by the name of its file; None if it has another name."""
    found = re.fullmatch(r"step-([0-9]{8,16})\.(txt|npz)", name)
    step = int(found[1]) if found else None
    return step if step is not None and name.startswith(f"{_stem(step)}.") else None


def _overrides_yaml(overrides: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(overrides), allow_unicode=True) if overrides else "{}\n"
