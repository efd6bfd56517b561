"""The documents of a text: their ends, and how a text is separated into them.

The end of a document is one symbol: of a line its line end, and of all others U+001E, the record
separator of ASCII. Where a text has this character, a document ends, too. White space at the end of
a document and empty lines at its beginning are left out, and so are empty documents.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from grucli.config import Data

LINE_END = 0x0A  # the character, or the byte, that ends a line
RECORD_SEPARATOR = 0x1E  # the character, or the byte, that ends any other document
END = chr(RECORD_SEPARATOR)
BLANKS = " \t\r\n"
LINE_ENDS = (r"\r\n", r"\n", r"\r(?!\n)")
NEW_LINE = f"(?:{'|'.join(LINE_ENDS)})"
EMPTY_LINES = rf"(?:[ \t]*{NEW_LINE})+"


def end_of(data: Data) -> int | None:
    """The symbol that ends a document, or None if the text is not separated into documents."""
    if data.document is None:
        return None
    return LINE_END if data.documents == "line" else RECORD_SEPARATOR


def between(data: Data) -> str:
    """The text that is shown between two documents, or between two samples."""
    return {"line": "\n", "paragraph": "\n\n"}.get(data.document or "", "\n---\n")


def shown(text: bytes, data: Data) -> bytes:
    """Documents with a text between them instead of U+001E; without the end of the last one."""
    if end_of(data) != RECORD_SEPARATOR:
        return text
    return text.removesuffix(END.encode()).replace(END.encode(), between(data).encode())


def as_typed(prompt: bytes, data: Data) -> bytes:
    """A prompt with what separates documents in a text, instead of U+001E."""
    if end_of(data) != RECORD_SEPARATOR:
        return prompt
    return prompt.replace(END.encode(), (data.separator or between(data)).encode())


def open_ended(text: bytes, data: Data) -> bytes:
    """The text of a file without the end of its last document, which a sample then continues."""
    if end_of(data) != RECORD_SEPARATOR:
        return text.removesuffix(b"\n").removesuffix(b"\r") if data.document else text
    blanks, separator = f"{BLANKS}{END}".encode(), (data.separator or "").strip(BLANKS).encode()
    return text.rstrip(blanks).removesuffix(separator).rstrip(blanks)


def separators(data: Data) -> str | None:
    """A regular expression for what separates documents; None if no U+001E ends them."""
    if end_of(data) != RECORD_SEPARATOR:
        return None
    text = data.separator or END
    if data.level == "byte":  # which is a character of Latin-1
        text = text.encode(errors="surrogatepass").decode("latin-1")
    pattern = NEW_LINE.join(map(re.escape, re.split(NEW_LINE, text)))
    if pattern.endswith(NEW_LINE):  # the next separator may begin with this line end
        pattern = f"{pattern.removesuffix(NEW_LINE)}(?={NEW_LINE})"
    if data.documents == "paragraph":
        pattern = rf"{NEW_LINE}[ \t]*{NEW_LINE}"
    first = LINE_ENDS if pattern.startswith(NEW_LINE) else (NEW_LINE,)  # found faster
    return "|".join([END, *(pattern.replace(NEW_LINE, one, 1) for one in first)])


def split(parts: Iterable[Any], end: Any) -> Iterator[Any]:
    """The documents or lines in the parts of a text, strings or bytes; no empty one at the end."""
    held: list[Any] = []  # the parts of a document whose end is not read yet
    for part in parts:
        first, *others = part.split(end)
        held.append(first)
        if others:
            yield end[:0].join(held)
            yield from others[:-1]
            held = others[-1:]
    if any(held):
        yield end[:0].join(held)


class Documents:
    """Ends each document with U+001E, while a text is read in parts; a list stays as it is."""

    def __init__(self, data: Data) -> None:
        pattern = separators(data)
        self.pattern = None if pattern is None else re.compile(pattern)
        self.reach = 4 * len(data.separator or "")  # symbols of an incomplete separator, at most
        self.held = "\n"  # read, but perhaps a part of a separator, or left out before one
        self.begun = False  # whether a document has begun

    def add(self, text: str, *, final: bool = False) -> str:
        """Add a part of the text, or the ``final`` one; return what is certain by now."""
        if self.pattern is None:
            return text
        *documents, rest = self.pattern.split(self.held + text + f"\n{END}" * final)
        ended = "".join(map(self._end, documents))
        certain = rest[: max(0, len(rest) - self.reach)].rstrip(BLANKS)
        self.held = rest[len(certain) :]
        return ended + self.begin(certain)

    def begin(self, text: str) -> str:
        if not self.begun and (empty := re.match(EMPTY_LINES, text)):
            text = text[empty.end() :]
        self.begun = self.begun or bool(text)
        return text

    def _end(self, document: str) -> str:
        text = self.begin(document.rstrip(BLANKS))
        ended, self.begun = text + END * self.begun, False
        return ended


def separated(text: str, data: Data, *, whole: bool = False) -> str:
    """A text with the ends of its documents; the last one ends, too, if the text is ``whole``."""
    symbol = end_of(data)
    if symbol == RECORD_SEPARATOR:
        documents = Documents(data)
        text = documents.add(text, final=whole) + documents.begin(documents.held)
    end = chr(symbol) if whole and symbol is not None else ""
    return text if text.endswith(end) else text + end
