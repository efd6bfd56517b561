"""Scores of each symbol of a text, as numbers, as aligned lines and as HTML."""

import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape

import numpy as np
import numpy.typing as npt

from grucli.html import ColouredText
from grucli.text_out import visible

COLUMNS, CELL = 100, 5  # columns of a printed line, at most, and of a symbol
SHOWN = 2000  # symbols that ``repr`` and a notebook show, at most
SURPRISING = 8.0  # bits from which a symbol has the full colour
SHOWN_AS = {"\N{SYMBOL FOR SPACE}": " ", "\N{SYMBOL FOR LINE FEED}": "\N{SYMBOL FOR LINE FEED}\n"}


@dataclass(frozen=True, eq=False, repr=False)
class TextScore:
    """The score of a text: how well a model predicts each of its symbols.

    ``score[3:9]`` is the score of these symbols, each predicted from all symbols before it.
    """

    symbols: str | bytes  # the text: N characters, or N bytes for a model of bytes
    log_probs: npt.NDArray[np.float64]  # of each symbol given all before it, in nats, (N,)
    skipped: int = 0  # symbols left out because the model never saw them; 0 for a part of a score

    @property
    def text(self) -> str:
        """The text as a string; bytes that are not UTF-8 become U+FFFD."""
        if isinstance(self.symbols, str):
            return self.symbols
        return self.symbols.decode(errors="replace")

    @property
    def data(self) -> bytes:
        """The text in UTF-8, or the bytes themselves."""
        return self.symbols.encode() if isinstance(self.symbols, str) else self.symbols

    @property
    def characters(self) -> list[str]:
        """The symbols; a byte is the character with its number."""
        symbols = self.symbols
        return list(symbols if isinstance(symbols, str) else symbols.decode("latin-1"))

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

    def coloured(self, name: str = "") -> ColouredText:
        """The text coloured by the bits of each symbol; ``name`` is the model's."""
        what, bits = "surprisal, bits", self.bits.tolist()
        return ColouredText(name, what, self.characters, bits, SURPRISING, signed=False)

    def __len__(self) -> int:
        return len(self.symbols)

    def __getitem__(self, span: slice | int) -> "TextScore":
        if not isinstance(span, slice):  # also an integer of NumPy
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
        characters = [SHOWN_AS.get(symbol, symbol) for symbol in visible_symbols(shown.symbols)]
        spans = replace(shown.coloured(), characters=characters).to_html()
        rest = "".join(f"<div>{escape(line)}</div>" for line in self._not_shown())
        style = "white-space:pre-wrap;overflow-wrap:anywhere;color:#111"
        return f'<div>{escape(self._facts())}</div><pre style="{style}">{spans}</pre>{rest}'

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

    def _lines(self) -> Iterator[str]:
        """Pairs of lines: symbols, and their bits below them."""
        cells = list(zip(visible_symbols(self.symbols), self.bits.tolist(), strict=True))
        for lo in range(0, len(cells), COLUMNS // CELL):
            row = cells[lo : lo + COLUMNS // CELL]
            numbers = [f"{bits:.1f}" if bits < 100 else f"{bits:.0f}" for _, bits in row]
            yield "".join(_padded(symbol) for symbol, _ in row).rstrip()
            yield "".join(map(_padded, numbers)).rstrip()


def visible_symbols(symbols: str | bytes) -> Iterator[str]:
    if isinstance(symbols, str):
        return map(visible, symbols)
    return (visible(chr(byte)) if byte < 0x80 else f"{byte:02x}" for byte in symbols)


def _padded(cell: str) -> str:
    return " " * (CELL - sum(map(_width, cell))) + cell


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
