"""Commands that messages suggest, given to a real shell."""

import shutil
import subprocess
from pathlib import Path

import pytest

from grucli.text_out import quote, resume_command

BASH = shutil.which("bash")
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


def test_a_resumed_run_reads_its_files_again_but_not_standard_input() -> None:
    run = Path("-runs", "1")
    assert resume_command(run, ["a.txt"]) == "grucli train --resume ./-runs/1"
    assert resume_command(run, ["a b", "-"]) == "grucli train 'a b' - --resume ./-runs/1"
