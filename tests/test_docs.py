"""Documents say what the program does."""

import re
import runpy
from pathlib import Path

from grucli import __version__
from grucli.config import Settings, flatten
from grucli.runs import HEADER

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_commands_page_is_current() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_cli.py"))["document"]()
    assert made == page("docs/cli.md"), "run: python docs/make_cli.py"


def test_the_changelog_has_this_version() -> None:
    newest = re.search(r"^## (\S+)", page("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__


def test_every_column_and_file_of_a_run_is_described(trained: Path) -> None:
    text = page("docs/run-directory.md")
    for column in HEADER:
        assert f"| `{column}` |" in text
    for path in trained.rglob("*"):
        if path.is_file():
            assert re.sub(r"\d{8}", "00001000", path.name) in text


def test_settings_named_in_documents_exist() -> None:
    known = flatten(Settings())
    sections = "|".join(Settings.model_fields)
    for name in ("README.md", "docs/run-directory.md"):
        for key in re.findall(rf"\b(?:{sections})\.[a-z_]+\b", page(name)):
            assert key in known or key.endswith(".py"), f"{name}: {key}"


def test_the_readme_runs_what_ci_runs() -> None:
    ci = page(".ci/run")
    marks = re.findall(r"^<!-- ci: (\w+) -->\n```sh$", page("README.md"), re.MULTILINE)
    assert marks == ["main", "test"]
    assert all(f"$(command_of {mark})" in ci for mark in marks)


def test_the_figures_of_the_derivation_are_current() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_derivation.py"))["document"]()
    assert made == page("docs/derivation.md"), "run: python docs/make_derivation.py"
