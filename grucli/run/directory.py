"""Run directories, which hold all files of a run in common formats.

runs/20260131-101500-corpus/
  config.yaml  overrides.yaml  run.json  metrics.csv
  samples/step-00001000.txt
  checkpoints/step-00001000.npz  best.json  last.json
"""

import contextlib
import csv
import errno
import io
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from stat import S_ISREG
from typing import Any

from grucli.config import Settings, Values, read_file, to_scalar, to_yaml
from grucli.data.corpus import Corpus
from grucli.data.corpus import read as read_corpus
from grucli.data.text_files import STANDARD_INPUT
from grucli.errors import (
    CheckpointError,
    CorpusError,
    RunError,
    SettingsError,
    UnknownCharacterError,
    UsageError,
)
from grucli.files import (
    NO_LOCKS,
    Lock,
    LockError,
    append_line,
    open_file,
    refuse_link,
    replace_file,
    replace_text,
    temporary_for,
)
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint
from grucli.run.checkpoint_folder import CheckpointFolder, Which, stem, step_in
from grucli.run.run_files import (
    HEADER,
    Metrics,
    RunInfo,
    metrics_until,
    read_info,
    read_metrics,
)
from grucli.text_out import resume_command

READS = 20
"""Maximum attempts to read the best checkpoint while another process trains the run."""

OWN_FILES = frozenset(
    ["config.yaml", "overrides.yaml", "run.json", "metrics.csv", "best.json", "last.json"]
)
"""The files that the program writes into a run directory, except those named by step."""

NO_LINKS = OWN_FILES | {"lock", "samples", "checkpoints"}
"""What must not be a link where a run is written."""


