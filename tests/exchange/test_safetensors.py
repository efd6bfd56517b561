import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grucli.exchange.safetensors import dump, load

PATH = Path("m.safetensors")
ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([[1.5]]).T}


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    PATH.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return PATH


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_what_is_written_is_read() -> None:
    PATH.write_bytes(dump(ARRAYS, {"vocabulary": '["\\n"]'}))
    arrays, metadata = load(PATH)
    assert metadata == {"vocabulary": '["\\n"]'}
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_the_library_of_the_format_reads_it_and_writes_what_is_read() -> None:
    theirs = pytest.importorskip("safetensors.numpy")
    content = dump(ARRAYS, {"key": "text"})
    for name, array in theirs.load(content).items():
        np.testing.assert_array_equal(array, ARRAYS[name])
    PATH.write_bytes(theirs.save(ARRAYS, {"key": "text"}))
    arrays, metadata = load(PATH)
    assert metadata == {"key": "text"}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("F64", np.array([1.5, -2.0], "<f8").tobytes()),
        ("F16", np.array([1.5, -2.0], "<f2").tobytes()),
        ("BF16", bytes([0xC0, 0x3F, 0x00, 0xC0])),
    ],
)
def test_other_types_are_read(kind: str, data: bytes) -> None:
    arrays, _ = load(file_of({"a": entry(kind, offsets=(0, len(data)))}, data))
    np.testing.assert_array_equal(arrays["a"], [1.5, -2.0])


@pytest.mark.parametrize(
    ("header", "data", "said"),
    [
        ([], b"", "header is damaged"),
        ({"a": 3}, b"", "a has no shape"),
        ({"a": entry(shape=[2.0])}, bytes(8), "a has no shape"),
        ({"a": entry(shape=[True, 2])}, bytes(8), "a has no shape"),
        ({"a": entry(shape=[2**60] * 9)}, bytes(8), "a has no shape"),
        ({"a": entry(dtype="I64")}, bytes(8), "a is of type I64"),
        ({"a": entry(dtype=["F32"])}, bytes(8), "a is of type"),
        ({"a": entry(shape=[10**6, 10**6])}, bytes(8), "declares 4,000,000,000,000 bytes"),
        ({"a": entry(shape=[10**12], offsets=[0, 4 * 10**12])}, bytes(8), "declares"),
        ({"a": entry(offsets=[8, 0])}, bytes(8), "declares 8 bytes"),
        ({"a": entry(), "b": entry()}, bytes(16), "overlap"),
        ({"a": entry()}, bytes(9), "bytes that belong to none"),
        ({"__metadata__": {"a": 1}}, b"", "header is damaged"),
    ],
)
def test_a_header_that_is_not_true_is_refused(header: Any, data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load(file_of(header, data))


@pytest.mark.parametrize("content", [b"", b"abc", bytes(8), b"\xff" * 8, b"\xff" * 20])
def test_a_file_that_is_cut_short_is_refused(content: bytes) -> None:
    PATH.write_bytes(content)
    with pytest.raises(ValueError, match="cut short"):
        load(PATH)
    with pytest.raises(ValueError, match="header is damaged"):
        load(file_of(b"[" * 100_000))
