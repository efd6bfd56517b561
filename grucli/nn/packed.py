"""Copies of a model's matrices, laid out as products with a given number of rows read them.

``nn/matmul`` says why: products of a few rows are faster with matrices in narrow blocks of columns,
and the backward pass multiplies by transposed matrices. The copies are made once a training step.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from grucli.nn.matmul import best_width, blocks, copy_transposed
from grucli.nn.params import Array, Params, Shapes

TRANSPOSED = "^T"
"""Ends the name of a transposed matrix."""


def packed_shapes(shapes: Shapes, rows: int, *, backward: bool = True) -> Shapes:
    """Names and shapes of the packed matrices of a model.

    Matrices that need no blocking are left out.

    Args:
        shapes: of the model's parameters.
        rows: of the products, that is streams.
        backward: also the transposed matrices.
    """
    named: dict[str, tuple[int, ...]] = {}
    for name, (G, K, N) in _multiplied(shapes):
        n = best_width(rows, K, N)
        if n < N:
            named[name] = (G, N // n, K, n)
        if backward:
            n = best_width(rows, N, K)
            named[name + TRANSPOSED] = (G, K // n, N, n)
    if backward:
        H, V = shapes["output.W_hc"]
        named["output.W_hc" + TRANSPOSED] = (V, H)
    return named


def _multiplied(shapes: Shapes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The layers' matrices (G, K, N); characters select rows of the first layer's W_x."""
    for name, shape in shapes.items():
        if len(shape) == 3 and name != "layer1.W_x":
            yield name, shape


class PackedWeights:
    """Packed copies of parameters.

    Args:
        params: what they are copies of.
        rows: of the products, that is streams.
        backward: whether the backward pass will need them too.
        flat: a buffer to use, which holds up-to-date copies; a new one if omitted.
    """

    def __init__(
        self, params: Params, rows: int, *, backward: bool = True, flat: Array | None = None
    ) -> None:
        self.params = params
        shapes = packed_shapes(params.shapes, rows, backward=backward)
        self.copies = Params(shapes, params.flat.dtype, flat)
        if flat is None:
            self.update()

    def update(self) -> None:
        """Copy the parameters as they are now."""
        for name, copy in self.copies.items():
            matrix = self.params[name.removesuffix(TRANSPOSED)]
            if not name.endswith(TRANSPOSED):
                copy[:] = blocks(matrix, copy.shape[-1])
            elif copy.ndim == 2:
                copy_transposed(matrix.T, copy)
            else:
                copy_transposed(blocks(matrix.swapaxes(-1, -2), copy.shape[-1]), copy)

    def forward(self, layers: Sequence[Any]) -> list[Any]:
        """Each layer's weights, with their matrices in blocks."""
        return [self._in_blocks(number, w) for number, w in enumerate(layers, start=1)]

    def transposed(self, layers: Sequence[Any]) -> list[Any]:
        """Each layer's weights, with their matrices transposed, then in blocks."""
        swapped = [w._replace(W_x=w.W_x.swapaxes(1, 2), W_h=w.W_h.swapaxes(1, 2)) for w in layers]
        return [self._in_blocks(number, w, TRANSPOSED) for number, w in enumerate(swapped, start=1)]

    @property
    def W_hc_T(self) -> Array:  # noqa: N802 - the symbol of the equations
        """The output weights, transposed, (V, H)."""
        return self.copies["output.W_hc" + TRANSPOSED]

    def _in_blocks(self, number: int, w: Any, suffix: str = "") -> Any:
        """The copies of one layer; what needs none is one block."""
        return w._replace(
            W_x=self.copies.get(f"layer{number}.W_x{suffix}", w.W_x[:, None]),
            W_h=self.copies.get(f"layer{number}.W_h{suffix}", w.W_h[:, None]),
        )
