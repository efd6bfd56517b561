"""``grucli page``."""

import os
from pathlib import Path

import pytest

from grucli.cli.page import _say_copied
from tests.cli.helpers import posix, start
from tests.conftest import TINY, Grucli, snapshot


@pytest.fixture
def run(grucli: Grucli, text_file: Path) -> Path:
    done = grucli("train", text_file, "--steps", "10", *TINY, "-q")
    return Path(done.out.strip())


@posix
def test_a_passage_is_a_file(grucli: Grucli, trained: Path) -> None:
    os.mkfifo("pipe")
    for path in ("pipe", "/dev/zero"):
        process = start("page", trained, "-o", "page.html", "--passage", path)
        told = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 2
        assert f"{path}: a pipe, a device or a directory stands where a file should" in told


def test_a_page_is_written_into_the_run(grucli: Grucli, run: Path) -> None:
    done = grucli("page", run)
    assert done.code == 0
    path = Path(done.out.strip())
    assert path == run / "page.html"
    page = path.read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "A model that writes like" in page
    assert "MB, with weights in float32" in done.err
    assert grucli("page", run).code == 0  # again, over its own page


def test_it_goes_to_a_file_or_to_standard_output(grucli: Grucli, run: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.html"
    assert grucli("page", run, "-o", file).code == 0
    refused = grucli("page", run, "-o", file)
    assert refused.code == 2
    assert "--force" in refused.err
    assert grucli("page", run, "-o", file, "--force", "--weights", "float16").code == 0
    assert grucli("page", run, "-o", "-").out.startswith("<!DOCTYPE html>")


def test_a_passage_is_shown_first(
    grucli: Grucli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passage = tmp_path / "passage.txt"
    passage.write_text("the quick\n", "utf-8")
    done = grucli("page", run, "--passage", passage, "-o", "-")
    assert '"passage":"the quick\\n"' in done.out
    passage.write_text("the quick\n", "utf-8-sig")
    assert grucli("page", run, "--passage", passage, "-o", "-").out == done.out
    with monkeypatch.context() as patched, passage.open("rb") as file:
        patched.setattr("sys.stdin", file)
        assert grucli("page", run, "--passage", "-", "-o", "-").out == done.out
    passage.write_text("漢", "utf-8")
    refused = grucli("page", run, "--passage", passage, "-o", "-")
    assert refused.code == 2
    assert "U+6F22" in refused.err
    passage.write_bytes(b"\xff")
    assert "is not UTF-8" in grucli("page", run, "--passage", passage).err
    assert grucli("page", run, "--passage", tmp_path / "none").code == 2


def test_a_page_has_the_title_that_is_given(grucli: Grucli, run: Path) -> None:
    page = grucli("page", run, "-o", "-", "--title", 'Me & "<b>我</b>"').out
    assert "<title>Me &amp; &quot;&lt;b&gt;我&lt;/b&gt;&quot;</title>" in page
    assert r'"title":"Me \u0026 \"\u003cb\u003e\u6211\u003c/b\u003e\""' in page
    assert "A model that writes like text" in grucli("page", run, "-o", "-", "--title", "").out


def test_a_checkpoint_file_needs_a_name_for_the_page(grucli: Grucli, run: Path) -> None:
    file = max((run / "checkpoints").glob("*.npz"))
    refused = grucli("page", file)
    assert refused.code == 2
    assert "-o FILE" in refused.err
    assert grucli("page", file, "-o", "-").code == 0


def test_without_the_training_text_a_page_is_made_and_a_note_says_so(
    grucli: Grucli, run: Path, text_file: Path
) -> None:
    text_file.unlink()
    done = grucli("page", run)
    assert done.code == 0
    assert "not known whether the model recites it" in done.err


def test_a_page_or_a_report_never_overwrites_what_it_is_made_from(
    grucli: Grucli, run: Path, text_file: Path, tmp_path: Path
) -> None:
    passage = tmp_path / "passage.txt"
    passage.write_text("the quick\n", "utf-8")
    checkpoint = max((run / "checkpoints").glob("*.npz"))
    (tmp_path / "link.txt").symlink_to(text_file)
    read = [checkpoint, run / "run.json", run / "metrics.csv", text_file, tmp_path / "link.txt"]
    before = snapshot(tmp_path)
    for command in (
        ["page", run, "--passage", passage, "-o"],
        ["report", run, "-o"],
        ["activations", run, "--text", passage, "--surprisal", "--html"],
    ):
        for path in read if "report" in command else [*read, passage]:
            refused = grucli(*command, path, "--force")
            assert refused.code == 2, (command, path)
            assert f"{path}: the command reads this file" in refused.err
    assert grucli("page", checkpoint, "-o", checkpoint, "--force").code == 2
    assert snapshot(tmp_path) == before
    for command in ("page", "report"):
        path = run / f"{command}.html"
        assert grucli(command, run, "-o", path).code == (2 if command == "report" else 0)
        assert grucli(command, run, "-o", path, "--force").code == 0


@pytest.mark.parametrize(
    ("copied", "said"),
    [
        ("a quiet\n", "shares 8 characters in a row with the training text"),
        ("a quiet\n", "  'a quiet\\n'\n"),
        ("", "no passage of 8 or more characters of a sample occurs"),
        (None, "not known whether the model recites it"),
    ],
)
def test_what_a_sample_copies_is_told(
    copied: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _say_copied(copied)
    assert said in capsys.readouterr().err
