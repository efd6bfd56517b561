import numpy as np
import pytest

from grucli.nn import gradcheck
from grucli.nn.rounding import ROUNDING

BITS = {"float32": 2.0**-24, "bfloat16": 2.0**-9}


@pytest.mark.parametrize("precision", BITS)
def test_rounding_grows_with_the_precision_and_differs_by_sample(precision: str) -> None:
    model, window = gradcheck.toy(20, 24, 2, 12, 8, 0.25, 0, recurrent=0.3)
    exact = gradcheck.gradients_of(model, window)
    first, second = (
        gradcheck.both_passes(model, window, (ROUNDING[precision], seed)) for seed in (0, 1)
    )
    for name, gradient in exact.items():
        errors = [
            np.linalg.norm(a - b) / np.linalg.norm(gradient)
            for a, b in (
                (first[name], gradient),
                (second[name], gradient),
                (first[name], second[name]),
            )
        ]
        assert all(BITS[precision] / 8 < error < 100 * BITS[precision] for error in errors), name
