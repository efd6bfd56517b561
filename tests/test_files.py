import errno
import os
import socket
from pathlib import Path

import pytest

from grucli.errors import CheckpointError
from grucli.files import (
    Lock,
    LockError,
    NotAFileError,
    append_line,
    open_file,
    read_json,
    read_small,
    sha256,
)
from grucli.run import checkpoint as checkpoints
from grucli.run.records import read_info, read_pointer
from tests.conftest import refused_locks

posix = pytest.mark.skipif(os.name == "nt", reason="needs pipes and devices")


@pytest.fixture(params=["pipe", "device", "link", "directory", "socket"])
def no_file(request: pytest.FixtureRequest) -> Path:
    """Something that is not a file, and that blocks or never ends where it is read as one."""
    path = Path("there")
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        return Path("/dev/zero")
    elif request.param == "link":
        path.symlink_to("/dev/zero")
    elif request.param == "directory":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    return path


@posix
def test_only_regular_files_are_read_and_nothing_else_is_waited_for(no_file: Path) -> None:
    for read in (open_file, read_small, read_json, sha256):
        with pytest.raises(NotAFileError, match="stands where a file should"):
            read(no_file)
    for refuse in (checkpoints.read, read_info, read_pointer):
        with pytest.raises(CheckpointError, match="stands where a file should"):
            refuse(no_file)


@posix
def test_what_is_not_a_file_is_no_lock(no_file: Path) -> None:
    with pytest.raises(NotAFileError):
        Lock(no_file).acquire()
    assert Lock(no_file).is_free()
    assert Lock(no_file / "lock").is_free()
    assert Lock(no_file).holder() == "unknown"


@posix
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EIO])
def test_a_lock_that_the_system_refuses_is_neither_taken_nor_free(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refused_locks(monkeypatch, number):
        with pytest.raises(LockError, match=os.strerror(number)):
            Lock(Path("lock")).acquire()
        assert not Lock(Path("lock")).is_free()
    assert Lock(Path("lock")).is_free()
    assert Lock(Path("lock")).acquire()


def test_a_line_is_on_the_disk_before_what_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = list[int]()
    monkeypatch.setattr("os.fsync", lambda file: flushed.append(os.fstat(file).st_size))
    append_line(Path("lines"), "one\n")
    append_line(Path("lines"), "two\n")
    assert flushed == [4, 8]


@posix
def test_a_link_to_a_file_is_read() -> None:
    Path("file").write_bytes(b"abc")
    Path("link").symlink_to("file")
    assert read_small(Path("link")) == b"abc"


def test_small_files_have_a_limit_and_a_name_that_is_possible() -> None:
    Path("file").write_bytes(b"abcd")
    assert read_small(Path("file"), 4) == b"abcd"
    with pytest.raises(OSError, match="longer than 3 bytes"):
        read_small(Path("file"), 3)
    for name in ("a\0b", "\ud800"):
        with pytest.raises(OSError, match="no file can have this name"):
            read_small(Path(name))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ("[]", "not an object"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a":' * 40 + "1" + "}" * 40, "nested too deeply"),
        ('{"a": %s}' % ("9" * 5000), "it contains a number that is too long"),
    ],
)
def test_json_that_is_not_an_object_is_refused(text: str, problem: str) -> None:
    Path("a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=problem):
        read_json(Path("a.json"))
    Path("a.json").write_bytes(b"\xef\xbb\xbf{}")
    assert read_json(Path("a.json")) == {}
