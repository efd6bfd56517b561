"""Text that is safe to show: symbols in place of control characters."""

import re

CONTROLS = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb"  # direction, line ends, annotation
    "\ud800-\udfff]"  # surrogates: a byte of a file name that is not UTF-8
)
"""Characters that drive a terminal or change the order of what it shows. Joiners and variation
selectors are not among them: emoji and some scripts need them."""


def printable(text: str) -> str:
    """Replace control characters by symbols: a model, a file or its name can contain any."""
    return CONTROLS.sub(lambda match: _symbol(match[0]), text.replace("\r\n", "\n"))


def _symbol(control: str) -> str:
    """The symbol for a control character if Unicode has one, else the replacement character."""
    code = ord(control)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"
