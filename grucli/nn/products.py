"""Which library computes the matrix products of training, and in which precision."""

from typing import Literal, NamedTuple

from grucli.nn.matmul import UNPACKED
from grucli.nn.onednn import library as onednn
from grucli.nn.onednn.library import Precision, Unavailable

LibraryName = Literal["numpy", "onednn"]
"""The libraries that compute products."""


class Products(NamedTuple):
    """The products of a model.

    Attributes:
        library: the library. NumPy is always there, and computes in the precision of the arrays.
        precision: the precision of the two factors of a product. Sums are in float32.
    """

    library: LibraryName = "numpy"
    precision: Precision = "float32"

    def __str__(self) -> str:
        return f"{self.library} {self.precision}"

    @property
    def exact(self) -> "Products":
        """The same library, with factors in float32."""
        return self._replace(precision="float32")


NUMPY = Products()
"""The products of NumPy."""


def choose(
    library: Literal["auto"] | LibraryName, precision: Literal["auto", "float32", "bfloat16"]
) -> Products:
    """Choose products by what is installed and what the processor has, never by measured times.

    Args:
        library: auto takes oneDNN if it can be used here.
        precision: auto takes bfloat16 if the processor has instructions for it. The losses are
            then as low as in float32 (``docs/benchmarks.md``).

    Raises:
        Unavailable: what was asked for is not to be had here.
    """
    if library == "numpy":
        if precision == "bfloat16":
            raise Unavailable("products in bfloat16 need oneDNN, but the library is numpy")
        return NUMPY
    try:
        found = usable()
    except Unavailable:
        if library == "onednn" or precision == "bfloat16":
            raise
        return NUMPY
    if precision == "bfloat16" and not found.has_bfloat16:
        raise Unavailable("the processor has no instructions for bfloat16 (AVX512-BF16)")
    if precision == "auto":
        precision = "bfloat16" if found.has_bfloat16 else "float32"
    return Products("onednn", precision)


def float32_products(library: Literal["auto"] | LibraryName) -> Products:
    """Products in float32 of a library, or of NumPy if it cannot be used here."""
    try:
        return choose(library, "float32")
    except Unavailable:
        return NUMPY


def usable() -> onednn.Library:
    """The library of oneDNN.

    Raises:
        Unavailable: it cannot be loaded, or is not faster than NumPy on this processor.
    """
    found = onednn.load()
    if not found.isa & onednn.HAS_AVX512:
        raise Unavailable("the processor has no AVX-512, without which oneDNN is not used")
    return found


def why_not_used() -> str | None:
    """Why an installed oneDNN is not used; None if it is used, or not installed."""
    if not onednn.candidates():
        return None
    try:
        usable()
    except Unavailable as reason:
        return str(reason)
    return None


def described(products: Products) -> str:
    """The library, its version and instructions, and the precision: all that changes results."""
    if products.library == "numpy":
        return f"numpy, {'in blocks' if UNPACKED else 'whole'}"
    library = onednn.load()
    return f"oneDNN {library.version} ({library.isa:#x}), {products.precision}"
