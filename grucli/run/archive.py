"""Arrays in an .npz file. Type and shape are checked before the data are read."""

import errno
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Shape = tuple[int | None, ...]  # sizes of an array; None allows any size


class Archive:
    """Named arrays in a file of ``np.savez``; a ValueError says what is wrong with another file."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive = archive
        self.members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(self.members) != len(archive.infolist()):
            raise ValueError("a member occurs twice")
        claimed = sum(max(m.file_size, m.compress_size) for m in archive.infolist())
        if claimed > size:
            raise ValueError(f"its members claim {claimed:,} bytes, more than the file has")

    def check(self, name: str, dtype: npt.DTypeLike, shape: Shape) -> None:
        """Check the type, shape and size of an array without reading its data."""
        info = self.members[name]
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        with self.archive.open(info) as file:
            if (version := np.lib.format.read_magic(file)) != (1, 0):
                raise ValueError(f"array format {version} is not one that grucli writes")
            actual, _, actual_type = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
        fits = len(actual) == len(shape) and all(
            size in (None, has) for size, has in zip(shape, actual, strict=True)
        )
        if not fits or actual_type != np.dtype(dtype):
            wanted = f"{np.dtype(dtype)}{['any' if size is None else size for size in shape]}"
            raise ValueError(f"{name} is {actual_type}{list(actual)}, not {wanted}")
        size, has = math.prod(actual) * np.dtype(dtype).itemsize, info.file_size - start
        if has != size:
            raise ValueError(f"{name} should have {size:,} bytes but has {has:,}")

    def read(self, name: str, dtype: npt.DTypeLike, shape: Shape) -> npt.NDArray[Any]:
        """Read an array of finite numbers, in any order of memory; return it in C order."""
        self.check(name, dtype, shape)
        with self.archive.open(self.members[name]) as file:
            array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            file.read(1)  # reading to the end verifies the checksum
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite")
        return np.ascontiguousarray(array)


def read_back(written: Path) -> None:
    """Compare a written file with its checksums; an OSError says that they differ."""
    try:
        with zipfile.ZipFile(written) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        damaged = str(error)
    if damaged:
        raise OSError(errno.EIO, f"the file read back is not the file that was written ({damaged})")
