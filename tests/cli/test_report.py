"""``grucli report``."""

import os
from pathlib import Path

import pytest

from grucli.errors import UsageError
from grucli.run.report import report
from grucli.run.run import Run
from tests.cli.helpers import MINE, posix, replaced_by_link, start
from tests.conftest import Grucli


@posix
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


@posix
def test_a_directory_of_samples_that_is_a_link_has_none(run: Path, mine: Path) -> None:
    replaced_by_link(run / "samples", mine)
    assert Run(run).samples() == []


def test_no_run_and_no_such_run_are_errors(grucli: Grucli, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        report()
    assert grucli("report", tmp_path / "none").code == 2
    assert grucli("plot", tmp_path / "none").code == 2
