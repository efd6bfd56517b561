"""Parameters: named arrays that are views of one flat buffer.

With one buffer, the optimizer, clipping and averaging need one line each. Gradients and moments are
in other buffers of the same layout.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Indices = npt.NDArray[np.intp]
Ids = npt.NDArray[np.integer[Any]]
Input = npt.NDArray[Any]  # ids (T, B), which stand for one-hot rows, or numbers (T, B, D)
Shapes = Mapping[str, tuple[int, ...]]


class Params:
    """Arrays by name, in the order of their shapes, which are views of one buffer, ``flat``."""

    __slots__ = ("_views", "flat", "shapes")

    def __init__(self, shapes: Shapes, dtype: npt.DTypeLike, flat: Array | None = None) -> None:
        self.shapes = dict(shapes)
        self.flat: Array = np.zeros(count(shapes), dtype) if flat is None else flat
        self._views: dict[str, Array] = {}
        end = 0
        for name, shape in self.shapes.items():
            start, end = end, end + math.prod(shape)
            self._views[name] = self.flat[start:end].reshape(shape)

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def items(self) -> Iterator[tuple[str, Array]]:
        """Names and arrays, in the order of the buffer."""
        return iter(self._views.items())

    def like(self) -> "Params":
        """Zeros of the same layout and dtype."""
        return Params(self.shapes, self.flat.dtype)


def count(shapes: Shapes) -> int:
    """Number of scalars that arrays of these shapes hold."""
    return sum(math.prod(shape) for shape in shapes.values())


def as_rows(array: Array) -> Array:
    """A view of an array as a matrix: all axes but the last become its rows."""
    return array.reshape(-1, array.shape[-1])


def chunks(rows: int, size: int) -> list[slice]:
    """Slices of all rows, ``size`` rows each; the last one may be shorter."""
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def orthogonal(W: Array, rng: np.random.Generator) -> None:
    """Overwrite each matrix of ``W`` (G, H, H) with a uniformly random orthogonal matrix."""
    for W_g in W:
        q, triangular = np.linalg.qr(rng.standard_normal(W_g.shape))
        W_g[:] = q * np.sign(np.diag(triangular))
