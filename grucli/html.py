"""HTML that loads nothing and shows any text as text: pages, and coloured text."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from grucli.arguments import PathLike, checked
from grucli.files import write_result
from grucli.text_out import printable

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font-family: sans-serif; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.6; color: #111;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
</style>
<h1>{title}</h1>
<p>{legend}</p>
<pre>{text}</pre>
</html>
"""

Colour = tuple[int, int, int]  # red, green and blue, 0 to 255


@dataclass(frozen=True)
class WebPage:
    """An HTML page that needs no other file."""

    html: str  # its content

    @checked
    def write(self, path: PathLike) -> None:
        """Write the page to a file, completely or not at all.

        Raises:
            RunError: the file cannot be written.
        """
        write_result(Path(path), "page", self.html)


def as_html(text: str) -> str:
    """A text for an element or an attribute; control characters become symbols."""
    return escape(printable(text))


@cache
def source(package: str, name: str) -> str:
    """A file of a package, such as a template, a style or a script."""
    return files(package).joinpath(name).read_text("utf-8")


def filled(template: str, style: str, script: str = "", **parts: str) -> str:
    """A page from its template: nothing is loaded, and only this style and this script count."""
    allowed = [f"style-src {_hash(style)}", f"script-src {_hash(script)}"]
    policy = "; ".join(["default-src 'none'", "base-uri 'none'", "form-action 'none'", *allowed])
    return Template(template).substitute(parts, style=style, script=script, policy=policy)


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"


# ---- coloured text


def strength(value: float, full: float) -> float:
    """The strength of the colour of a value, from 0 to 1."""
    return min(1.0, abs(value) / full) if full else 0.0


def colour_of(value: float, full: float) -> Colour:
    """The colour of a value: white for zero, red above, blue below."""
    faded = round(255 - 175 * strength(value, full))
    return (faded, faded, 255) if value < 0 else (255, faded, faded)


@dataclass(frozen=True)
class ColouredText:
    """Characters with one value each, which determines the colour of the background."""

    name: str  # the name of the model, for the title
    what: str  # the meaning of the values, such as "surprisal, bits"
    characters: Sequence[str]  # the text, character by character
    values: Sequence[float]  # one value for each character
    full: float  # the absolute value from which the colour has its full strength
    signed: bool  # whether values can be negative (blue); otherwise they are bits of surprise

    def coloured(self) -> Iterator[tuple[str, float, Colour]]:
        """Each character in printable form, with its value and its colour."""
        for character, value in zip(self.characters, self.values, strict=True):
            yield printable(character), value, colour_of(value, self.full)

    @property
    def legend(self) -> str:
        """An explanation of the colours."""
        if self.signed:
            return f"Red is above zero, blue is below; full colour at {self.full:.2f}."
        return (
            f"The redder a character, the less expected it was; full colour at {self.full:g} bits."
        )

    def to_dict(self) -> dict[str, object]:
        """The meaning of the values, and each character with its value, for JSON."""
        pairs = zip(self.characters, self.values, strict=True)
        return {"what": self.what, "values": [list(pair) for pair in pairs]}

    def to_html(self, levels: int | None = None) -> str:
        """The characters as HTML, each with its value as a tooltip."""
        spans = []
        for character, value, colour in self.coloured():
            look = 'style="background:#{:02x}{:02x}{:02x}"'.format(*colour)
            if levels is not None:
                look = f'class="level-{round(levels * strength(value, self.full))}"'
            title = f"{value:.3f}" if self.signed else f"{value:.2f} bits"
            spans.append(f'<span {look} title="{title}">{escape(character)}</span>')
        return "".join(spans)

    def write_page(self, path: Path) -> None:
        """Write an HTML page that needs no other file."""
        title = as_html(f"{self.name}: {self.what}")
        WebPage(PAGE.format(title=title, legend=self.legend, text=self.to_html())).write(path)
