"""The code of docs/library.md runs, and a strictly typed program that uses the whole library."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


PAGE = ROOT / "docs" / "library.md"


def snippets(page: Path = PAGE) -> str:
    """All the code of a page, its lines where they stand, so that errors name them."""
    inside, kept = False, []
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```python"
        kept.append(line if inside and not line.startswith("```") else "")
    return "\n".join(kept)


def test_the_snippets_run(
    trained: Path, text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = compile(snippets(), "docs/library.md", "exec")
    names = {"run_directory": trained, "text_file": str(text_file), "__name__": "__main__"}
    exec(code, names)
    assert "lm" in names
    assert "bits per character" in capsys.readouterr().out


def test_the_page_has_every_public_name() -> None:
    import grucli

    for name in grucli.__all__:
        assert re.search(rf"grucli\.{name}\(", (ROOT / "docs" / "library.md").read_text("utf-8"))


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")
def test_a_program_that_uses_the_library_is_strictly_typed(tmp_path: Path) -> None:
    program = ROOT / "tests" / "library_program.py"
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", "cache",
         "--follow-imports=silent", program],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "MYPYPATH": str(ROOT)},
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_program_runs(trained: Path, text_file: Path) -> None:
    words = [sys.executable, ROOT / "tests" / "library_program.py", trained, text_file]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
