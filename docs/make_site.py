"""Build the documents as a site: ``python docs/make_site.py``, then open site/html/index.html.

The site is docs/, a reference made from the docstrings of the library, and a page for each other
file of the repository that a document links to. It needs no network when it is read: formulas are
MathML, and fonts are those of the system. A broken link, a formula that is left, or anything that a
page would load from elsewhere ends the program with exit code 1. It needs
``pip install -e ".[docs]"``.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from make_derivation_page import PARTS, is_code, typeset
from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from markdown_it import MarkdownIt

import grucli

DOCS = Path(__file__).parent
ROOT = DOCS.parent
SITE = ROOT / "site"
PAGES, HTML = SITE / "pages", SITE / "html"
CODE = r"```.*?```|`[^`\n]*`"
LINK = re.compile(rf"{CODE}|\]\((?P<target>[^()\s#:]+)(?P<anchor>#[^()\s]*)?\)", re.DOTALL)
OWN = {DOCS / "derivation.html": DOCS / "derivation.md"}  # the site typesets this page itself

OBJECTS = {
    "Models": ["language_model.LanguageModel", "language_model.Adapted"],
    "Results": [
        "text_score.TextScore",
        "sampling.Samples",
        "sampling.Sample",
        "sampling.Piece",
        "sampling.Tally",
        "beams.Beam",
        "line_scores.LineScore",
        "line_scores.Distribution",
        "evaluation.Score",
    ],
    "Options": [
        "training.request.TrainOptions",
        "language_model.BeamOptions",
        "language_model.DrawOptions",
        "language_model.SampleOptions",
    ],
    "Runs and texts": ["run.run.Run", "data.corpus.Corpus", "data.vocabulary.Vocabulary"],
    "What functions return": [
        "pages.build.Page",
        "exchange.export.Export",
        "sweeps.summary.Summary",
    ],
}
"""Sections of the reference between functions and events: what they describe, below ``grucli``."""


# ---- what the generator reads


def place(path: Path) -> Path:
    """Return where a file of the repository stands among the pages."""
    if path.is_relative_to(DOCS):
        return PAGES / path.relative_to(DOCS)
    named = PAGES / "repository" / path.relative_to(ROOT).as_posix().lower()
    return named if path.suffix == ".md" else named.with_name(f"{named.name}.md")


def write_pages() -> None:
    """Write the pages: the documents, and all files of the repository that they link to."""
    shutil.rmtree(SITE, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.py", "__pycache__", "site", *(path.name for path in OWN))
    shutil.copytree(DOCS, PAGES, ignore=ignored)
    shutil.copytree(DOCS / "site", PAGES, dirs_exist_ok=True)
    (PAGES / "mkdocs.yml").unlink()
    settings = (DOCS / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    (SITE / "mkdocs.yml").write_text(with_all_documents(settings), encoding="utf-8")
    (PAGES / "reference.md").write_text(reference(), encoding="utf-8")
    waiting = [*DOCS.rglob("*.md"), ROOT / "README.md"]
    for path in waiting:  # grows
        links: list[Path] = []
        text = linked(path, content(path), links)
        waiting += [link for link in links if link not in waiting]
        place(path).parent.mkdir(parents=True, exist_ok=True)
        place(path).write_text(text, encoding="utf-8")


def with_all_documents(settings: str) -> str:
    """Return the settings, whose last part is the navigation, with the documents that it lacks."""
    names = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    missing = [name for name in names if f": {name}\n" not in settings]
    return settings + "".join(["  - More:\n"] * bool(missing) + [f"      - {x}\n" for x in missing])


def content(path: Path) -> str:
    """Return a document as it is, another file as Markdown with its code, a folder as its files."""
    if path.suffix == ".md":
        return for_the_generator(path.read_text(encoding="utf-8"))
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    name = path.relative_to(ROOT).as_posix()
    parts = [f"```{one.suffix[1:]}\n{one.read_text(encoding='utf-8')}```\n" for one in files]
    if path.is_dir():
        parts = [f"## {one.name}\n\n{part}" for one, part in zip(files, parts, strict=True)]
    return "\n".join([f"# {name}\n", *parts])


def for_the_generator(text: str) -> str:
    """Return Markdown without the three things that the generator reads in another way."""
    text = text.replace("<details>", '<details markdown="1">')
    text = re.sub(r"^(```\w+) .*$", r"\1", text, flags=re.MULTILINE)  # marks of tests
    return re.sub(r"(?<=`)[^`\n]*\\\|[^`\n]*(?=`)", lambda one: one[0].replace("\\|", "|"), text)


def linked(path: Path, text: str, links: list[Path]) -> str:
    """Return the text of a page with its links as they are in the site; add what needs a page."""

    def link(found: re.Match[str]) -> str:
        target = (path.parent / (found["target"] or "")).resolve()
        if found["target"] is None or not target.exists():
            return found[0]
        target = OWN.get(target, target)
        if not target.is_relative_to(DOCS):
            links.append(target)
        where = os.path.relpath(place(target), place(path).parent)
        return f"]({Path(where).as_posix()}{found['anchor'] or ''})"

    return LINK.sub(link, text) if path.suffix == ".md" else text


# ---- the reference


FIELD = re.compile(r"^(    \w+: .*?[^,\s])  # (?!noqa|type:)(.)(.*)$", re.MULTILINE)
"""A field of a class and the comment that says what it is."""


def write_sources() -> None:
    """Write the library with the comments of its fields as docstrings, which a reference shows."""
    for path in (ROOT / "grucli").rglob("*.py"):
        copy = SITE / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(FIELD.sub(described, path.read_text(encoding="utf-8")), encoding="utf-8")


def described(field: re.Match[str]) -> str:
    """Return a field with a docstring."""
    return f'{field[1]}\n    r"""{field[2].upper()}{field[3]}."""'


def reference() -> str:
    """Return the page that describes the library by its docstrings."""
    parts = [
        "# Reference of the library\n",
        "What each name means, with shapes, units and errors; "
        "[The library](library.md) shows them in use.\n",
        "## Functions\n",
        *(entry(f"{grucli.MODULES[name]}.{name}", f"grucli.{name}") for name in grucli.__all__),
    ]
    for title, names in OBJECTS.items():
        parts += [f"## {title}\n", *(entry(f"grucli.{name}") for name in names)]
    for title, module in (("Events", "training/events"), ("Errors", "errors")):
        source = (ROOT / "grucli" / f"{module}.py").read_text(encoding="utf-8")
        names = re.findall(r"^class (\w+)", source, re.MULTILINE)
        path = f"grucli.{module.replace('/', '.')}"
        parts += [f"## {title}\n", *(entry(f"{path}.{name}") for name in names)]
    return "\n".join(parts)


def entry(path: str, heading: str | None = None) -> str:
    """Return the lines that describe an object by its docstring."""
    return f"::: {path}\n    options:\n      heading: {heading or path}\n"


# ---- formulas


class Formulas(Extension):
    """An extension of Markdown: formulas become MathML, as in docs/derivation.html."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name is Markdown's
        """Read formulas after line ends are made equal, and before blocks of code are taken out."""
        md.preprocessors.register(_Formulas(md), "formulas", 28)


