"""The lines of a file, which need not fit into memory: strings, or bytes for a model of bytes."""

from collections.abc import Iterator
from typing import Any

from grucli.config import Data
from grucli.data.decoding import symbols_of
from grucli.data.documents import LINE_END, end_of, split


def lines_of(file: str, data: Data, *, whole: bool = False) -> Iterator[Any]:
    """The lines of a file, or its documents, without their ends; or the whole file as one."""
    parts: Iterator[Any] = (points.tobytes() for _, points, _ in symbols_of(file, data))
    end: Any = bytes([end_of(data) or LINE_END])
    if data.level == "char":
        parts, end = (raw.decode("utf-32-le", "surrogatepass") for raw in parts), end.decode()
    return iter([end[:0].join(parts)]) if whole else split(parts, end)
