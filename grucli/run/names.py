"""The names of runs: a path, or in short the end of a name, or ``latest``."""

import os
from pathlib import Path

from grucli.errors import CheckpointError

RUNS, LATEST = Path("runs"), "latest"  # where runs with short names are, and the newest of them


def is_run(path: Path) -> bool:
    return os.path.lexists(path / "run.json") or (path / "checkpoints").is_dir()


def started(run: Path) -> tuple[str, int]:
    """A key that sorts runs: the second in the name, then the time of the file written first."""
    try:
        written = os.stat(run / "overrides.yaml").st_mtime_ns
    except OSError:
        written = 0
    return run.name[: len("YYYYmmdd-HHMMSS")], written


def named_run(path: Path) -> Path:
    """The path; a word that is no path names a run in ``RUNS``: the end of its name."""
    word = str(path)
    if path.name != word or os.path.lexists(path) or not RUNS.is_dir():
        return path
    names = [run.name for run in sorted(filter(is_run, RUNS.iterdir()), key=started)]
    ending = [name for name in names if f"-{name}".endswith(f"-{word}")]
    if word == LATEST and not ending:
        ending = names[-1:]
    if len(ending) > 1:
        raise CheckpointError(
            f"{word}: the names of {len(ending)} runs in {RUNS} end so; the newest of them is "
            f"{ending[-1]}; give one of the names"
        )
    return RUNS / ending[0] if ending else path
