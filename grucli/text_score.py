"""Scores of each symbol of a text, as numbers, as aligned lines and as HTML."""

import html
import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grucli.coloured_text import colour_of, span
from grucli.text_out import visible

COLUMNS, CELL = 100, 5
"""Maximum number of columns of a printed line, and number of columns for a symbol."""

SHOWN = 2000
"""Maximum number of symbols that ``repr`` and a notebook show."""

SURPRISING = 8.0
"""Minimum bits of a symbol that has the full colour."""


@dataclass(frozen=True, eq=False, repr=False)
class TextScore:
    """The score of a text: how well a model predicts each of its symbols.

    ``score[3:9]`` is the score of these symbols, each predicted from all symbols before it.

    Attributes:
        symbols: the text: N characters, or N bytes for a model of bytes.
        log_probs: log probability of each symbol given all symbols before it, in nats, (N,).
        skipped: number of symbols that were left out because the model never saw them; 0 for a
            part of a score.
    """

    symbols: str | bytes
    log_probs: npt.NDArray[np.float64]
    skipped: int = 0

    @property
    def text(self) -> str:
        """The text as a string; bytes that are not UTF-8 become U+FFFD."""
        if isinstance(self.symbols, str):
            return self.symbols
        return self.symbols.decode(errors="replace")

    @property
    def noun(self) -> str:
        """What a symbol is: "character" or "byte"."""
        return "character" if isinstance(self.symbols, str) else "byte"

    @property
    def nats(self) -> float:
        """Sum of -log p over all symbols, in nats."""
        return 0.0 - float(self.log_probs.sum())

    @property
    def bits(self) -> npt.NDArray[np.float64]:
        """Bits of each symbol, -log2 p, (N,)."""
        return (0.0 - self.log_probs) / math.log(2)

    @property
    def bits_per_symbol(self) -> float:
        """Bits per character, or per byte for a model of bytes; NaN for an empty text."""
        return float(self.bits.mean()) if len(self) else math.nan

    def __len__(self) -> int:
        return len(self.symbols)

    def __getitem__(self, span: slice | int) -> "TextScore":
        if isinstance(span, int):
            index = range(len(self))[span]
            span = slice(index, index + 1)
        return TextScore(self.symbols[span], self.log_probs[span])

    def __str__(self) -> str:
        return "\n".join([self._facts(), *self._lines()])

    def __repr__(self) -> str:
        return "\n".join([self._facts(), *self[:SHOWN]._lines(), *self._not_shown()])

    def _repr_html_(self) -> str:
        """HTML for notebooks: the text, coloured by the bits of each symbol."""
        shown = self[:SHOWN]
        spans = map(_span, shown._visible(), shown.bits.tolist())
        facts = html.escape(self._facts())
        rest = "".join(f"<div>{html.escape(line)}</div>" for line in self._not_shown())
        style = "white-space:pre-wrap;overflow-wrap:anywhere;color:#111"
        return f'<div>{facts}</div><pre style="{style}">{"".join(spans)}</pre>{rest}'

    def _facts(self) -> str:
        count = f"{len(self):,} {self.noun}{'' if len(self) == 1 else 's'}"
        if self.skipped:
            count += f" (and {self.skipped:,} left out, which the model never saw)"
        if not len(self):
            return count
        return f"{count}, {self.nats:.2f} nats, {self.bits_per_symbol:.3f} bits per {self.noun}"

    def _not_shown(self) -> list[str]:
        more = len(self) - SHOWN
        return [f"{more:,} more are not shown; [{SHOWN}:] has them"] if more > 0 else []

    def _visible(self) -> Iterator[str]:
        """The visible form of each symbol."""
        if isinstance(self.symbols, str):
            return map(visible, self.symbols)
        return (visible(chr(byte)) if byte < 0x80 else f"{byte:02x}" for byte in self.symbols)

    def _lines(self) -> Iterator[str]:
        """Yield pairs of lines: symbols, and their bits below them."""
        cells = list(zip(self._visible(), self.bits.tolist(), strict=True))
        for lo in range(0, len(cells), COLUMNS // CELL):
            row = cells[lo : lo + COLUMNS // CELL]
            yield "".join(_padded(symbol) for symbol, _ in row).rstrip()
            yield "".join(
                _padded(f"{bits:.1f}" if bits < 100 else f"{bits:.0f}") for _, bits in row
            ).rstrip()


def _padded(cell: str) -> str:
    """A cell, right-aligned in its columns."""
    return " " * (CELL - sum(map(_width, cell))) + cell


def _width(character: str) -> int:
    """Number of columns of a character in a terminal."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _span(symbol: str, bits: float) -> str:
    """HTML of a symbol: the background is white for few bits and red for many."""
    text = " " if symbol == "\N{SYMBOL FOR SPACE}" else symbol
    end = "\n" if symbol == "\N{SYMBOL FOR LINE FEED}" else ""
    return span(text, colour_of(bits, SURPRISING), f"{bits:.2f} bits") + end
