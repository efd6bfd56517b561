"""Text for terminals and shells: control characters become symbols, paths become single words."""

import os
import re
import shlex
import subprocess
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


def _symbol(control: str) -> str:
    code = ord(control)
    if code <= 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"


def to_bytes(text: str) -> bytes:
    """Encode text as UTF-8; file names in it keep their bytes."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # a surrogate that does not represent a byte
        return text.encode(errors="replace")


def quote(path: str) -> str:
    """Quote a path, so that it is one word and never an option."""
    return word(never_option(path))


def word(text: str) -> str:
    """Quote a text, so that it is one word."""
    if os.name == "nt":
        return subprocess.list2cmdline([text])
    return _escape(text) if CONTROLS.search(text) else shlex.quote(text)


def never_option(path: str) -> str:
    """Put ./ before a path that looks like an option; - alone is standard input."""
    return f"./{path}" if path.startswith("-") and path != "-" else path


def _escape(path: str) -> str:
    """Escape a path with control characters, for bash and zsh."""
    plain = [chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in to_bytes(path)]
    return "$'" + "".join("\\" + one if one in "\\'" else one for one in plain) + "'"


def duration(seconds: float) -> str:
    """Seconds in words, such as "3 min 20 s"."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
