"""The cache of encoded texts: a long text is encoded once, and then mapped from a file.

NAME.ids holds the ids and nothing else. NAME.json describes them and is written last. NAME depends
on the text and on how it was read, so that entries never change. They may be deleted at any time.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from grucli.data.vocabulary import smallest_unsigned
from grucli.errors import CorpusError, RunError
from grucli.files import open_file, read_json, replace_file, replace_text, temporary_for
from grucli.nn.params import Ids

IN_MEMORY = 2**25  # maximum bytes of ids that stay in memory; longer texts go to the cache
FORMAT = 2
ENTRY = re.compile(r"[0-9a-f]{40}-[0-9a-f]{16}\.(ids|json)")  # names of files in the cache
ABANDONED = 3600  # seconds without a write after which the process of a temporary file has ended


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
        directory().mkdir(parents=True, exist_ok=True)
        super().rollover()


def entry_name(content: str, how: object) -> str:
    """The name of an entry, of the hash of a text and all else that its ids depend on."""
    reading = hashlib.sha256(json.dumps([FORMAT, how]).encode()).hexdigest()
    return f"{content[:40]}-{reading[:16]}"


def find(name: str) -> Encoded | None:
    """An entry, mapped, or None. A damaged entry is removed; forgery is not found."""
    ids_file, facts_file = _files(name)
    _sweep(ids_file.parent)
    try:
        facts = read_json(facts_file)
        dtype = smallest_unsigned(len(facts["symbols"]))
        with open_file(ids_file) as file:
            content, largest = _hash_and_largest(file, dtype)
            sound = facts.pop("check") == _check(facts) and content == facts["ids_sha256"]
            if sound and largest < len(facts["symbols"]):
                return Encoded(_map(file, dtype), facts, ids_file)
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    with contextlib.suppress(OSError):
        facts_file.unlink()
    return None


def store(name: str, chunks: Callable[[], Iterator[Ids]], facts: dict[str, Any]) -> Encoded:
    """Write an entry, unless there is an equal one; of one that fails, nothing stays."""
    if (equal := _equal_entry(name, chunks())) is not None:
        return equal
    ids_file, facts_file = _files(name)
    content = hashlib.sha256()

    def write(file: Any) -> None:
        for chunk in chunks():
            raw = chunk.tobytes()
            content.update(raw)
            file.write(raw)

    try:
        ids_file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(ids_file, write)
        dtype = smallest_unsigned(len(facts["symbols"]))
        facts = {**facts, "dtype": dtype.str, "ids_sha256": content.hexdigest()}
        replace_text(facts_file, json.dumps({**facts, "check": _check(facts)}) + "\n")
        with open_file(ids_file) as file:
            return Encoded(_map(file, dtype), facts, ids_file)
    except OSError as error:
        if (equal := _equal_entry(name, chunks())) is not None:  # another process has written it
            return equal
        with contextlib.suppress(OSError):
            ids_file.unlink()  # ids without facts are useless
        raise cannot_store(error) from None


def cannot_store(error: OSError) -> CorpusError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return CorpusError(
        f"{directory()}: the encoded text cannot be kept here: "
        f"{error.strerror or error}; {'free some space, or ' if full else ''}name another "
        "directory in the environment variable GRUCLI_CACHE"
    )


def release_pages(ids: Ids) -> None:
    """Let the system free the memory of mapped ids, which will not be read for a while."""
    mapped = _mapping(ids)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def check_file(ids: Ids) -> None:
    """Check that the file of mapped ids still has its length; call this before reading them."""
    mapped = _mapping(ids)
    if mapped is not None and mapped.size() < len(mapped):
        raise RunError(
            f"{directory()}: the file with the encoded text was cut while it was in use; start "
            "again (--resume continues a run from its last checkpoint): the text is encoded anew"
        )


def _mapping(ids: Ids) -> mmap.mmap | None:
    """The mapped file that ids are in; None if they are in memory."""
    base: object = ids
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, mmap.mmap) else None


def _equal_entry(name: str, chunks: Iterator[Ids]) -> Encoded | None:
    """The entry of a name if it holds these ids."""
    if (entry := find(name)) is None:
        return None
    content = hashlib.sha256()
    for chunk in chunks:
        content.update(chunk.tobytes())
    return entry if content.hexdigest() == entry.facts["ids_sha256"] else None


def _hash_and_largest(file: BinaryIO, dtype: np.dtype[Any]) -> tuple[str, int]:
    content, largest = hashlib.sha256(), 0
    while chunk := file.read(2**20):
        content.update(chunk)
        largest = max(largest, int(np.frombuffer(chunk, dtype).max()))
    return content.hexdigest(), largest


def _check(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _map(file: BinaryIO, dtype: np.dtype[Any]) -> Ids:
    ids: Ids = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype)
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
