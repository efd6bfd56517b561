"""Files of arrays in the safetensors format: a length, a header in JSON, and plain numbers."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from grucli.files import open_file

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
LONGEST_HEADER = 2**25  # bytes; that of a model of all characters of Unicode has about half
METADATA = "__metadata__"
TEXTS = TypeAdapter(dict[str, str])


def dump(arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """The content of a file with arrays of float32."""
    header: dict[str, Any] = {METADATA: metadata}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + 4 * array.size
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    numbers = (array.astype("<f4").tobytes() for array in arrays.values())
    return b"".join([len(text).to_bytes(8, "little"), text, *numbers])


def load(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """The arrays and the metadata of a file; a ValueError says what is wrong with it.

    Nothing is read before it is known to be in the file.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(LONGEST_HEADER, size - 8):
            raise ValueError(
                "it is cut short, or not a file of safetensors or of torch.save since PyTorch 1.6"
            )
        rest = size - 8 - length
        try:
            header = json.loads(file.read(length))
            metadata = TEXTS.validate_python(header.pop(METADATA, {}))
        except (ValueError, AttributeError, TypeError, RecursionError):
            raise ValueError("its header is damaged, or it is no file of safetensors") from None
        spans = {name: _span(name, entry, rest) for name, entry in header.items()}
        edges = sorted(span[:2] for span in spans.values())
        if [start for start, _ in edges] + [rest] != [0] + [end for _, end in edges]:
            raise ValueError("its arrays overlap, or it has bytes that belong to none")
        arrays = {}
        for name, (start, end, kind, shape) in spans.items():
            file.seek(8 + length + start)
            numbers = np.frombuffer(file.read(end - start), TYPES[kind])
            if kind == "BF16":  # the upper half of a float32
                numbers = (numbers.astype("<u4") << 16).view("<f4")
            arrays[name] = numbers.reshape(shape)
        return arrays, metadata


def _span(name: str, entry: Any, size: int) -> tuple[int, int, str, list[int]]:
    """Where the numbers of an array start and end in ``size`` bytes; its type and shape."""
    entry = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    lists = type(shape) is type(offsets) is list and len(shape) <= 8 and len(offsets) == 2
    if not lists or not all(type(one) is int and 0 <= one < 2**53 for one in [*shape, *offsets]):
        raise ValueError(f"{name} has no shape or no place in the file")
    if not isinstance(kind, str) or kind not in TYPES:
        raise ValueError(f"{name} is of type {kind}; {', '.join(TYPES)} can be read")
    start, end = offsets
    needed = math.prod(shape) * np.dtype(TYPES[kind]).itemsize
    if end - start != needed or end > size:
        raise ValueError(f"{name} declares {needed:,} bytes, which the file does not have there")
    return start, end, kind, shape
