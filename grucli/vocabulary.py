"""The symbols of a model: characters or bytes, in sorted order."""

import unicodedata
from typing import Literal

import numpy as np
import numpy.typing as npt

from grucli.errors import UnknownCharacterError
from grucli.nn.params import Ids

Unknown = Literal["error", "skip"]

LISTED = 8
"""Unknown symbols that a message names before it counts the rest."""


class Vocabulary:
    """Symbol <-> id.

    Args:
        level: whether symbols are characters (Unicode code points) or bytes.
        symbols: code points or byte values in ascending order, (V,).
    """

    def __init__(self, level: Literal["char", "byte"], symbols: Ids) -> None:
        self.level: Literal["char", "byte"] = level
        self.symbols = np.asarray(symbols, np.uint32)

    def __len__(self) -> int:
        return len(self.symbols)

    def number(self, symbols: Ids, unknown: Unknown = "error") -> npt.NDArray[np.intp]:
        """Ids of symbols.

        Raises:
            UnknownCharacterError: naming each symbol that is not known, unless they are skipped.
        """
        places = self.find(symbols)
        if unknown == "error" and (places < 0).any():
            raise UnknownCharacterError(self._describe(np.unique(symbols[places < 0])))
        return places[places >= 0]

    def find(self, symbols: Ids) -> npt.NDArray[np.intp]:
        """Ids of symbols, -1 for those that are not known; as long as ``symbols``."""
        places = np.searchsorted(self.symbols, symbols)
        known = self.symbols[np.minimum(places, len(self) - 1)] == symbols
        return np.where(known, places, -1)

    def encode(self, text: str, unknown: Unknown = "error") -> npt.NDArray[np.intp]:
        """Ids of a text; at byte level, of its UTF-8 form."""
        if self.level == "byte":
            return self.encode_bytes(text.encode(), unknown)
        return self.number(np.frombuffer(text.encode("utf-32-le", "replace"), "<u4"), unknown)

    def encode_bytes(self, raw: bytes, unknown: Unknown = "error") -> npt.NDArray[np.intp]:
        """Ids of bytes; for byte level."""
        return self.number(np.frombuffer(raw, np.uint8), unknown)

    def decode(self, ids: Ids) -> bytes:
        """The UTF-8 form of characters, or the bytes themselves."""
        symbols = self.symbols[ids]
        if self.level == "byte":
            return symbols.astype(np.uint8).tobytes()
        return symbols.astype("<u4").tobytes().decode("utf-32-le", "replace").encode()

    def _describe(self, unknown: Ids) -> str:
        if self.level == "byte":
            names = [f"0x{byte:02x}" for byte in unknown[:LISTED].tolist()]
        else:
            names = [describe_character(chr(point)) for point in unknown[:LISTED].tolist()]
        more = f" and {len(unknown) - LISTED:,} more" if len(unknown) > LISTED else ""
        noun = "character" if self.level == "char" else "byte"
        plural = "s" if len(unknown) > 1 else ""
        return f"the model never saw the {noun}{plural} {', '.join(names)}{more}"


def describe_character(character: str) -> str:
    """The character, its name and its code point, for a message."""
    name = unicodedata.name(character, "unnamed")
    shown = f"{character!r} " if character.isprintable() else ""
    return f"{shown}{name} (U+{ord(character):04X})"


def smallest_unsigned(count: int) -> np.dtype[np.unsignedinteger]:
    """The smallest unsigned type that can number ``count`` symbols."""
    return np.min_scalar_type(max(count - 1, 0))