class RunDirectory:
    """The files of one run.

    A process that writes to it must hold its lock. If the lock file is deleted or replaced,
    another process may be writing, and every method that writes raises a RunError.

    Args:
        path: an existing run directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = CheckpointFolder(path / "checkpoints", self._check_lock)
        self._lock = Lock(path / "lock")
        self._written: RunInfo | None = None

    @classmethod
    def create(
        cls,
        root: Path,
        name: str,
        settings: Settings,
        overrides: Mapping[str, Any],
        info: Mapping[str, Any],
        *,
        timed: bool = True,
    ) -> "RunDirectory":
        """Make and lock a new run directory.

        ``run.json`` is written last, so that every directory with this file can be resumed.

        Args:
            root: the directory of all runs.
            name: suffix of the new directory's name.
            settings: resolved settings.
            overrides: the settings for overrides.yaml.
            info: the content of run.json.
            timed: whether the name begins with the time.

        Raises:
            UsageError: the directory cannot be made.
        """
        whole = f"{datetime.now():%Y%m%d-%H%M%S}-" * timed + _file_name(name)
        made = None
        try:
            root.mkdir(parents=True, exist_ok=True)
            made = _make_new(root, whole)
            run = cls(made)
            run.lock()
            run.make_ready()
            replace_text(run.path / "config.yaml", to_yaml(settings))
            replace_text(run.path / "overrides.yaml", _overrides_yaml(overrides))
            run.write_info(info)
        except OSError as error:
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)  # it is new: nobody else uses it
            raise UsageError(
                f"{root}: cannot make a run directory here: {error.strerror or error}; "
                "choose another directory with --runs-dir"
            ) from None
        return run

    def make_ready(self) -> None:
        """Make missing files and remove temporary ones; the run must be locked or new."""
        (self.path / "samples").mkdir(exist_ok=True)
        self.checkpoints.path.mkdir(exist_ok=True)
        if not (self.path / "metrics.csv").exists():
            replace_text(self.path / "metrics.csv", ",".join(HEADER) + "\n")
        for folder in (self.path, self.path / "samples", self.checkpoints.path):
            for file in folder.iterdir():
                if _is_own(temporary_for(file.name)):
                    file.unlink(missing_ok=True)

    def lock(self) -> None:
        """Lock the run for writing. The system releases the lock when the process ends.

        On a file system without locks, the run is used unlocked.

        Raises:
            UsageError: another process is training the run.
            LockError: nobody knows whether another process is training the run.
            OSError: the lock is no file, or cannot be written; or a file or directory of the run
                is a link.
        """
        for name in NO_LINKS:
            refuse_link(self.path / name)
        try:
            taken = self._lock.acquire()
        except LockError as error:
            idle = error.errno == errno.ENOLCK and self.info.status != "running"
            if error.errno not in NO_LOCKS and not idle:
                raise
            return
        if not taken:
            raise UsageError(
                f"{self.path}: process {self._lock.holder()} is training this run; "
                "wait for it or stop it"
            )

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()
        self._written = None

    def _check_lock(self) -> None:
        """Check that no other process may be writing.

        Raises:
            RunError: the lock file was deleted or replaced while this process held the lock.
        """
        if self._lock.is_lost():
            raise RunError(
                f"{self._lock.path}: was deleted or replaced during training, so another "
                "process may be training this run; no more files are written. Check the run, "
                f"and resume it: {self.resume_command()}"
            )

    def resume_command(self, sources: Sequence[str] = ()) -> str:
        """Return the command that resumes the run; ``sources`` as in ``shell.resume_command``."""
        return resume_command(self.path, sources, self.info.ranks or 1)

    # ---- run.json

    @property
    def info(self) -> RunInfo:
        """The content of run.json; errors as in ``read_info``.

        While this object has the lock, it is what this object has written, whatever has happened
        to the file since then.
        """
        return self._written or read_info(self.path / "run.json")

    @property
    def sources(self) -> list[str]:
        """The paths of the corpus; ``-`` is standard input.

        Raises:
            CheckpointError: run.json has no paths, or a path is a pipe or a device.
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
        """The status. It is "died" if run.json says "running" but the lock is certainly free."""
        status = self.info.status or "unknown"
        died = status == "running" and Lock(self.path / "lock").is_free()
        return "died" if died else status

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace run.json."""
        self._check_lock()
        text = json.dumps(dict(info), indent=2)
        replace_text(self.path / "run.json", text + "\n")
        self._written = RunInfo.model_validate(json.loads(text))

    def update_info(self, **changes: Any) -> None:
        """Change some keys of run.json."""
        self.write_info(self.info.to_dict() | changes)

    def config(self) -> tuple[str, Values]:
        """The path of config.yaml, and its settings.

        Raises:
            SettingsError: the file cannot be read.
        """
        path = self.path / "config.yaml"
        try:
            open_file(path).close()  # refuses a pipe, which would block
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
        return str(path), read_file(path)

    # ---- metrics and samples

    def append_metrics(self, row: Metrics) -> None:
        """Append a complete row to metrics.csv."""
        values = {
            key: f"{value:.6g}" if isinstance(value, float) else value
            for key, value in asdict(row).items()
        }
        line = io.StringIO()
        csv.DictWriter(line, HEADER, lineterminator="\n").writerow(values)
        self._check_lock()
        append_line(self.path / "metrics.csv", line.getvalue())

    def metrics(self) -> list[Metrics]:
        """The valid rows of metrics.csv, in order; errors as in ``read_metrics``."""
        lines = read_metrics(self.path / "metrics.csv")
        return [line.row for line in lines if line.row is not None]

    def validation_losses(self) -> list[float]:
        """The validation losses, in order."""
        return [row.loss for row in self.metrics() if row.split == "val"]

    def write_sample(self, step: int, text: bytes) -> None:
        """Write the sample made at ``step``."""
        self._check_lock()
        path = self.path / "samples" / f"{stem(step)}.txt"
        replace_file(path, lambda file: file.write(text))

    def samples(self) -> list[tuple[int, Path]]:
        """The samples with their steps, in order, without what is not a file."""
        folder = self.path / "samples"
        found = [] if folder.is_symlink() else folder.glob("step-*.txt")
        named = [(step_in(path.name), path) for path in found if S_ISREG(path.lstat().st_mode)]
        return sorted((step, path) for step, path in named if step is not None)

    def write_report(self, page: str) -> None:
        """Write or replace report.html."""
        self._check_lock()
        replace_text(self.path / "report.html", page)

    def drop_after(self, step: int) -> Path | None:
        """Remove rows and samples of steps after ``step``, which a resumed run makes again.

        Returns:
            The path of a copy of the old metrics.csv if it had invalid lines, otherwise None.
        """
        self._check_lock()
        path, copy = self.path / "metrics.csv", None
        content, lost = metrics_until(path, step)
        if lost:
            copy = _free_name(self.path, "metrics-as-found", ".csv")
            shutil.copyfile(path, copy)
        replace_text(path, content)
        for sample in (self.path / "samples").glob("step-*.txt"):
            number = step_in(sample.name)
            if number is not None and number > step:
                sample.unlink()
        return copy


def is_run(path: Path) -> bool:
    """Whether ``path`` is a run directory."""
    return (path / "run.json").is_file() or (path / "checkpoints").is_dir()


def check_is_run(path: Path) -> None:
    """Refuse a path that is not a run directory.

    Raises:
        CheckpointError: it is not one.
    """
    if not is_run(path):
        raise CheckpointError(
            f"{path}: not a run directory: it holds no run.json; `grucli runs` lists runs"
        )


def find_checkpoint(path: Path, which: Which) -> Path:
    """The checkpoint file for ``path``, which is a run directory or a checkpoint file.

    Raises:
        CheckpointError: there is no run or checkpoint at this path.
    """
    try:
        directory, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    if directory:
        check_is_run(path)
        return RunDirectory(path).checkpoints.find(which)
    if not exists:
        raise CheckpointError(
            f"{path}: there is no such run or checkpoint; `grucli runs` lists runs"
        )
    return path


def open_checkpoint(path: Path) -> tuple[Path, Checkpoint]:
    """Read the best checkpoint of a run, or a checkpoint file; return its file and its content.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
    """
    for attempt in range(READS):
        try:
            file = find_checkpoint(path, "best")
            return file, checkpoints.read(file)
        except CheckpointError:
            # a process that trains the run may have replaced the file just now
            if attempt + 1 == READS or Lock(path / "lock").is_free():
                raise
    raise AssertionError


def run_of(checkpoint: Path) -> RunDirectory | None:
    """The run directory of a checkpoint file, or None; ``checkpoint`` may be the directory."""
    for path in (checkpoint, *checkpoint.resolve().parents[:2]):
        if (path / "run.json").is_file():
            return RunDirectory(path)
    return None


def inputs(path: Path) -> Iterator[Path]:
    """The files that are read for a run or a checkpoint: those of its run, and its text.

    Raises:
        CheckpointError: run.json is damaged.
    """
    yield path
    run = run_of(path)
    if run is not None:
        yield from (file for file in run.path.rglob("*") if _is_own(file.name))
        yield from map(Path, run.info.corpus.paths or [])


def own_corpus(checkpoint_file: Path, checkpoint: Checkpoint) -> Corpus:
    """Read the training text of a checkpoint again.

    Raises:
        CheckpointError: the run does not record the text, or the text was standard input.
        CorpusError: the text has changed.
    """
    run = run_of(checkpoint_file)
    if run is None:
        raise CheckpointError(
            f"{checkpoint_file}: is outside its run directory, which records the text; name a text"
        )
    if STANDARD_INPUT in run.sources:
        raise CheckpointError(f"{run.path}: was trained on standard input; name a text")
    data, unknown = checkpoint.settings.data, checkpoint.unknown
    with contextlib.suppress(UnknownCharacterError):
        corpus = read_corpus(run.sources, data, checkpoint.vocabulary, unknown)
        if checkpoints.same_text(corpus, checkpoint):
            return corpus
    raise CorpusError(f"{', '.join(run.sources)}: has changed since training; name a text")


def list_runs(root: Path) -> list[RunDirectory]:
    """All runs under ``root``, newest first.

    Raises:
        UsageError: there is no such directory.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: there is no such directory; `grucli train CORPUS` makes runs")
    found = [path for path in root.iterdir() if os.path.lexists(path / "run.json")]
    return [RunDirectory(path) for path in sorted(found, key=lambda p: p.name, reverse=True)]


def _make_new(root: Path, name: str) -> Path:
    number = 1
    while True:
        path = root / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
        number += 1


def _free_name(directory: Path, name: str, ending: str) -> Path:
    """A path in a directory that no file has yet."""
    paths = (directory / f"{name}-{number}{ending}" for number in itertools.count(1))
    return next(path for path in paths if not os.path.lexists(path))


def _file_name(name: str) -> str:
    name = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return name.encode()[:64].decode(errors="ignore") or "run"


def _is_own(name: str | None) -> bool:
    """Whether the program writes files with this name into a run directory."""
    return name is not None and (name in OWN_FILES or step_in(name) is not None)


def _overrides_yaml(overrides: Mapping[str, Any]) -> str:
    lines = [f"{key}: {to_scalar(value)}\n" for key, value in overrides.items()]
    return "".join(lines) or "{}\n"
