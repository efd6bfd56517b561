"""Make text safe to show: replace control characters by symbols, and encode any string."""

import re
import unicodedata

CONTROLS = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb"  # direction, line ends, annotation
    "\ufffe\uffff"  # what no XML may hold
    "\ud800-\udfff]"  # surrogates: a byte of a file name that is not UTF-8
)
"""Characters that control a terminal or change the order of its text. Joiners and variation
selectors are not included, because emoji and some scripts need them."""


def printable(text: str) -> str:
    """Replace control characters by symbols. Texts, samples and file names can contain them."""
    return CONTROLS.sub(lambda match: _symbol(match[0]), text.replace("\r\n", "\n"))


def visible(character: str) -> str:
    """Make a character visible: blanks and control characters become symbols."""
    if unicodedata.combining(character):
        return f"\N{DOTTED CIRCLE}{character}"
    return character if character.isprintable() and character != " " else _symbol(character)


def to_bytes(text: str) -> bytes:
    """Encode text as UTF-8; file names in it keep their bytes."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # a surrogate that does not represent a byte
        return text.encode(errors="replace")


def _symbol(control: str) -> str:
    """Return the symbol of a blank or control character, or U+FFFD if Unicode has none for it."""
    code = ord(control)
    if code <= 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"