class _Formulas(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return PARTS.sub(self.typeset, "\n".join(lines)).split("\n")

    def typeset(self, found: re.Match[str]) -> str:
        if is_code(found):
            return found[0]
        return str(self.md.htmlStash.store(typeset(found)))


# ---- what the generator has made


class Page(HTMLParser):
    """A page of the site: its anchors, links, what it loads, and its words outside code."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.loaded, self.words = {""}, [], [], []
        self.code = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take down what a tag names."""
        named = {name: value or "" for name, value in attributes}
        self.anchors |= {named[name] for name in ("id", "name") if name in named}
        self.code += tag in CODE_TAGS
        where = named.get("href", named.get("src"))
        if where is not None:
            (self.links if tag == "a" else self.loaded).append(where)

    def handle_endtag(self, tag: str) -> None:
        """Leave a tag."""
        self.code -= tag in CODE_TAGS

    def handle_data(self, data: str) -> None:
        """Take down words outside of code."""
        if not self.code:
            self.words.append(data)


CODE_TAGS = {"code", "script", "style"}


def problems() -> Iterator[str]:
    """Yield what is wrong with the site that was made."""
    pages = {path: Page(path) for path in sorted(HTML.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(HTML)
        for where in page.loaded:
            if urlsplit(where).netloc:
                yield f"{name}: would load {where}"
        for where in page.links + page.loaded:
            parts = urlsplit(where)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{name}: there is no {where}"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name}: there is no place {where}"
        yield from (f"{name}: {what}" for what in lost(path))
        for left in re.findall(r"\$[^$]*|FORMULA\d+", "".join(page.words)):
            yield f"{name}: a formula was left: {' '.join(left.split())[:60]}"
    for style in HTML.rglob("*.css"):
        for where in re.findall(
            r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\"']*", style.read_text()
        ):
            yield f"{style.relative_to(HTML)}: would load {where}"


def lost(page: Path) -> Iterator[str]:
    """Yield what a page has less or more of than its Markdown has, as other programs read it."""
    source = (PAGES / page.relative_to(HTML)).with_suffix(".md")
    if source.is_file() and source.name != "reference.md":
        text = PARTS.sub(
            lambda found: found[0] if is_code(found) else "", source.read_text(encoding="utf-8")
        )
        read = kinds(MarkdownIt("commonmark").enable("table").render(text))
        shown = kinds(page.read_text(encoding="utf-8").partition("<article")[2])
        for tag in read | shown:
            if read[tag] != shown[tag]:
                yield f"{shown[tag]} <{tag}>, but {read[tag]} in the Markdown of {source.name}"


def kinds(html: str) -> Counter[str]:
    """Return how often some tags occur in the content of a page."""
    return Counter(re.findall(r"<(h[1-6]|li|pre|table|img)[ >]", html.partition("</article>")[0]))


def main() -> int:
    """Build the site and say where it is; return the exit code."""
    write_pages()
    write_sources()
    command = ["-m", "zensical", "build", "--strict", "--clean", "-f", str(SITE / "mkdocs.yml")]
    environment = {**os.environ, "PYTHONPATH": str(DOCS), "NO_COLOR": "1"}  # it has the extension
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    made = subprocess.run([sys.executable, *command], env=environment, check=False, **pipe)
    if made.returncode or "griffe:" in made.stdout:  # the latter reads docstrings
        print(made.stdout)
        return 1
    found = list(problems())
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(found)} problems" if found else f"made {HTML / 'index.html'}")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
