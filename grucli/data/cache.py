"""Long texts, encoded once and then read from a file as if they were in memory.

An entry is two files in the cache directory: NAME.ids, the ids and nothing else, and NAME.json,
which says what they are and is written last, so that an entry without it is not one. Names follow
from the content of the text and from how it was read, so that no entry is ever changed; any of
them may be deleted at any time.
"""

import contextlib
import errno
import hashlib
import json
import mmap
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.errors import CorpusError
from grucli.files import (
    open_file,
    read_json,
    replace_file,
    replace_text,
    sha256,
    temporary_for,
)
from grucli.nn.params import Ids

IN_MEMORY = 2**25
"""Bytes of ids up to which a text is kept in memory, and nothing is written."""

FORMAT = 1

ENTRY = re.compile(r"[0-9a-f]{40}-[0-9a-f]{16}\.(ids|json)")
"""The name of a file of the cache."""

ABANDONED = 3600
"""Seconds after which a temporary file that nobody has written to belongs to nobody."""


def directory() -> Path:
    """Where encoded texts are kept: $GRUCLI_CACHE, or the user's cache directory."""
    if chosen := os.environ.get("GRUCLI_CACHE"):
        return Path(chosen)
    try:
        home = Path.home()
    except RuntimeError:  # nobody's, as in some containers
        home = Path(tempfile.gettempdir())
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "grucli" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "grucli"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "grucli"


class Encoded(NamedTuple):
    """A text as ids, and what there is to say of it."""

    ids: Ids  # (N,)
    facts: dict[str, Any]
    file: Path | None = None  # which the ids are mapped from


class Spool(tempfile.SpooledTemporaryFile[bytes]):
    """A file without a name, in memory while it is small and then in the cache directory."""

    def __init__(self) -> None:
        super().__init__(max_size=IN_MEMORY, dir=str(directory()))

    def rollover(self) -> None:
        """Move to the disk."""
        directory().mkdir(parents=True, exist_ok=True)
        super().rollover()


def entry_name(content: str, how: object) -> str:
    """The name of an entry.

    Args:
        content: hash of the text's bytes.
        how: all that the ids depend on besides, as JSON takes it.
    """
    reading = hashlib.sha256(json.dumps([FORMAT, how]).encode()).hexdigest()
    return f"{content[:40]}-{reading[:16]}"


def find(name: str) -> Encoded | None:
    """The ids of an entry, mapped, and what was said of them; or None.

    An entry that is damaged is removed.
    """
    ids_file, facts_file = _files(name)
    _sweep(ids_file.parent)
    try:
        facts = read_json(facts_file)
        if facts.pop("check") == _check(facts) and sha256(ids_file) == facts["ids_sha256"]:
            return Encoded(_map(ids_file, np.dtype(facts["dtype"])), facts, ids_file)
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    with contextlib.suppress(OSError):
        facts_file.unlink()
    return None


def keep(name: str, pieces: Iterator[Ids], dtype: npt.DTypeLike, facts: dict[str, Any]) -> Encoded:
    """Make an entry of ids that come piece by piece; ``find`` then returns the same.

    Raises:
        CorpusError: it cannot be written; nothing of it is left then.
    """
    ids_file, facts_file = _files(name)
    content = hashlib.sha256()

    def write(file: Any) -> None:
        for piece in pieces:
            raw = piece.astype(dtype, copy=False).tobytes()
            content.update(raw)
            file.write(raw)

    try:
        ids_file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(ids_file, write)
        facts = {**facts, "dtype": np.dtype(dtype).str, "ids_sha256": content.hexdigest()}
        replace_text(facts_file, json.dumps({**facts, "check": _check(facts)}) + "\n")
        return Encoded(_map(ids_file, np.dtype(dtype)), facts, ids_file)
    except OSError as error:
        if (found := find(name)) is not None:  # made by another process in the meantime
            return found
        with contextlib.suppress(OSError):
            ids_file.unlink()  # without facts it is of no use to anybody
        raise cannot_keep(error) from None


def cannot_keep(error: OSError) -> CorpusError:
    """What to say when there is no place for an encoded text."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return CorpusError(
        f"{directory()}: the encoded text cannot be kept here: "
        f"{error.strerror or error}; {'free some space, or ' if full else ''}name another "
        "directory in the environment variable GRUCLI_CACHE"
    )


def release_pages(ids: Ids) -> None:
    """Tell the system that mapped ids will not be read for a while; their memory is free then.

    What is in memory anyhow stays.
    """
    base: object = ids
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def _check(facts: dict[str, Any]) -> str:
    """A hash of what is said of an entry."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _map(path: Path, dtype: np.dtype[Any]) -> Ids:
    with open_file(path) as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    ids: Ids = np.frombuffer(mapped, dtype)
    return ids


def _files(name: str) -> tuple[Path, Path]:
    return directory() / f"{name}.ids", directory() / f"{name}.json"


def _sweep(folder: Path) -> None:
    """Remove what processes have left that died while writing."""
    for path in folder.glob(".*.tmp-*"):
        if ENTRY.fullmatch(temporary_for(path.name) or "") is None:
            continue  # somebody else's
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()
