import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from grucli.config import Data
from grucli.data.corpus import read
from grucli.errors import UsageError
from tests.data.helpers import problem, text_of


def test_files_follow_one_another_and_gz_is_read() -> None:
    Path("a.txt").write_text("first ", encoding="utf-8")
    Path("b.txt.gz").write_bytes(gzip.compress(b"second"))
    result = read(["a.txt", "b.txt.gz"], Data())
    assert text_of(result) == "first second"
    assert result.sources == ("a.txt", "b.txt.gz")


def test_standard_input() -> None:
    code = "import sys; from grucli.config import Data; from grucli.data.corpus import read; "
    code += "c = read(['-'], Data()); print(c.vocabulary.decode(c.ids))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"h\xc3\xa9llo", capture_output=True, check=True
    )
    assert done.stdout.strip() == b"b'h\\xc3\\xa9llo'"
    assert "named twice" in problem("-", "-")


def test_missing_directory_empty() -> None:
    Path("empty.txt").touch()
    Path("dir").mkdir()
    assert "nothing.txt: there is no such file" in problem("nothing.txt")
    assert "dir: there is no text in this directory" in problem("dir")
    assert "empty.txt: the file is empty" in problem("empty.txt")
    Path("blank.txt").write_text(" \n \n")
    assert "blank.txt: the file holds no text" in problem("blank.txt", documents="file")
    with pytest.raises(UsageError, match="'': the name is empty"):
        read([""], Data())


def test_a_directory_stands_for_the_files_below_it_in_the_order_of_their_paths() -> None:
    Path("dir/b").mkdir(parents=True)
    Path("dir/.git").mkdir()
    Path("dir/z.txt").write_text("last", encoding="utf-8")
    Path("dir/b/2.txt.gz").write_bytes(gzip.compress(b"second "))
    Path("dir/b/1.txt").write_text("first ", encoding="utf-8")
    for ignored in ("dir/empty.txt", "dir/.hidden", "dir/.git/config"):
        Path(ignored).write_text("" if "empty" in ignored else "hidden", encoding="utf-8")
    result = read(["dir"], Data())
    assert text_of(result) == "first second last"
    assert (result.sources, result.files) == (("dir",), 3)
    Path("dir/b/3.bin").write_bytes(b"\xff\x00")
    assert text_of(read(["dir"], Data())) == "first second last"
    Path("dir/b/4.txt").write_bytes(b"caf\xe9")
    assert f"{Path('dir/b/4.txt')}: byte 0xe9" in problem("dir")


def test_linked_directories_are_followed_once_and_runs_are_left_out() -> None:
    Path("dir/runs/1/checkpoints").mkdir(parents=True)
    Path("elsewhere").mkdir()
    Path("elsewhere/b.txt").write_text("linked", encoding="utf-8")
    Path("dir/a.txt").write_text("own ", encoding="utf-8")
    Path("dir/runs/1/run.json").write_text("{}", encoding="utf-8")
    Path("dir/runs/1/checkpoints/step-1.npz").write_bytes(b"\xff")
    try:
        Path("dir/link").symlink_to(Path("elsewhere").resolve())
        Path("dir/loop").symlink_to(Path("dir").resolve())
    except OSError:
        pytest.skip("no links here")
    assert text_of(read(["dir"], Data())) == "own linked"


def test_an_empty_file_is_an_error_only_where_it_is_named() -> None:
    Path("dir").mkdir()
    Path("dir/a.txt").write_text("text", encoding="utf-8")
    Path("dir/bom.txt").write_bytes(b"\xef\xbb\xbf")
    Path("dir/empty.gz").write_bytes(gzip.compress(b""))
    assert text_of(read(["dir"], Data())) == "text"
    assert "bom.txt: the file holds no text" in problem("dir/bom.txt")
    Path("dir/a.txt").unlink()
    assert "dir: there is no text in these files" in problem("dir")


def test_a_broken_gz() -> None:
    Path("cut.gz").write_bytes(gzip.compress(b"hello" * 1000)[:-20])
    Path("plain.gz").write_bytes(b"hello")
    assert "cut.gz: not a complete gzip file" in problem("cut.gz")
    assert "plain.gz: not a complete gzip file" in problem("plain.gz")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no file can have this name"):
        read([name], Data())
