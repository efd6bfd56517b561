"""What the pages of the program share: they load nothing, and show any text as text."""

import base64
import hashlib
import html as entities
from dataclasses import dataclass
from pathlib import Path

from grucli import output_files
from grucli.arguments import PathLike, checked
from grucli.text_out import printable


@dataclass(frozen=True)
class WebPage:
    """An HTML page that needs no other file.

    Attributes:
        html: its content.
    """

    html: str

    @checked
    def write(self, path: PathLike) -> None:
        """Write the page to a file, completely or not at all.

        Raises:
            RunError: the file cannot be written.
        """
        data = self.html.encode()
        output_files.write_result(Path(path), "page", lambda file: file.write(data))


def as_html(text: str) -> str:
    """A text for an element or an attribute; control characters become symbols."""
    return entities.escape(printable(text))


def policy(style: str, script: str) -> str:
    """A content security policy: nothing is loaded, and only this style and this script count.

    Args:
        style: the content of the page's style element.
        script: the content of its script element.
    """
    allowed = [f"style-src {_hash(style)}", f"script-src {_hash(script)}"]
    return "; ".join(["default-src 'none'", "base-uri 'none'", "form-action 'none'", *allowed])


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"
