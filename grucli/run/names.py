"""The names of runs: a path, or in short the end of a name, or ``latest``."""

import os
import re
from datetime import datetime
from pathlib import Path

from grucli.errors import CheckpointError

RUNS, LATEST = Path("runs"), "latest"  # where runs with short names are, and the newest of them
TIME = re.compile(r"^\d{8}-\d{6}-")  # what the name of a run begins with
MOST_SHOWN = 8  # runs that a message lists


def is_run(path: Path) -> bool:
    return os.path.lexists(path / "run.json") or (path / "checkpoints").is_dir()


def started(run: Path) -> tuple[str, int]:
    """A key that sorts runs: the second in the name, or of the first file; then the time of it."""
    try:
        written = os.stat(run / "overrides.yaml").st_mtime_ns
    except OSError:
        written = 0
    time = TIME.match(run.name)
    return time[0] if time else f"{datetime.fromtimestamp(written / 1e9):%Y%m%d-%H%M%S-}", written


def named_run(path: Path) -> Path:
    """The path; a word that is no path names a run in ``RUNS``: its name, or the end of it."""
    word = str(path)
    if path.name != word or os.path.lexists(path) or not RUNS.is_dir():
        return path
    names = [run.name for run in sorted(filter(is_run, RUNS.iterdir()), key=started)]
    ending = [name for name in names if f"-{name}".endswith(f"-{word}")]
    found = [name for name in ending if TIME.sub("", name) == word] or ending
    if word == LATEST and not found:
        found = [name for name in names if os.path.lexists(RUNS / name / "run.json")][-1:]
    if len(found) > 1:
        shown = "\n".join(f"  {name}" for name in reversed(found[-MOST_SHOWN:]))
        more = f"\n  and {len(found) - MOST_SHOWN} older ones" * (len(found) > MOST_SHOWN)
        raise CheckpointError(
            f"{word}: {len(found)} runs in {RUNS} have names that end so. Type the whole name of "
            f"one, newest first:\n{shown}{more}"
        )
    return RUNS / found[0] if found else path
