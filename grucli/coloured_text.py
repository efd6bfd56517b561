"""A text whose characters are coloured by a value each, for terminals and HTML."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grucli import outputs
from grucli.printable import printable

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


@dataclass(frozen=True)
class ColouredText:
    """Characters and a value for each.

    Attributes:
        name: what was read, for the title.
        what: what the values are, such as "surprisal, bits".
        characters: the text, character by character.
        values: one value for each character.
        full: the absolute value from which the colour has its full strength.
        signed: whether values can be negative: then red is above zero and blue below.
    """

    name: str
    what: str
    characters: Sequence[str]
    values: Sequence[float]
    full: float
    signed: bool

    def coloured(self) -> Iterator[tuple[str, float, Colour]]:
        """Each character as it can be shown, its value and its colour."""
        for character, value in zip(self.characters, self.values, strict=True):
            yield printable(character), value, self.colour(value)

    def colour(self, value: float) -> Colour:
        """White for zero, towards red above, towards blue below."""
        strength = min(1.0, abs(value) / self.full) if self.full else 0.0
        faded = round(255 - 175 * strength)
        return (faded, faded, 255) if self.signed and value < 0 else (255, faded, faded)

    @property
    def legend(self) -> str:
        """What the colours mean."""
        if self.signed:
            return f"Red is above zero, blue is below; full colour at {self.full:.2f}."
        return (
            f"The redder, the less expected a character was; full colour from {self.full:g} bits."
        )

    def to_dict(self) -> dict[str, object]:
        """What the values are, and each character with its value, as JSON takes it."""
        pairs = zip(self.characters, self.values, strict=True)
        return {"what": self.what, "values": [list(pair) for pair in pairs]}

    def to_html(self) -> str:
        """The characters as HTML, each with its value as a tooltip."""
        return "".join(
            f'<span style="background:#{r:02x}{g:02x}{b:02x}" title="{value:.3f}">'
            f"{html.escape(character)}</span>"
            for character, value, (r, g, b) in self.coloured()
        )

    def page(self) -> str:
        """One HTML page that needs no other file."""
        title = html.escape(printable(f"{self.name}: {self.what}"))
        return PAGE.format(title=title, legend=self.legend, text=self.to_html())

    def write_page(self, path: Path) -> None:
        """Write the page.

        Raises:
            RunError: the file cannot be written.
        """
        page = self.page().encode()
        outputs.write_result(path, "page", lambda file: file.write(page))
