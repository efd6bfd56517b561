"""Packed weights for the products of oneDNN, with the interface of ``packed_weights``."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from grucli.nn.onednn.library import Precision
from grucli.nn.onednn.packed_matrices import Layout, PackedMatrices, layout
from grucli.nn.params import Array, Params, Shapes

TRANSPOSED = "^T"
"""Suffix of the name of a transposed matrix."""

ALIGNED = 16
"""Buffers begin at a multiple of this number of float32, which is 64 bytes."""


def packed_layouts(
    shapes: Shapes, rows: int, precision: Precision, *, backward: bool = True
) -> dict[str, tuple[int, Layout]]:
    """The matrices that products use, each with its number of gates and its layout.

    Args:
        shapes: names and shapes of the model's parameters.
        rows: rows of the products, which is the number of streams.
        precision: the precision of the factors.
        backward: include the transposed matrices.
    """
    named: dict[str, tuple[int, Layout]] = {}
    H, V = shapes["output.W_hc"]
    for name, (G, K, N) in [*multiplied(shapes), ("output.W_hc", (1, H, V))]:
        plain = name == "output.W_hc"
        named[name] = G, layout(rows, K, N, precision, plain=plain)
        if backward:
            named[name + TRANSPOSED] = G, layout(rows, N, K, precision, plain=plain)
    return named


def multiplied(shapes: Shapes) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """The matrices (G, K, N) of all layers, but not layer 1's W_x, whose rows are only selected."""
    for name, shape in shapes.items():
        if len(shape) == 3 and name != "layer1.W_x":
            yield name, (shape[0], shape[1], shape[2])


class OneDNNWeights:
    """Copies of parameters in the layout of oneDNN.

    Args:
        params: the parameters, float32.
        rows: rows of the products, which is the number of streams.
        precision: the precision of the factors.
        backward: include the transposed matrices, which the backward pass needs.
        flat: a buffer that already holds current copies, (``size``,); a new buffer if omitted.
    """

    def __init__(
        self,
        params: Params,
        rows: int,
        precision: Precision,
        *,
        backward: bool = True,
        flat: Array | None = None,
    ) -> None:
        self.params = params
        layouts = packed_layouts(params.shapes, rows, precision, backward=backward)
        buffer = _aligned(size(layouts)) if flat is None else flat
        copies = Params(
            {name: (G, form.numbers) for name, (G, form) in layouts.items()}, "f4", buffer
        )
        self.matrices = {
            name: PackedMatrices(form, list(copies[name])) for name, (_, form) in layouts.items()
        }
        if flat is None:
            self.update()

    def update(self) -> None:
        """Copy the current parameters."""
        for name, matrices in self.matrices.items():
            matrix = self.params[name.removesuffix(TRANSPOSED)]
            matrix = matrix[None] if matrix.ndim == 2 else matrix
            matrices.pack(matrix.swapaxes(1, 2) if name.endswith(TRANSPOSED) else matrix)

    def forward(self, layers: Sequence[Any]) -> list[Any]:
        """Each layer's weights, with packed matrices."""
        return [self._packed(number, w) for number, w in enumerate(layers, start=1)]

    def transposed(self, layers: Sequence[Any]) -> list[Any]:
        """Each layer's weights, with packed matrices that are transposed."""
        return [self._packed(number, w, TRANSPOSED) for number, w in enumerate(layers, start=1)]

    @property
    def W_hc(self) -> PackedMatrices:  # noqa: N802 - the symbol of the equations
        """The output weights, (1, H, V)."""
        return self.matrices["output.W_hc"]

    @property
    def W_hc_T(self) -> PackedMatrices:  # noqa: N802
        """The output weights, transposed, (1, V, H)."""
        return self.matrices["output.W_hc" + TRANSPOSED]

    def _packed(self, number: int, w: Any, suffix: str = "") -> Any:
        """One layer's weights; the rows of layer 1's W_x are selected from the parameters."""
        W_x = self.matrices.get(f"layer{number}.W_x{suffix}", w.W_x[:, None])
        return w._replace(W_x=W_x, W_h=self.matrices[f"layer{number}.W_h{suffix}"])


def size(layouts: dict[str, tuple[int, Layout]]) -> int:
    """Numbers in the buffer of packed matrices."""
    return sum(G * form.numbers for G, form in layouts.values())


def _aligned(numbers: int) -> Array:
    """Zeros whose first byte has an address that is a multiple of 64."""
    buffer: Array = np.zeros(numbers + ALIGNED, np.float32)
    start = -(buffer.__array_interface__["data"][0] // 4) % ALIGNED
    return buffer[start : start + numbers]
