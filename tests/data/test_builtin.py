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
