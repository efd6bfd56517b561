"""The weights of a model, packed for the products of a backend.

Products of a few rows are faster with matrices in another layout. The backward pass multiplies by
transposed matrices. The copies are made once per training step.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from grucli.nn.backend import Backend
from grucli.nn.matmul import BlockLayout, Blocks, Matrix
from grucli.nn.onednn_matrix import Layout, OneDNNMatrix
from grucli.nn.params import Array, Params, Shapes

OUTPUT = "output.W_hc"  # it is multiplied by many rows at once
ALIGNED = 16  # buffers begin at a multiple of this number of float32, which is 64 bytes


class PackedWeights:
    """Parameters by name, with a ``Matrix`` for each weight matrix and products of ``rows`` rows.

    ``backward`` includes the transposed matrices. ``flat`` is a buffer (``packed_size``,) that
    already holds current copies.
    """

    def __init__(
        self,
        params: Params,
        rows: int,
        backend: Backend,
        *,
        backward: bool = True,
        flat: Array | None = None,
    ) -> None:
        copies = list(_copies(params.shapes, rows, backend, backward=backward))
        buffer = aligned(_size(copies), params.flat.dtype) if flat is None else flat
        self._params = params
        self._matrices: dict[str, Matrix] = {
            name: Blocks.view(array, rows=1)
            for name, array in params.items()
            if array.ndim == 3 or name == OUTPUT
        }
        self._copies: list[tuple[Array, Blocks | OneDNNMatrix]] = []
        for name, transposed, G, layout in copies:
            own, buffer = np.split(buffer, [G * layout.numbers])
            copy, array = layout.matrix(own.reshape(G, layout.numbers)), params[name]
            matrix = copy if array.ndim == 3 else copy[0]
            if transposed:
                self._matrices[name].transposed = matrix
            else:
                self._matrices[name] = matrix
            array = array.reshape(G, *array.shape[-2:])
            self._copies.append((array.swapaxes(1, 2) if transposed else array, copy))
        if not backward:
            for one in self._matrices.values():
                one.transposed = None
        if flat is None:
            self.update()

    def update(self) -> None:
        for source, copy in self._copies:
            copy.pack(source)

    def __getitem__(self, name: str) -> Any:
        matrix = self._matrices.get(name)
        return self._params[name] if matrix is None else matrix


def packed_size(shapes: Shapes, rows: int, backend: Backend) -> int:
    """Numbers in the buffer of packed weights for training."""
    return _size(_copies(shapes, rows, backend, backward=True))


_Copy = tuple[str, bool, int, BlockLayout | Layout]  # parameter, transposed?, gates, storage


def _copies(shapes: Shapes, rows: int, backend: Backend, *, backward: bool) -> Iterator[_Copy]:
    """What is copied; not layer 1's W_x, whose rows are only selected."""
    for name, shape in shapes.items():
        if (len(shape) == 3 and name != "layer1.W_x") or name == OUTPUT:
            *gates, K, N = shape
            G = gates[0] if gates else 1
            forward = backend.layout(rows, K, N, by_row=name == OUTPUT)
            if not forward.is_plain:
                yield name, False, G, forward
            if backward:
                yield name, True, G, backend.layout(rows, N, K, by_row=name == OUTPUT)


def _size(copies: Iterable[_Copy]) -> int:
    return sum(G * layout.numbers for _, _, G, layout in copies)


def aligned(numbers: int, dtype: npt.DTypeLike) -> Array:
    """Zeros whose first byte has an address that is a multiple of 64."""
    buffer: Array = np.zeros(numbers + ALIGNED, dtype)
    start = -(buffer.__array_interface__["data"][0] // buffer.itemsize) % ALIGNED
    return buffer[start : start + numbers]
