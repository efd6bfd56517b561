"""The symbols of a model: characters or bytes, in sorted order."""

import reprlib
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from grucli.config import NOUNS, Data
from grucli.data.documents import separated
from grucli.errors import CorpusError, UnknownCharacterError
from grucli.nn.params import Ids, Indices
from grucli.text_out import to_bytes

Unknown = Literal["error", "skip"]
UnknownInScore = Literal["error", "skip", "floor"]  # floor: charged as for half an occurrence

# Stands for all characters that are too rare for a symbol of their own: the replacement character,
# which Unicode has for what cannot be represented.
UNK = 0xFFFD
# names of characters that Unicode has not named
CONTROLS = {"\t": "TABULATION", "\n": "LINE FEED", "\r": "CARRIAGE RETURN, as in Windows line ends"}
CURLY = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
QUOTES = CURLY | {straight: curly for curly, straight in CURLY.items()}  # may replace each other
LISTED = 8  # unknown symbols that a message names before it counts the rest


class Vocabulary:
    """Symbol <-> id. ``UNK`` with its ``unknown_id``, if any, stands for all other characters."""

    def __init__(self, symbols: Ids | Sequence[int], data: Data | None = None) -> None:
        data = data or Data()  # how the text was read
        self.level = data.level
        self.symbols = np.asarray(symbols, np.uint32)  # code points or bytes, ascending, (V,)
        has_unk = data.min_count > 1 and UNK in self.symbols
        self.unknown_id = int(np.searchsorted(self.symbols, UNK)) if has_unk else None

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vocabulary)
            and (self.level, self.unknown_id) == (other.level, other.unknown_id)
            and np.array_equal(self.symbols, other.symbols)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def noun(self) -> str:
        """What a symbol is: "character" or "byte"."""
        return NOUNS[self.level]

    def id_of(self, symbol: int | None) -> int | None:
        """The id of a symbol, or None if the model does not know it."""
        found = [] if symbol is None else np.flatnonzero(self.symbols == symbol).tolist()
        return found[0] if found else None

    def find(
        self, symbols: Ids, unknown: UnknownInScore = "error", unseen: Sequence[int] = ()
    ) -> Indices:
        """Ids of symbols (N,), -1 for those not to read; ids in ``unseen`` count as unknown."""
        ids = np.searchsorted(self.symbols, symbols)
        known = self.symbols[np.minimum(ids, len(self) - 1)] == symbols
        if len(unseen):
            known &= ~np.isin(ids, unseen)
        if self.unknown_id is not None and unknown != "skip":
            return np.where(known, ids, self.unknown_id)
        if unknown == "error" and not known.all():
            raise UnknownCharacterError(self._describe(np.unique(symbols[~known])))
        return np.where(known, ids, -1)

    def points(self, text: str | bytes) -> Ids:
        """The code points or byte values of a text, (N,): text and bytes are converted by UTF-8."""
        if self.level == "byte":
            return np.frombuffer(as_bytes(text), np.uint8)
        return np.frombuffer(decoded(text).encode("utf-32-le", "surrogatepass"), "<u4")

    def decode(self, ids: Ids) -> bytes:
        """The UTF-8 form of characters, or the bytes themselves."""
        return self.text_of(self.symbols[ids])

    def text_of(self, symbols: Ids) -> bytes:
        """The UTF-8 form of code points (N,), or the bytes themselves."""
        if self.level == "byte":
            return symbols.astype(np.uint8).tobytes()
        return symbols.astype("<u4").tobytes().decode("utf-32-le", "replace").encode()

    def form(self, data: bytes) -> str | bytes:
        """What ``decode`` returns, in the form that users get: a string, or bytes."""
        return data if self.level == "byte" else data.decode()

    def listed(self, symbols: Ids, note: str = "") -> str:
        """The names of some symbols, the first ones; those in the vocabulary have a note."""
        names = [
            (f"0x{one:02x}" if self.level == "byte" else describe_character(chr(one)))
            + note * (one in self.symbols)
            for one in symbols[:LISTED].tolist()
        ]
        more = f" and {len(symbols) - LISTED:,} more" if len(symbols) > LISTED else ""
        return f"{', '.join(names)}{more}"

    def _describe(self, unknown: Ids) -> str:
        plural = "s" if len(unknown) > 1 else ""
        listed = self.listed(unknown, " (in the held-out text alone)")
        characters = list(map(chr, unknown[:LISTED].tolist()))
        proposed = self._proposals(characters) if self.level == "char" else ""
        return f"the model never saw the {self.noun}{plural} {listed}{proposed}"

    def _proposals(self, unknown: Sequence[str]) -> str:
        """What to write instead of unknown characters, as far as similar ones are known."""
        # without those of the held-out text alone
        known = set(map(chr, self.symbols.tolist())).difference(unknown)
        marks = set(filter(unicodedata.combining, unknown))
        parts = {character: unicodedata.normalize("NFD", character) for character in unknown}
        instead = [
            f"{other!r} for {character!r}"
            for character in unknown
            for other in (character.swapcase(), QUOTES.get(character, character))
            if other in known
        ]
        proposed = f"; it knows {', '.join(instead)}" if instead else ""
        if any(marks & set(unicodedata.normalize("NFD", one)) for one in known - marks):
            return f"{proposed}; it knows composed letters: compose the text (Unicode form NFC)"
        if any(len(part) > 1 and set(part) <= known for part in parts.values()):
            return f"{proposed}; it knows letters and marks: decompose the text (Unicode form NFD)"
        return proposed


def unified(text: str, data: Data) -> str:
    r"""A text as a model reads it: \r\n and \r become \n if that is how the corpus was read."""
    if data.level == "byte" or data.newlines == "keep":
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n")


def as_read(text: str | bytes, data: Data, *, whole: bool = False) -> Any:
    """A text as a model reads it, or as bytes; the last document of a ``whole`` one ends."""
    if not isinstance(text, str | bytes):
        raise CorpusError(f"a text is a string or bytes, not {reprlib.repr(text)}")
    if data.level == "char":
        return separated(unified(decoded(text), data), data, whole=whole)
    return separated(as_bytes(text).decode("latin-1"), data, whole=whole).encode("latin-1")


def as_bytes(text: str | bytes) -> bytes:
    """A text as bytes in UTF-8; halves of surrogate pairs that stand for bytes become these."""
    return to_bytes(text) if isinstance(text, str) else text


def decoded(text: str | bytes) -> str:
    """A text as a string; a byte order mark at the start of bytes is left out."""
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = error.start + len(text) - len(error.object)  # a byte order mark was dropped
        raise CorpusError(
            f"byte 0x{text[offset]:02x} at offset {offset:,} of the text is not UTF-8; convert it"
        ) from None


def describe_character(character: str) -> str:
    name = unicodedata.name(character, CONTROLS.get(character, "unnamed"))
    shown = f"{character!r} " if character.isprintable() else ""
    return f"{shown}{name} (U+{ord(character):04X})"


def smallest_unsigned(count: int) -> np.dtype[np.unsignedinteger]:
    return np.min_scalar_type(max(count - 1, 0))
