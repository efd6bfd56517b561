"""Which library computes the matrix products of training, and in which precision."""

from typing import Literal, NamedTuple

from grucli.nn import onednn, onednn_matrix
from grucli.nn.kernels import PLAIN, Kernels
from grucli.nn.matmul import UNPACKED, BlockLayout, best_width
from grucli.nn.onednn import Precision, Unavailable

LibraryName = Literal["numpy", "onednn"]


class Backend(NamedTuple):
    """The library of a model's products. NumPy computes in the precision of the arrays."""

    library: LibraryName = "numpy"
    precision: Precision = "float32"  # of the two factors of a product; sums are in float32
    compiled: bool = False  # whether what lies between the products is compiled

    def __str__(self) -> str:
        return f"{self.library} {self.precision}{', compiled' if self.compiled else ''}"

    @property
    def kernels(self) -> Kernels:
        if not self.compiled:
            return PLAIN
        from grucli.nn.compiled.kernels import COMPILED  # Numba is an extra, and slow to load

        return COMPILED

    def layout(
        self, rows: int, K: int, N: int, *, by_row: bool = False
    ) -> BlockLayout | onednn_matrix.Layout:
        """How weights (K, N) are stored for products with that many rows, or row by row."""
        if self.library == "onednn":
            return onednn_matrix.layout(rows, K, N, self.precision, by_row=by_row)
        return BlockLayout(K, N, N if by_row else best_width(rows, K, N))


NUMPY = Backend()


def select(
    library: Literal["auto"] | LibraryName, precision: Literal["auto", "float32", "bfloat16"]
) -> Backend:
    """Select by what is installed, and what the processor has, or raise ``Unavailable``."""
    if library == "numpy":
        if precision == "bfloat16":
            raise Unavailable("products in bfloat16 need oneDNN, but the library is numpy")
        return NUMPY
    try:
        loaded = usable()
    except Unavailable:
        if library == "onednn" or precision == "bfloat16":
            raise
        return NUMPY
    if precision == "bfloat16" and not loaded.has_bfloat16:
        raise Unavailable("the processor has no instructions for bfloat16 (AVX512-BF16)")
    if precision == "auto":  # losses are as low in bfloat16 (``docs/benchmarks.md``)
        precision = "bfloat16" if loaded.bfloat16_is_faster else "float32"
    return Backend("onednn", precision)


def usable() -> onednn.Library:
    """The library of oneDNN; ``Unavailable`` if it would not be faster than NumPy here."""
    loaded = onednn.load()
    if not loaded.isa & onednn.HAS_AVX512:
        raise Unavailable("the processor has no AVX-512, without which oneDNN is not used")
    return loaded


def why_not_used() -> str | None:
    """Why an installed oneDNN is not used; None if it is used, or not installed."""
    if not onednn.candidates():
        return None
    try:
        usable()
    except Unavailable as reason:
        return str(reason)
    return None


def fingerprint(backend: Backend) -> str:
    """All that changes results: the library, its version and instructions, and the precision."""
    if backend.library == "numpy":
        return f"numpy, {'in blocks' if UNPACKED else 'whole'}"
    library = onednn.load()
    return f"oneDNN {library.version} ({library.isa:#x}), {backend.precision}"
