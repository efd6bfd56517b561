"""Texts that are given as values: a file holds them, which is read like any other and kept."""

import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from grucli.config import Data, Values
from grucli.data.decoding import is_utf8
from grucli.data.documents import END
from grucli.errors import ArgumentError, SettingsError

ENDS = {"text": "", "lines": "\n", "texts": END}  # what the file has after each of them
READ_AS: dict[str, Values] = {
    "lines": {"data.documents": "line", "data.separator": None},
    "texts": {"data.documents": None, "data.separator": END},
}
"""How they are read, unless the settings ask for documents of another kind."""


@dataclass(frozen=True)
class GivenText:
    """A text, or an iterable of lines or of texts."""

    kind: str  # text, lines or texts
    value: Any

    def settings(self, data: Data) -> Values:
        """The settings that the text needs besides those that are given."""
        if data.level == "char" and not is_utf8(data.encoding):
            raise SettingsError(f"data.encoding={data.encoding} is for files; leave it out")
        if self.kind == "texts" and data.documents == "line":
            raise SettingsError("data.documents=line: give lines instead of texts")
        return READ_AS.get(self.kind, {}) if data.document is None else {}

    @contextmanager
    def in_file(self) -> Iterator[str]:
        """A temporary file that holds the text, in UTF-8."""
        texts = [self.value] if self.kind == "text" else self.value
        listed = isinstance(texts, Iterable) and getattr(texts, "ndim", 1) == 1
        if isinstance(texts, str | bytes) or not listed:
            problem = f"must be a list of strings, not {reprlib.repr(texts)}"
            raise ArgumentError(self.kind, f"{problem}; a single one is given as text")
        with TemporaryDirectory(prefix="grucli-", ignore_cleanup_errors=True) as folder:
            path = Path(folder, f"{self.kind}.txt")
            with path.open("wb") as file:
                file.writelines(self._encoded(*one) for one in enumerate(texts, 1))
            if not path.stat().st_size:
                raise ArgumentError(self.kind, "holds no text; give one to train on")
            yield str(path)

    def _encoded(self, number: int, text: Any) -> bytes:
        if not isinstance(text, str):
            problem = "is not a string"
        elif self.kind == "lines" and ("\n" in text or "\r" in text):
            problem = "holds a line end"
        elif self.kind == "texts" and END in text:
            problem = "holds U+001E, which ends each of them"
        else:
            try:
                return (text + ENDS[self.kind]).encode()
            except UnicodeEncodeError:
                problem = "holds half of a surrogate pair, which no file can hold"
        one = "" if self.kind == "text" else f"number {number:,} "
        raise ArgumentError(self.kind, f"{one}{problem}: {reprlib.repr(text)}")
