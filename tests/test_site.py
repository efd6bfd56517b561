"""The documents as a site: what docs/make_site.py writes, and what it finds wrong."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("zensical", reason="zensical is not installed")
pytest.importorskip("latex2mathml", reason="latex2mathml is not installed")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The program, with a folder of its own for what it makes."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    made = importlib.import_module("make_site")
    for name, path in (("SITE", "."), ("PAGES", "pages"), ("HTML", "html")):
        monkeypatch.setattr(made, name, tmp_path / path)
    (tmp_path / "html").mkdir()
    return made


def found(site: ModuleType, body: str, markdown: str | None = None) -> list[str]:
    """The problems of a page, beside which there is a page with one anchor."""
    site.PAGES.mkdir(exist_ok=True)
    (site.HTML / "page.html").write_text(f"<article>{body}</article>")
    (site.HTML / "other.html").write_text("<h1 id=top>x</h1>")
    if markdown is not None:
        (site.PAGES / "page.md").write_text(markdown)
    return list(site.problems())


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<a href='other.html#top'>", None),
        ("<a href='https://python.org/'>", None),
        ("<a href='othr.html'>", "there is no othr.html"),
        ("<a href='other.html#tpo'>", "there is no place other.html#tpo"),
        ("<a href='#top'>", "there is no place #top"),
        ("<img src='picture.png'>", "there is no picture.png"),
        ("<script src='https://cdn.example/x.js'></script>", "would load https://cdn.example/x.js"),
        ("<link href='//fonts.example/a.css'>", "would load //fonts.example/a.css"),
        ("<code>$HOME</code>", None),
        ("half of $x", "a formula was left: $x"),
    ],
)
def test_a_page_is_checked(site: ModuleType, body: str, problem: str | None) -> None:
    assert found(site, body) == ([] if problem is None else [f"page.html: {problem}"])


def test_a_style_may_load_nothing(site: ModuleType) -> None:
    (site.HTML / "a.css").write_text("@import 'https://fonts.example/a.css';")
    assert found(site, "") == ["a.css: would load @import 'https://fonts.example/a.css"]


def test_a_list_that_the_site_would_show_as_a_paragraph_is_found(site: ModuleType) -> None:
    problems = found(site, "<p>a - b - c</p>", "a\n- b\n- c\n")
    assert problems == ["page.html: 0 <li>, but 2 in the Markdown of page.md"]


def test_a_file_that_a_document_links_to_gets_a_page(site: ModuleType) -> None:
    links: list[Path] = []
    text = "[a](../grucli/nn/cells/gru.py) [b](../README.md#start) `[c](../x)` [d](derivation.html)"
    made = site.linked(ROOT / "docs" / "lecture.md", text, links)
    assert made == (
        "[a](repository/grucli/nn/cells/gru.py.md) [b](repository/readme.md#start) "
        "`[c](../x)` [d](derivation.md)"
    )
    assert links == [ROOT / "grucli/nn/cells/gru.py", ROOT / "README.md"]
    assert site.content(links[0]).startswith("# grucli/nn/cells/gru.py\n\n```py\n")


def test_a_document_without_a_place_comes_last(site: ModuleType) -> None:
    settings = (ROOT / "docs" / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    less = settings.replace("      - Guide: guide.md\n", "")
    assert less != settings
    assert site.with_all_documents(less).endswith("  - More:\n      - guide.md\n")


def test_the_reference_has_every_public_name_event_and_error(site: ModuleType) -> None:
    import grucli
    from grucli import errors
    from grucli.training import events

    text = site.reference()
    assert [name for name in grucli.__all__ if f"heading: grucli.{name}\n" not in text] == []
    for module, base in ((events, events.Event), (errors, errors.GrucliError)):
        of_base = [x for x in vars(module).values() if isinstance(x, type) and issubclass(x, base)]
        assert [x for x in of_base if f"{x.__module__}.{x.__name__}\n" not in text] == []


def test_a_comment_of_a_field_becomes_its_docstring(site: ModuleType) -> None:
    assert site.FIELD.sub(site.described, "    loss: float  # in nats") == (
        '    loss: float\n    r"""In nats."""'
    )
    argument = "    loss: float,  # in nats"
    assert site.FIELD.sub(site.described, argument) == argument


def test_every_copied_module_is_a_program(site: ModuleType) -> None:
    site.write_sources()
    for path in site.SITE.rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), path.name, "exec")


def test_formulas_become_mathml_and_code_stays(site: ModuleType) -> None:
    text = "$a_i$ and `$b` and\n\n$$\nc\n$$\n\n```sh\necho $d $e\n```\n"
    command = [sys.executable, "-m", "markdown", "-x", "make_site:Formulas", "-x", "fenced_code"]
    made = subprocess.run(
        command, input=text, cwd=ROOT / "docs", capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"<(?:msub|div class=.block.)>", made) == ["<msub>", '<div class="block">']
    assert "<code>$b</code>" in made
    assert "echo $d $e" in made
