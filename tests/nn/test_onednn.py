"""The library of oneDNN; these tests are skipped where it cannot be used."""

import ctypes.util
import sys
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
    assert all(sys.prefix in path or "dnnl" in path for path in onednn.candidates())
    monkeypatch.setattr("sys.prefix", "nowhere")
    monkeypatch.setattr("site.getuserbase", lambda: str(tmp_path))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libdnnl.so.3").touch()
    assert onednn.candidates() == [str(tmp_path / "lib" / "libdnnl.so.3")]
