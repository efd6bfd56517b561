"""The cache of encoded texts: a long text is encoded once, and then mapped from a file.

An entry consists of two files in the cache directory. NAME.ids holds the ids and nothing else.
NAME.json describes them. It is written last, so that an entry without it is incomplete. NAME
depends on the content of the text and on how it was read, so that entries never change. Entries may
be deleted at any time.
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
"""Maximum bytes of ids that stay in memory; longer texts are written to the cache."""

FORMAT = 2

ENTRY = re.compile(r"[0-9a-f]{40}-[0-9a-f]{16}\.(ids|json)")
"""Names of files in the cache."""

ABANDONED = 3600
"""Seconds without a write after which a temporary file is removed: its process has ended."""


def directory() -> Path:
    """The cache directory: $GRUCLI_CACHE, or a directory in the user's cache directory."""
    if chosen := os.environ.get("GRUCLI_CACHE"):
        return Path(chosen)
    try:
        home = Path.home()
    except RuntimeError:  # the user has no home directory, as in some containers
        home = Path(tempfile.gettempdir())
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "grucli" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "grucli"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "grucli"


class Encoded(NamedTuple):
    """A text as ids, and facts about it."""

    ids: Ids  # (N,)
    facts: dict[str, Any]
    file: Path | None = None  # the file from which the ids are mapped


class TemporaryIds(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary file without a name, in memory while it is small, then in the cache directory."""

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
        how: everything else that the ids depend on, as values of JSON.
    """
    reading = hashlib.sha256(json.dumps([FORMAT, how]).encode()).hexdigest()
    return f"{content[:40]}-{reading[:16]}"


def find(name: str) -> Encoded | None:
    """The mapped ids of an entry and the facts about them, or None if there is no such entry.

    A damaged entry is removed.
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


def store(name: str, chunks: Iterator[Ids], dtype: npt.DTypeLike, facts: dict[str, Any]) -> Encoded:
    """Write an entry, chunk by chunk, and return what ``find`` returns from now on.

    Raises:
        CorpusError: it cannot be written; nothing of it stays on the disk.
    """
    ids_file, facts_file = _files(name)
    content = hashlib.sha256()

    def write(file: Any) -> None:
        for chunk in chunks:
            raw = chunk.astype(dtype, copy=False).tobytes()
            content.update(raw)
            file.write(raw)

    try:
        ids_file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(ids_file, write)
        facts = {**facts, "dtype": np.dtype(dtype).str, "ids_sha256": content.hexdigest()}
        replace_text(facts_file, json.dumps({**facts, "check": _check(facts)}) + "\n")
        return Encoded(_map(ids_file, np.dtype(dtype)), facts, ids_file)
    except OSError as error:
        if (found := find(name)) is not None:  # another process has written it in the meantime
            return found
        with contextlib.suppress(OSError):
            ids_file.unlink()  # ids without facts are useless
        raise cannot_store(error) from None


def cannot_store(error: OSError) -> CorpusError:
    """The error for an encoded text that cannot be written to the cache."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return CorpusError(
        f"{directory()}: the encoded text cannot be kept here: "
        f"{error.strerror or error}; {'free some space, or ' if full else ''}name another "
        "directory in the environment variable GRUCLI_CACHE"
    )


def release_pages(ids: Ids) -> None:
    """Tell the system that mapped ids will not be read for a while, so that it frees their memory.

    Ids that are not mapped from a file stay in memory.
    """
    base: object = ids
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def _check(facts: dict[str, Any]) -> str:
    """A hash of the facts about an entry."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _map(path: Path, dtype: np.dtype[Any]) -> Ids:
    with open_file(path) as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    ids: Ids = np.frombuffer(mapped, dtype)
    return ids


def _files(name: str) -> tuple[Path, Path]:
    return directory() / f"{name}.ids", directory() / f"{name}.json"


def _sweep(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while writing."""
    for path in folder.glob(".*.tmp-*"):
        if ENTRY.fullmatch(temporary_for(path.name) or "") is None:
            continue  # a file of another program
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()
