"""``grucli corpus``."""

from pathlib import Path

import pytest

from tests.cli.helpers import MINE, posix
from tests.conftest import Grucli


def test_corpus_writes_and_prints_its_path(grucli: Grucli) -> None:
    result = grucli("corpus", "python-reference")
    assert result.out.strip() == str(Path("data", "python-reference.txt"))
    assert Path("data", "python-reference.txt").stat().st_size > 300_000
    assert "grucli train data" in result.err
    assert grucli("corpus", "python-reference", "-o", "x/y.txt").out.strip() == str(Path("x/y.txt"))


@pytest.mark.parametrize("output", [None, "mine.txt", "link.txt"])
def test_a_corpus_overwrites_nothing_unasked(grucli: Grucli, output: str | None) -> None:
    asked = ["corpus", "python-reference", *(["-o", output] if output else [])]
    path = Path(output or "data/python-reference.txt")
    path.parent.mkdir(exist_ok=True)
    if output == "link.txt":
        path.symlink_to("target.txt")
    path.write_text(MINE, encoding="utf-8")
    refused = grucli(*asked)
    assert refused.code == 2
    assert refused.out == ""
    assert f"{path}: this file exists and holds another text" in refused.err
    assert "--force" in refused.err
    assert path.read_text(encoding="utf-8") == MINE
    assert grucli(*asked, "--force").out == f"{path}\n"
    assert len(path.read_text(encoding="utf-8")) > 300_000
    assert path.is_symlink() == (output == "link.txt")


def test_a_corpus_that_is_there_already_stays(grucli: Grucli) -> None:
    path = Path(grucli("corpus", "python-reference").out.strip())
    before = path.stat()
    again = grucli("corpus", "python-reference")
    assert (again.code, again.out) == (0, f"{path}\n")
    assert f"{path} already holds this text" in again.err
    assert path.stat() == before
    for content in (path.read_bytes() + b"\n", path.read_bytes()[:-1]):
        path.write_bytes(content)
        assert grucli("corpus", "python-reference").code == 2
        assert path.read_bytes() == content


@posix
def test_a_link_that_leads_to_itself(grucli: Grucli) -> None:
    Path("loop.txt").symlink_to("loop.txt")
    assert grucli("corpus", "python-reference", "-o", "loop.txt").code == 0
    assert not Path("loop.txt").is_symlink()


def test_corpus_to_standard_output(grucli: Grucli) -> None:
    assert len(grucli("corpus", "python-reference", "-o", "-").out) > 300_000
    assert "cannot be written" in grucli("corpus", "python-reference", "-o", ".").err


@posix
def test_a_path_that_looks_like_an_option_is_printed_as_a_path(grucli: Grucli) -> None:
    result = grucli("corpus", "python-reference", "--output=-d.txt")
    assert result.out == "./-d.txt\n"
    assert "grucli train ./-d.txt" in result.err
