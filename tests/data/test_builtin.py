import sys
from pathlib import Path

import pytest

from grucli.data import builtin
from grucli.errors import CorpusError, UsageError


def test_a_corpus_is_written_once_and_nothing_is_overwritten() -> None:
    path = Path("made", "text.txt")
    chars = builtin.write("python-reference", path)
    assert chars == len(path.read_text(encoding="utf-8"))
    assert builtin.write("python-reference", path) is None
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="exists and holds another text"):
        builtin.write("python-reference", path)
    assert path.read_text(encoding="utf-8") == "mine"
    assert builtin.write("python-reference", path, force=True) == chars


def test_a_place_that_cannot_be_written_and_an_unknown_name() -> None:
    Path("file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        builtin.write("python-reference", Path("file", "text.txt"))
    with pytest.raises(CorpusError, match="there is no such corpus"):
        builtin.write("shakespeare", Path("made", "text.txt"))
    assert not Path("made").exists()


def test_the_language_reference() -> None:
    text = "".join(builtin.chunks("python-reference"))
    assert 300_000 < len(text) < 2_000_000
    assert 'The "assert" statement' in text


def test_the_standard_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pkg" / "test").mkdir(parents=True)
    (tmp_path / "b.py").write_bytes("# -*- coding: latin-1 -*-\n# é\n".encode("latin-1"))
    (tmp_path / "a.py").write_text("a = 1\n", encoding="utf-8")
    (tmp_path / "pkg" / "test" / "t.py").write_text("left out", encoding="utf-8")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path)})
    assert list(builtin.chunks("python-stdlib")) == ["a = 1\n", "# -*- coding: latin-1 -*-\n# é\n"]


def test_a_corpus_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there are python-reference and python-stdlib"):
        builtin.chunks("shakespeare")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(CorpusError, match="keeps no source files"):
        list(builtin.chunks("python-stdlib"))
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(CorpusError, match="without pydoc_data"):
        builtin.chunks("python-reference")
