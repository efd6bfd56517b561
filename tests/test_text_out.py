"""Text for terminals, and commands that messages suggest, given to a real shell."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grucli.run.run import Run
from grucli.text_out import CONTROLS, printable, quote

BASH = shutil.which("bash")
HARMLESS = (
    "tab\there, \u4f60\u597d\u3000\u05e9\u05dc\u05d5\u05dd, "
    "\U0001f469\u200d\U0001f680 \u2764\ufe0f \U0001f1f8\U0001f1ea\n"
)
"""Ideographs and their space, Hebrew, a joined emoji, a variation selector, a flag."""
PATHS = ["a b", "-d.txt", "it's", 'a"b$c`', "\u6587\u5b57", "a\x1b[31mb", "\u202edlrow", "a\nb\\"]


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize("path", PATHS, ids=ascii)
def test_a_quoted_path_is_one_word_and_never_an_option(path: str) -> None:
    assert BASH is not None
    words = subprocess.run(
        [BASH, "-c", f"printf '%s\\0' {quote(path)}"], capture_output=True, check=True
    ).stdout
    assert words.decode().removeprefix("./").split("\0") == [path, ""]
    assert not words.startswith(b"-")


def test_a_resumed_run_reads_its_files_again_but_not_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("-runs", "1")
    path.mkdir(parents=True)
    (path / "run.json").write_text("{}", encoding="utf-8")
    assert Run(path).resume_command(["a.txt"]) == "grucli train --resume ./-runs/1"
    assert Run(path).resume_command(["a b", "-"]) == "grucli train 'a b' - --resume ./-runs/1"


def test_every_control_character_has_a_symbol_and_nothing_else_changes() -> None:
    assert printable("\x1b[2J \x07 \x7f \x9b \u202e \r!") == "␛[2J ␇ ␡ \ufffd \ufffd ␍!"
    assert printable("one\r\ntwo\n") == "one\ntwo\n"
    assert printable(HARMLESS) == HARMLESS
    controls = {chr(code) for code in range(sys.maxunicode + 1) if CONTROLS.match(chr(code))}
    marks = {"\u200c", "\u200d", "\u00ad", "\ufe0f", "\u00a0", "\u3000", "\u06dd"}
    assert not controls & marks
    assert {"\x00", "\x85", "\u061c", "\u200f", "\u2029", "\u2069", "\ud800"} < controls
    assert len(controls) == 30 + 1 + 32 + 1 + 2 + 7 + 10 + 3 + 2 + 2048
