"""Files that commands write where the user says: none is overwritten unasked."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.cli.helpers import MINE, SMALL, posix, start, without_reader
from tests.conftest import Grucli, snapshot


def test_plots_are_drawn(grucli: Grucli, text_file: Path) -> None:
    for command in ("routes", "gradflow"):
        options = ("--text", text_file, *SMALL, "--distance", 6)
        assert grucli(command, *options, "--plot", f"{command}.svg").code == 0
        drawn = Path(f"{command}.svg").read_bytes()
        assert b"<svg" in drawn
        assert grucli(command, *options, "--plot", f"{command}.svg", "--force").code == 0
        assert Path(f"{command}.svg").read_bytes() == drawn
        if Path("/dev/full").exists():
            Path("pipe.svg").unlink(missing_ok=True)
            Path("pipe.svg").symlink_to("/dev/full")
            full = grucli(command, *options, "--plot", "pipe.svg")
            assert full.code == 1
            assert "pipe.svg: cannot write the plot" in full.err


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
def test_a_verdict_is_the_same_for_a_reader_who_leaves(trained: Path) -> None:
    wrong = without_reader("gradcheck", "--break", "route-2-update")
    _, said = wrong.communicate()
    assert (wrong.returncode, said) == (1, b"")
    for asked in (["runs", trained.parent], ["routes", trained, "--distance=2", "--positions=2"]):
        right = without_reader(*asked)
        right.communicate()
        assert right.returncode == 0


@posix
@pytest.mark.parametrize("command", ["report", "page"])
@pytest.mark.parametrize("there", ["link", "pipe"])
def test_a_page_of_a_run_is_never_written_through_a_link(
    grucli: Grucli, run: Path, mine: Path, command: str, there: str
) -> None:
    page = run / f"{command}.html"
    page.unlink(missing_ok=True)
    if there == "link":
        page.symlink_to(mine / "step-00000999.txt")
    else:
        os.mkfifo(page)
    before = snapshot(mine)
    process = start(command, run)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert snapshot(mine) == before
    assert page.is_file()
    assert not page.is_symlink()
    page.rename("chosen.html")
    Path("link.html").symlink_to("chosen.html")  # the user names this one
    assert grucli(command, run, "-o", "link.html", "--force").code == 0
    assert Path("link.html").is_symlink()
