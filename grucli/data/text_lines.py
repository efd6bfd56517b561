"""The lines of a file, which need not fit into memory: strings, or bytes for a model of bytes."""

from collections.abc import Iterator
from typing import Any

from grucli.config import Data
from grucli.data.decoding import symbols_of
from grucli.data.documents import LINE_END, end_of


def lines_of(file: str, data: Data, *, whole: bool = False) -> Iterator[Any]:
    """The lines of a file, or its documents, without their ends; or the whole file as one."""
    mark = chr(end_of(data) or LINE_END)
    end: Any = mark.encode() if data.level == "byte" else mark
    held: list[Any] = []  # the parts of a line whose end is not read yet
    for _, points, _ in symbols_of(file, data):
        raw: Any = points.tobytes()
        part = raw if data.level == "byte" else raw.decode("utf-32-le", "surrogatepass")
        first, *others = [part] if whole else part.split(end)
        held.append(first)
        if others:
            yield end[:0].join(held)
            yield from others[:-1]
            held = others[-1:]
    if whole or any(held):
        yield end[:0].join(held)
