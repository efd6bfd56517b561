"""Documents say what the program does."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from grucli import __version__
from grucli.config import Settings, flatten
from grucli.nn.cells import CELLS
from grucli.nn.model import shapes
from grucli.run.records import HEADER

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


def test_every_member_of_a_checkpoint_is_described(trained: Path) -> None:
    text = page("docs/run-directory.md")
    with np.load(max((trained / "checkpoints").glob("*.npz"))) as members:
        assert [name for name in members if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", CELLS)
def test_the_parameters_of_every_cell_are_described(name: str) -> None:
    text = page("docs/run-directory.md")
    parameters = shapes(7, 5, 1, name)
    assert [key for key in parameters if f"`{key}`" not in text] == []
    gates = [
        gate
        for key, shape in parameters.items()
        for gate, _ in CELLS[name].by_gate(key.partition(".")[2], np.zeros(shape))
    ]
    assert [gate for gate in gates if not re.search(rf"\b{gate}\b", text)] == []
    assert f"({len(CELLS[name].GATES)}, D, H)" in text


def test_settings_named_in_documents_exist() -> None:
    known = flatten(Settings())
    sections = "|".join(Settings.model_fields)
    for name in (
        "README.md",
        "docs/guide.md",
        "docs/run-directory.md",
        "docs/reliability.md",
        "docs/sweeps.md",
    ):
        for key in re.findall(rf"\b(?:{sections})\.[a-z_]+\b", page(name)):
            assert key in known or key.endswith((".py", ".txt")), f"{name}: {key}"


PATHS = re.compile(r"(?:grucli|tests|docs|configs|benchmarks|data|runs)/[\w/.-]+\.(?:py|md|yaml)\b")
LINKS = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
NAMES = re.compile(r"`([\w-]+\.(?:py|md|yaml))`")
RUN_FILES = {"config.yaml", "overrides.yaml", "mine.yaml", "sweep.yaml", "best.yaml"}
RUN_FILES |= {"mgu.py", "mingru.py", "cell.py"}  # cells of one's own, and a run's copy
DOCUMENTS = ["README.md", "data/README.md", "runs/README.md", "CHANGELOG.md"]
DOCUMENTS += ["CONTRIBUTING.md", "SECURITY.md"]
DOCUMENTS += [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_named_in_documents_exist(document: str) -> None:
    text, folder = page(document), (ROOT / document).parent
    files = [path for place in PLACES for path in (ROOT / place).rglob("*")]
    names = {path.name for path in files} | RUN_FILES
    missing = [path for path in PATHS.findall(text) if not (ROOT / path).exists()]
    missing += [link for link in LINKS.findall(text) if not (folder / link).exists()]
    missing += [name for name in NAMES.findall(text) if name not in names]
    assert missing == []


def test_the_readme_runs_what_ci_runs() -> None:
    ci = page(".ci/run")
    marks = re.findall(r"^<!-- ci: (\w+) -->\n```sh$", page("README.md"), re.MULTILINE)
    assert marks == ["main", "test"]
    assert all(f"$(command_of {mark})" in ci for mark in marks)


def test_the_figures_of_the_derivation_are_current() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_derivation.py"))["document"]()
    assert made == page("docs/derivation.md"), "run: python docs/make_derivation.py"


def test_the_typeset_derivation_is_current_and_complete() -> None:
    pytest.importorskip("latex2mathml", reason="latex2mathml is not installed")
    made = runpy.run_path(str(ROOT / "docs" / "make_derivation_page.py"))["document"]()
    assert made == page("docs/derivation.html"), "run: python docs/make_derivation_page.py"
    outside_code = re.sub(r"<(code|style)[ >].*?</\1>", "", made, flags=re.DOTALL)
    assert not re.search(
        r"\$|\\[a-z]|FORMULA|&amp;|<(script|img|link)|https?:(?!//www.w3.org)", outside_code
    )
    assert made.count("<mtr>") == page("docs/derivation.md").count("&&")


INSTALL = re.compile(
    r"\b(?:pip3?|pipx|uvx?|conda) (?:(?:tool|pip) )?(?:install|run|add) "
    r"(?:-\S+ )*[\"'`]*([^\s\"'`;)]+)"
)
"""Commands that install something, and the first thing that they name."""

PLACES = ("grucli", "docs", "benchmarks", "configs", "tests", "data", "runs", ".ci")


def texts() -> Iterator[tuple[str, str]]:
    """All that a person may read: source with its messages, documents, settings, the gate."""
    files = [*ROOT.iterdir(), *(path for place in PLACES for path in (ROOT / place).rglob("*"))]
    for path in files:
        if path.suffix in {".py", ".md", ".toml", ".yaml", ""} and path.is_file():
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8", errors="replace")


def test_nobody_is_told_to_install_a_strangers_package() -> None:
    """The registry's package of the command's name is another program."""
    told = {(name, what) for name, text in texts() for what in INSTALL.findall(text)}
    assert ("README.md", ".[fast]") in told
    assert ("grucli/cli/render.py", "resvg-py") in told
    assert {what for _, what in told} == {
        ".",
        "wandb",
        ".[fast]",
        ".[fast,test]",
        ".[bench]",
        ".[browser]",
        ".[docs]",
        ".[mpi]",
        ".[notebook]",
        "mpich",
        "resvg-py",
        ".[sweep]",
        ".[keras]",
        ".[onnx]",
        ".[tensorboard]",
        ".[test,onnx,torch,tensorboard,keras]",
        ".[torch]",
        ".[{extra}]",
        "psycopg[binary]",
    }
    extras = re.compile(r"\bgrucli\[|version\(.grucli.\)")
    assert [name for name, text in texts() if extras.search(text)] == []


def test_the_distribution_has_a_name_of_its_own() -> None:
    settings = page("pyproject.toml")
    assert re.findall(r'^name = "(.*)"$', settings, re.MULTILINE) == ["grucli-lm"]
    assert 'grucli = "grucli.__main__:main"' in settings
    assert "`grucli-lm`" in page("README.md")
