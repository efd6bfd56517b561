"""The library of oneDNN; these tests are skipped where it cannot be used."""

import ctypes.util
import os
from pathlib import Path

import pytest

from grucli.nn import onednn
from grucli.nn.backend import NUMPY, select, usable, why_not_used
from grucli.nn.onednn import Unavailable

try:
    usable()
except Unavailable as reason:
    pytest.skip(f"oneDNN: {reason}", allow_module_level=True)


@pytest.fixture
def _loads_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "load", onednn.load.__wrapped__)


@pytest.mark.usefixtures("_loads_anew")
def test_a_library_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    damaged = tmp_path / "libdnnl.so.3"
    damaged.write_bytes(b"\x7fELF damaged")
    other = ctypes.util.find_library("c")
    for path, words in ((str(damaged), "cannot be loaded"), (str(other), "cannot be loaded")):
        monkeypatch.setenv(onednn.VARIABLE, path)
        with pytest.raises(Unavailable, match=words):
            select("onednn", "auto")
        assert select("auto", "auto") == NUMPY
        assert path in str(why_not_used())


@pytest.mark.usefixtures("_loads_anew")
def test_another_major_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "MAJOR", 4)
    with pytest.raises(Unavailable, match=r"is oneDNN 3\..*; version 4 is needed"):
        onednn.load()


@pytest.mark.usefixtures("_loads_anew")
def test_without_the_library_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "candidates", list)
    assert select("auto", "auto") == NUMPY
    assert why_not_used() is None
    with pytest.raises(Unavailable, match="oneDNN is not installed"):
        select("onednn", "auto")


def test_the_path_in_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(onednn.VARIABLE, "here.so")
    assert onednn.candidates() == ["here.so"]
    monkeypatch.delenv(onednn.VARIABLE)
    assert "here.so" not in onednn.candidates()
    monkeypatch.setattr("sys.prefix", str(tmp_path / "env"))
    monkeypatch.setattr("site.getuserbase", lambda: str(tmp_path / "user"))
    paths = [tmp_path / base / "lib" / "libdnnl.so.3" for base in ("env", "user")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    assert onednn.candidates() == [*map(str, paths)]  # that of this environment first


@pytest.mark.usefixtures("_loads_anew")
@pytest.mark.parametrize("before", [None, "3"])
def test_loading_leaves_the_environment(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    onednn.load()
    assert os.environ.get("OMP_NUM_THREADS") == before
