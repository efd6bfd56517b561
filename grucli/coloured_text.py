"""Text with a coloured background for each character, for terminals and HTML."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grucli import output_files
from grucli.text_out import printable

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font-family: sans-serif; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.6; color: #111; }}
</style>
<h1>{title}</h1>
<p>{legend}</p>
<pre>{text}</pre>
</html>
"""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


def colour_of(value: float, full: float) -> Colour:
    """Return the colour of a value: white for zero, red above, blue below.

    Args:
        value: the value.
        full: the absolute value from which the colour has its full strength.
    """
    strength = min(1.0, abs(value) / full) if full else 0.0
    faded = round(255 - 175 * strength)
    return (faded, faded, 255) if value < 0 else (255, faded, faded)


def span(text: str, background: Colour, tooltip: str) -> str:
    """Return HTML of a text with a background colour and a tooltip."""
    colour = "#{:02x}{:02x}{:02x}".format(*background)
    return f'<span style="background:{colour}" title="{tooltip}">{html.escape(text)}</span>'


@dataclass(frozen=True)
class ColouredText:
    """Characters with one value each, which determines the colour.

    Attributes:
        name: the name of the model, for the title.
        what: the meaning of the values, such as "surprisal, bits".
        characters: the text, character by character.
        values: one value for each character.
        full: the absolute value from which the colour has its full strength.
        signed: whether values can be negative; if so, red is above zero and blue is below.
    """

    name: str
    what: str
    characters: Sequence[str]
    values: Sequence[float]
    full: float
    signed: bool

    def coloured(self) -> Iterator[tuple[str, float, Colour]]:
        """Yield each character in printable form, with its value and its colour."""
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
        """Return the meaning of the values, and each character with its value, for JSON."""
        pairs = zip(self.characters, self.values, strict=True)
        return {"what": self.what, "values": [list(pair) for pair in pairs]}

    def to_html(self) -> str:
        """Return the characters as HTML, each with its value as a tooltip."""
        return "".join(
            span(character, colour, f"{value:.3f}") for character, value, colour in self.coloured()
        )

    def page(self) -> str:
        """Return an HTML page that needs no other file."""
        title = html.escape(printable(f"{self.name}: {self.what}"))
        return PAGE.format(title=title, legend=self.legend, text=self.to_html())

    def write_page(self, path: Path) -> None:
        """Write the HTML page.

        Raises:
            RunError: the file cannot be written.
        """
        page = self.page().encode()
        output_files.write_result(path, "page", lambda file: file.write(page))
