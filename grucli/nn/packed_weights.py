"""Packed weights: copies of a model's matrices in the layout that products of a few rows need.

Products of a few rows are faster with matrices in narrow blocks of columns (``nn/matmul``). The
backward pass multiplies by transposed matrices. The copies are made once per training step.
"""

from collections.abc import Sequence
from typing import Any

from grucli.nn.matmul import best_width, blocks, copy_transposed
from grucli.nn.onednn.weights import TRANSPOSED, OneDNNWeights, multiplied, packed_layouts, size
from grucli.nn.params import Array, Params, Shapes, count
from grucli.nn.products import Products


def packed_shapes(shapes: Shapes, rows: int, *, backward: bool = True) -> Shapes:
    """Names and shapes of the packed matrices of a model.

    Matrices that need no blocking are left out.

    Args:
        shapes: names and shapes of the model's parameters.
        rows: rows of the products, which is the number of streams.
        backward: include the transposed matrices.
    """
    named: dict[str, tuple[int, ...]] = {}
    for name, (G, K, N) in multiplied(shapes):
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


class PackedWeights:
    """Packed copies of parameters.

    Args:
        params: the parameters.
        rows: rows of the products, which is the number of streams.
        backward: include the transposed matrices, which the backward pass needs.
        flat: a buffer that already holds current copies; a new buffer if omitted.
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
        """Copy the current parameters."""
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
    def W_hc(self) -> Array:  # noqa: N802 - the symbol of the equations
        """The output weights in one block, (1, H, V)."""
        return self.params["output.W_hc"][None]

    @property
    def W_hc_T(self) -> Array:  # noqa: N802
        """The output weights, transposed, in one block, (1, V, H)."""
        return self.copies["output.W_hc" + TRANSPOSED][None]

    def _in_blocks(self, number: int, w: Any, suffix: str = "") -> Any:
        """One layer's weights; a matrix that was not copied is one block."""
        return w._replace(
            W_x=self.copies.get(f"layer{number}.W_x{suffix}", w.W_x[:, None]),
            W_h=self.copies.get(f"layer{number}.W_h{suffix}", w.W_h[:, None]),
        )


Packed = PackedWeights | OneDNNWeights
"""The packed weights of any library."""


def packed_weights(
    products: Products,
    params: Params,
    rows: int,
    *,
    backward: bool = True,
    flat: Array | None = None,
) -> Packed:
    """Packed copies for the products of a library; arguments as for ``PackedWeights``."""
    if products.library == "onednn":
        return OneDNNWeights(params, rows, products.precision, backward=backward, flat=flat)
    return PackedWeights(params, rows, backward=backward, flat=flat)


def packed_size(products: Products, shapes: Shapes, rows: int) -> int:
    """Numbers in the buffer of packed weights for training."""
    if products.library == "onednn":
        return size(packed_layouts(shapes, rows, products.precision))
    return count(packed_shapes(shapes, rows))
