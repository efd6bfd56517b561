"""Compiled code, kept for the user, the processor and the versions, and checked before it is used.

A folder holds the files that Numba writes, and index.json, which is written last: the hash of each
file, and the cells that are complete. One process compiles at a time. A folder whose files differ
from their hashes is emptied, and compiled anew.
"""

import hashlib
import importlib
import json
import logging
import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from grucli.data.cache import directory
from grucli.files import Lock, read_json, replace_text, sha256
from grucli.nn.onednn import Unavailable

VARIABLE = "GRUCLI_COMPILED"  # the environment variable with another place for the folders
FIRST = "compiling the network's loops for this processor, which takes a few seconds"
INDEX, LOCK = "index.json", "lock"
POLL = 0.05  # seconds between attempts to take the lock
UNUSED = 60 * 86400  # seconds without a new function after which a folder is removed

log = logging.getLogger(__name__)
_ONE_AT_A_TIME = threading.Lock()


def expected(wanted: Literal["auto"] | bool, cell: str) -> bool:
    """As ``select``, but functions that are complete on the disk are loaded later (``prepare``)."""
    if wanted is not False and _is_installed():
        with suppress(ImportError, OSError):  # OSError: the library of LLVM cannot be loaded
            folder = _folder()
            if folder is not None and f"{cell} 0 float32" in _complete(folder):
                return True
    return select(wanted, cell)


def select(
    wanted: Literal["auto"] | bool, cell: str, layers: int = 0, dtype: str = "float32"
) -> bool:
    """Whether compiled functions are used; they are ready then."""
    if wanted is False:
        return False
    try:
        prepare(cell, layers, dtype)
    except Unavailable:
        if wanted is True:
            raise
        return False
    return True


def prepare(cell: str, layers: int = 0, dtype: str = "float32") -> None:
    """Load the compiled functions for a cell, or compile them: for sampling if there are layers."""
    with _ONE_AT_A_TIME:
        reason = _problem(cell, layers, dtype)
    if reason:
        raise Unavailable(reason)


@cache
def _problem(cell: str, layers: int, dtype: str) -> str:
    """Why functions are not ready; empty if they are."""
    if not _is_installed():
        return 'Numba is not installed (`pip install ".[fast]"`)'
    name = cell.replace("-", "_")
    if not all(find_spec(f"grucli.nn.{place}.{name}") for place in ("cells", "compiled")):
        return f"the cell {cell} has no compiled part"
    try:
        _prepare(cell, layers, dtype)
    except OSError as error:
        return f"compiled code cannot be loaded or kept: {error}"
    except Exception as error:  # Numba has many, and each is a reason not to use it
        if isinstance(error.__cause__, SystemExit | KeyboardInterrupt):  # while a class was created
            raise
        return f"Numba does not work here: {error}"
    return ""


def _is_installed() -> bool:
    return "numba" in sys.modules or find_spec("numba") is not None


def _prepare(cell: str, layers: int, dtype: str) -> None:
    if importlib.import_module("numba").config.DISABLE_JIT:
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    folder, name = _folder(), f"{cell} {layers} {dtype}"
    if folder is None:
        log.info(FIRST)
    if folder is None or name in _complete(folder):
        _load(folder, cell, layers, dtype)
        return
    lock = Lock(folder / LOCK)
    while not lock.acquire():
        time.sleep(POLL)
    try:
        complete = _complete(folder)  # another process may have compiled it by now
        if not complete:
            _empty(folder)
        if name not in complete:
            log.info(FIRST)
        _load(folder, cell, layers, dtype)
        _write_index(folder, complete | {name})
    finally:
        lock.release()


def _load(folder: Path | None, cell: str, layers: int, dtype: str) -> None:
    compiler: Any = importlib.import_module("grucli.nn.compiled.compiler")
    compiler.folder = folder and str(folder)
    if layers:
        importlib.import_module("grucli.nn.compiled.sampler").warm_up(cell, layers)
        return
    importlib.import_module("grucli.nn.compiled.kernels").warm_up(cell, dtype)
    of_c = importlib.import_module("grucli.nn.compiled.c_functions")
    of_c.c_function(of_c.round_)


def why_not_used(cell: str) -> str | None:
    """Why an installed Numba is not used; None if it is, or is not installed."""
    return (_problem(cell, 0, "float32") or None) if _is_installed() else None


def compiler() -> str:
    """The compiler and its target, which determine how results are rounded."""
    binding: Any = importlib.import_module("llvmlite.binding")
    versions = f"Numba {version('numba')} and llvmlite {version('llvmlite')}"
    forced = sorted(f"{name}={one}" for name, one in os.environ.items() if name[:6] == "NUMBA_")
    facts = _hash(binding.get_host_cpu_features().flatten(), *forced)[:8]
    return f"compiled by {versions} for {binding.get_host_cpu_name()} ({facts})"


def _hash(*facts: str) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


# ---- the folder


def _sources() -> list[str]:
    """The files of which code is compiled, and when they were changed."""
    with suppress(OSError):  # they are being replaced
        files = sorted(Path(__file__).with_name("nn").rglob("*.py"))
        return [f"{path} {path.stat().st_mtime_ns}" for path in files]
    return []


SOURCES = _sources()  # of this process: it keeps no code once they are changed


def _folder() -> Path | None:
    """The folder of this user for these versions and this processor; None if there can be none."""
    if _sources() != SOURCES:
        return None
    key = _hash(compiler(), sys.version, np.__version__, *SOURCES)[:16]
    place = Path(os.environ.get(VARIABLE) or directory() / "compiled")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for folder in (place, place / key):
            folder.mkdir(0o700, exist_ok=True)
            if not (_is_private(folder) and os.access(folder, os.W_OK)):
                return None
    except OSError:
        return None
    return place / key


def _is_private(folder: Path) -> bool:
    """Whether only this user can write into a folder: who could, could run code as this user."""
    if sys.platform == "win32":
        return True
    facts = folder.stat()
    return facts.st_uid == os.getuid() and not facts.st_mode & 0o22


def _complete(folder: Path) -> set[str]:
    """The cells whose functions are all there; none if a file is not what it was."""
    try:
        index = read_json(folder / INDEX)
        return set(index["cells"]) if index["files"] == _hashes(folder) else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.nb[ci]"))
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def _write_index(folder: Path, cells: set[str]) -> None:
    index = {"files": _hashes(folder), "cells": sorted(cells)}
    replace_text(folder / INDEX, json.dumps(index, indent=1))


def _empty(folder: Path) -> None:
    """Remove all code from a folder, and the folders of versions that are no longer used."""
    for path in folder.rglob("*.nb[ci]"):
        path.unlink(missing_ok=True)
    for index in folder.parent.glob(f"{'[0-9a-f]' * 16}/{INDEX}"):
        with suppress(OSError):
            if index.parent != folder and time.time() - index.stat().st_mtime > UNUSED:
                shutil.rmtree(index.parent)
