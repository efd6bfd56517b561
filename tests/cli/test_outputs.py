"""Files that commands write where the user says: none is overwritten unasked."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.cli.test_commands import start
from tests.cli.test_trouble import wait_for
from tests.conftest import TINY, Grucli

posix = pytest.mark.skipif(os.name == "nt", reason="needs pipes and links with names")
MINE = "what somebody has written"


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


def test_a_page_overwrites_nothing_unasked(grucli: Grucli, trained: Path) -> None:
    Path("page.html").write_text(MINE, encoding="utf-8")
    asked = ("activations", trained, "--unit=1", "--html=page.html")
    refused = grucli(*asked)
    assert (refused.code, refused.out) == (2, "")
    assert "--html page.html: this file exists" in refused.err
    assert Path("page.html").read_text(encoding="utf-8") == MINE
    assert grucli(*asked, "--force").code == 0
    assert "<pre>" in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["gradflow", "routes"])
def test_a_plot_overwrites_nothing_unasked(grucli: Grucli, command: str) -> None:
    Path("plot.svg").write_text(MINE, encoding="utf-8")
    refused = grucli(command, "--plot", "plot.svg")
    assert (refused.code, refused.out) == (2, "")
    assert "--plot plot.svg: this file exists; name another file, or overwrite it" in refused.err
    assert Path("plot.svg").read_text(encoding="utf-8") == MINE


@posix
def test_streams_and_pipes_are_written_without_asking(grucli: Grucli, trained: Path) -> None:
    Path("stdout").symlink_to("/dev/fd/1")  # as /dev/stdout, which a mistake would replace
    page = ("activations", trained, "--unit=1", "--html", "stdout")
    assert b"<pre>" in start(*page).communicate()[0]
    Path("log.html").write_text(MINE, encoding="utf-8")
    with Path("log.html").open("ab") as file:
        assert start(*page, stdout=file, stderr=subprocess.DEVNULL).wait() == 0
    logged = Path("log.html").read_text(encoding="utf-8")
    assert logged.startswith(MINE)
    assert "<pre>" in logged
    text = start("corpus", "python-reference", "-o", "stdout").communicate()[0]
    assert len(text) > 300_000
    assert not text.endswith(b"stdout\n")
    os.mkfifo("pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_bytes()))
    reader.start()
    assert grucli(*page[:-1], "pipe").code == 0
    reader.join(timeout=30)
    assert b"<pre>" in read[0]


@posix
def test_a_link_that_leads_to_itself(grucli: Grucli) -> None:
    Path("loop.txt").symlink_to("loop.txt")
    assert "Traceback" not in grucli("corpus", "python-reference", "-o", "loop.txt").err


# ---- a reader who leaves


def without_reader(*args: object) -> subprocess.Popen[bytes]:
    """A command whose standard output nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return start(*args, stdout=writer)
    finally:
        os.close(writer)


@posix
def test_a_verdict_is_the_same_for_a_reader_who_leaves(trained: Path) -> None:
    wrong = without_reader("gradcheck", "--break", "route-2-update")
    _, said = wrong.communicate()
    assert (wrong.returncode, said) == (1, b"")
    for asked in (["runs", trained.parent], ["routes", trained, "--distance=2", "--positions=2"]):
        right = without_reader(*asked)
        right.communicate()
        assert right.returncode == 0


@posix
def test_a_stopped_run_says_so_to_a_reader_who_has_left(text_file: Path) -> None:
    run = without_reader("train", text_file, "--steps=100000", *TINY)
    wait_for(run, "best")
    run.send_signal(signal.SIGTERM)
    said = run.communicate()[1].decode()
    assert run.returncode == 143
    assert "--resume" in said


@posix
def test_samples_end_where_the_reader_leaves(trained: Path) -> None:
    endless = without_reader("sample", trained, "--length=1000000000", "--seed=1")
    endless.communicate(timeout=300)
    assert endless.returncode == 0
