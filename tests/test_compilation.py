import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

from grucli import compilation
from grucli.nn.onednn import Unavailable

PREPARE = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s")
from grucli import compilation
from grucli.nn.onednn import Unavailable
compilation.prepare("rnn")
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compilation.VARIABLE, str(tmp_path / "compiled"))


def start() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE], stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def prepare() -> bool:
    """Whether a new process compiles."""
    with start() as process:
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 0, said
    return "compiling the network" in said


def files(tmp_path: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in tmp_path.rglob("*.nb[ci]")}


def test_code_is_compiled_once_and_damaged_code_anew(tmp_path: Path) -> None:
    assert prepare()
    before = files(tmp_path)
    assert before
    assert not prepare()
    assert files(tmp_path) == before
    path = Path(max(before))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert prepare()
    assert not prepare()


def test_a_folder_is_complete_only_with_the_files_of_its_index(tmp_path: Path) -> None:
    (tmp_path / "one.nbc").write_bytes(b"1")
    compilation._write_index(tmp_path, {"rnn float32"})
    assert compilation._complete(tmp_path) == {"rnn float32"}
    index = tmp_path / compilation.INDEX
    right = index.read_bytes()
    damaged = [b"", b"{}", b"\xff", right.replace(b"files", b"file"), right[:-1], right + b"x"]
    for content in [*damaged, b'{"files": 1, "cells": 2}', right.replace(b"one", b"two")]:
        index.write_bytes(content)
        assert compilation._complete(tmp_path) == set()
    index.write_bytes(right)
    (tmp_path / "more.nbi").write_bytes(b"")
    assert compilation._complete(tmp_path) == set()
    compilation._empty(tmp_path)
    assert not files(tmp_path)


def test_processes_that_start_together_compile_once() -> None:
    processes = [start() for _ in range(3)]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert sum("compiling the network" in words for words in said) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_code_that_others_could_have_written_is_not_loaded() -> None:
    folder = compilation._folder()
    assert folder is not None
    os.chmod(folder, 0o777)
    assert compilation._folder() is None


def test_only_its_own_old_folders_are_removed(tmp_path: Path) -> None:
    folder = compilation._folder()
    assert folder is not None
    old, foreign = folder.with_name("0123456789abcdef"), folder.with_name("mine")
    for path in (old, foreign):
        path.mkdir()
        (path / compilation.INDEX).write_bytes(b"{}")
        os.utime(path / compilation.INDEX, (0, 0))
    folder.with_name("lost").symlink_to(tmp_path / "nowhere")
    compilation._empty(folder)
    assert folder.exists()
    assert foreign.exists()
    assert not old.exists()


@pytest.mark.parametrize("cell", ["mgu", "loop", "sampler"])
def test_a_cell_without_a_compiled_part_is_not_compiled(cell: str) -> None:
    with pytest.raises(Unavailable, match=f"{cell} has no compiled part"):
        compilation.prepare(cell)


def test_code_of_other_sources_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compilation._folder() is not None
    changed = [*compilation.SOURCES[1:], "new.py 1"]
    monkeypatch.setattr(compilation, "_sources", lambda: changed)
    assert compilation._folder() is None


@pytest.mark.parametrize("name", ["NUMBA_OPT", "NUMBA_ENABLE_AVX", "NUMBA_CPU_NAME"])
def test_what_changes_code_has_a_folder_of_its_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, compiler = compilation._folder(), compilation.compiler()
    monkeypatch.setenv(name, "0")
    assert compilation._folder() not in (None, before)
    assert compilation.compiler() != compiler


@pytest.mark.parametrize(
    ("place", "problem", "said"),
    [
        ("_folder", OSError("no LLVM"), "compiled code cannot be loaded or kept: no LLVM"),
        ("_prepare", ValueError("odd"), "Numba does not work here: odd"),
    ],
)
def test_what_stops_the_compiler_stops_no_training(
    place: str, problem: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise problem

    monkeypatch.setattr(compilation, place, broken)
    monkeypatch.setattr(compilation, "_complete", lambda _: set())
    monkeypatch.setattr(compilation, "_problem", compilation._problem.__wrapped__)
    assert compilation.expected("auto", "gru") is False
    assert compilation.why_not_used("gru") == said
    with pytest.raises(Unavailable, match=said):
        compilation.select(True, "gru")


def test_a_place_that_cannot_be_written_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compilation.VARIABLE, "/dev/null/compiled")
    assert compilation._folder() is None
    assert prepare()  # it compiles in memory, each time
    assert prepare()
