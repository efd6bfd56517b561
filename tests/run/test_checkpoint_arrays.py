import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from grucli.errors import CheckpointError
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint
from tests.run.helpers import refusal, rewrite


def test_every_truncation_is_refused(path: Path) -> None:
    content, cut = path.read_bytes(), Path("cut.npz")
    for length in range(0, len(content), 37):
        cut.write_bytes(content[:length])
        refusal(cut)


def test_a_flipped_bit_is_refused_or_changes_nothing(checkpoint: Checkpoint, path: Path) -> None:
    content, bad = path.read_bytes(), Path("bad.npz")
    refused = 0
    for place in range(0, len(content), 41):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        bad.write_bytes(flipped)
        try:
            loaded = checkpoints.read(bad)
        except CheckpointError:
            refused += 1
        else:
            np.testing.assert_array_equal(loaded.model.params.flat, checkpoint.model.params.flat)
            np.testing.assert_array_equal(loaded.moments.m, checkpoint.moments.m)
            assert loaded.progress == checkpoint.progress
    assert refused > len(content) / 41 / 2


def test_arrays_are_read_in_any_order_of_memory(path: Path, checkpoint: Checkpoint) -> None:
    weights = np.asfortranarray(checkpoint.model.params["layer1.W_h"])
    state = np.asfortranarray(checkpoint.state)
    assert not state.flags.c_contiguous
    loaded = checkpoints.read(rewrite(path, layer1__W_h=weights, state=state))
    np.testing.assert_array_equal(loaded.model.params["layer1.W_h"], weights)
    np.testing.assert_array_equal(loaded.state, checkpoint.state)
    assert loaded.state.flags.c_contiguous


def test_pickles_compression_and_duplicates_are_refused(path: Path) -> None:
    with np.load(path) as arrays:
        members = dict(arrays)
    np.savez_compressed("z.npz", **members)
    assert "more than the file has" in refusal(Path("z.npz"))
    assert "damaged" in refusal(rewrite(path, state=np.array([{}], object)))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("state.npy", b"")
    assert "a member occurs twice" in refusal(path)


def test_a_header_that_lies_about_its_size_allocates_nothing(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    claim = b"{'descr': '<u4', 'fortran_order': False, 'shape': (1099511627776,), }"
    members["vocabulary.npy"] = (b"\x93NUMPY\x01\x00v\x00" + claim).ljust(127) + b"\n"
    with zipfile.ZipFile("lie.npz", "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    tracemalloc.start()
    try:
        assert "vocabulary should have 4,398,046,511,104 bytes" in refusal(Path("lie.npz"))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_single_compressed_member_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile("z.npz", "w") as other:
        for info in archive.infolist():
            packed = info.filename == "counts.npy"  # it claims no more than the file has
            kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
            other.writestr(info.filename, archive.read(info), kind)
    assert "counts is compressed" in refusal(Path("z.npz"))
