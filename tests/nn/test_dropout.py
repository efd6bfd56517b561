import math

import numpy as np
import pytest

from grucli.nn.dropout import dropout_masks


@pytest.mark.parametrize("rate", [0.001, 0.3, 0.9])
def test_dropout_masks_zero_their_share_and_keep_the_mean(rate: float) -> None:
    masks = dropout_masks(np.random.default_rng(0), rate, (3, 499, 21, 43), np.float64)
    dropped = 2**-16 * round(rate * 2**16)
    assert set(np.unique(masks)) == {0.0, 1 / (1 - dropped)}
    spread = math.sqrt(rate * (1 - rate) / masks.size)
    assert (masks == 0).mean() == pytest.approx(rate, abs=4 * spread + 2**-16)


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_a_rate_next_to_none_or_to_all_is_finite(rate: float) -> None:
    masks = dropout_masks(np.random.default_rng(0), rate, (3, 1), np.float32)
    np.testing.assert_array_equal(masks, 1.0 if rate < 0.5 else 0.0)
