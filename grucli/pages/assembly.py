"""Make the page: one HTML file that needs no other file and no network."""

import json
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any

from grucli.html import as_html, policy
from grucli.pages.payload import Payload

SCRIPTS = (
    "engine.js",
    "features.js",
    "symbols.js",
    "elements.js",
    "strip.js",
    "reading.js",
    "marks.js",
    "write.js",
    "surprise.js",
    "inside.js",
    "gradient.js",
    "proof.js",
    "page.js",
)
"""The files of the page's script, in order: one script, so that no file is loaded."""


@dataclass(frozen=True)
class About:
    """What a page says of its model.

    Attributes:
        title: the heading.
        subtitle: one sentence below it.
        passage: the text that is shown first.
        facts: names and values, in order.
    """

    title: str
    subtitle: str
    passage: str
    facts: tuple[tuple[str, str], ...] = ()


def html(held: Payload, about: About) -> str:
    """The page of a model.

    Only the page's own script and style may run: the policy names their hashes. All texts reach
    the page as JSON, in which no character can end the element around it.
    """
    said = {"title": about.title, "subtitle": about.subtitle, "facts": about.facts}
    content = held.content | {"about": said, "passage": about.passage}
    script, style = "\n".join(map(_source, SCRIPTS)), _source("style.css")
    return Template(_source("page.html")).substitute(
        policy=policy(style, script),
        title=as_html(about.title),
        style=style,
        content=in_script(content),
        script=script,
    )


def in_script(content: Any) -> str:
    """JSON for a script element: ASCII, and without characters that HTML gives a meaning."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _source(name: str) -> str:
    return files("grucli.pages").joinpath(name).read_text("utf-8")
