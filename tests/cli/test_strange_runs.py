"""Runs and studies of a stranger: their links lead nowhere, and nothing is waited for."""

import os
import shutil
from pathlib import Path

import pytest

from grucli.run.run import Run
from grucli.run.writer import NO_LINKS, RunWriter
from tests.cli.test_commands import start
from tests.conftest import TINY, Grucli, snapshot
from tests.sweeps.helpers import train, write_file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")

MINE = "what the user has written"
LINK = "a link stands where the program has a file or directory of its own; remove it"


@pytest.fixture
def mine() -> Path:
    """A file of the user, outside of the run."""
    Path("mine").mkdir()
    Path("mine/step-00000999.txt").write_text(MINE, encoding="utf-8")
    Path("mine/step-00000999.npz").write_text(MINE, encoding="utf-8")
    return Path("mine").resolve()


@pytest.fixture
def run(trained: Path) -> Path:
    return Path(shutil.copytree(trained, "run"))


def replaced_by_link(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


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


@pytest.mark.parametrize("name", sorted(NO_LINKS - {"best.json", "last.json"}))
def test_a_run_with_links_is_not_resumed(grucli: Grucli, run: Path, mine: Path, name: str) -> None:
    is_directory = name in ("samples", "checkpoints")
    replaced_by_link(run / name, mine if is_directory else mine / "step-00000999.txt")
    before = snapshot(mine)
    result = grucli("train", "--resume", run, "--steps=40", "-q")
    assert result.code == 2
    assert f"{run / name}: cannot be used: {LINK}" in " ".join(result.err.split())
    assert snapshot(mine) == before
    assert (run / name).is_symlink()


def test_the_user_may_name_a_run_by_a_link(grucli: Grucli, run: Path, text_file: Path) -> None:
    Path("latest").symlink_to(run)
    done = grucli("train", text_file, "--resume", "latest", "--steps=32", "-q")
    assert done.code == 0, done.err
    assert grucli("report", "latest").code == 0


def test_training_ends_with_a_report_that_is_no_link(
    grucli: Grucli, run: Path, mine: Path, text_file: Path
) -> None:
    replaced_by_link(run / "report.html", mine / "step-00000999.txt")
    before = snapshot(mine)
    assert grucli("train", text_file, "--resume", run, "--steps=32").code == 0
    assert snapshot(mine) == before
    assert not (run / "report.html").is_symlink()


def test_a_report_shows_the_samples_and_nothing_else(
    run: Path, mine: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    samples = run / "samples"
    os.mkfifo(samples / "step-00000001.txt")
    (samples / "step-00000002.txt").symlink_to(mine / "step-00000999.txt")
    (samples / "step-00000003.txt").symlink_to("/dev/zero")
    (samples / "step-abc.txt").write_text(MINE, encoding="utf-8")
    (samples / "step-00000004.txt").mkdir()
    assert [step for step, _ in Run(run).samples()] == [10, 20, 30]
    process = start("report", run)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("<figcaption>") == 3
    assert MINE not in page


def test_a_directory_of_samples_that_is_a_link_has_none(run: Path, mine: Path) -> None:
    replaced_by_link(run / "samples", mine)
    assert Run(run).samples() == []


def test_a_passage_is_a_file(grucli: Grucli, trained: Path) -> None:
    os.mkfifo("pipe")
    for path in ("pipe", "/dev/zero"):
        process = start("page", trained, "-o", "page.html", "--passage", path)
        told = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 2
        assert f"{path}: a pipe, a device or a directory stands where a file should" in told


FILES = ("study.lock", "study.journal", "journal.lock", "folder")


@pytest.mark.parametrize("name", [*FILES, "claims", "claims/trial-0000", "trial-0000"])
def test_links_in_a_study_are_refused(
    grucli: Grucli, text_file: Path, mine: Path, name: str
) -> None:
    train(text_file, {"sweep.trials": 1})
    path = Path("runs/s", name)
    replaced_by_link(path, mine if path.is_dir() else mine / "step-00000999.txt")
    before = snapshot(mine)
    for asked in ([write_file({"sweep.trials": 2}), text_file], ["--show", "runs/s"]):
        result = grucli("sweep", *asked)
        assert result.code == 2
        assert f"{path}: {LINK}" in " ".join(result.err.split())
    assert snapshot(mine) == before


@pytest.mark.parametrize("name", FILES)
def test_pipes_in_a_study_are_refused(text_file: Path, name: str) -> None:
    train(text_file, {"sweep.trials": 1})
    path = Path("runs/s", name)
    path.unlink()
    os.mkfifo(path)
    for asked in ([write_file({"sweep.trials": 2}), text_file], ["--show", "runs/s"]):
        process = start("sweep", *asked)
        told = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 2, told
        assert f"{path}: a pipe, a device or a directory stands where" in " ".join(told.split())


def test_a_report_is_written_after_the_checkpoint(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    write = RunWriter.write_report

    def note(run: RunWriter, page: str) -> None:
        pointer = run.checkpoints.pointer("last")
        saved.append(pointer and pointer.step)
        write(run, page)

    monkeypatch.setattr(RunWriter, "write_report", note)
    grucli("train", text_file, "--steps=20", "-q", *TINY)
    assert saved[:2] == [10, 20]
