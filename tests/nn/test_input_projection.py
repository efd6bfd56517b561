"""The gradients of the input projection, against a product with one-hot rows."""

from types import SimpleNamespace

import numpy as np
import pytest

from grucli.nn import input_projection
from grucli.nn.matmul import Blocks


@pytest.mark.parametrize("numbers", [1, 24, 60, 2**17])
@pytest.mark.parametrize("alphabet", [1, 3, 40])
def test_rows_are_summed_by_character_however_many_are_sorted_at_once(
    numbers: int, alphabet: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_projection, "SORTED_AT_ONCE", numbers)
    T, B, G, D, H = 7, 5, 3, 41, 6
    rng = np.random.default_rng(0)
    ids, da = rng.integers(0, alphabet, (T, B)), rng.standard_normal((G, T, B, H))
    dw = SimpleNamespace(W_x=np.full((G, D, H), np.nan), b=np.full((G, H), np.nan))
    input_projection.project_backward(Blocks.view(dw.W_x, B), ids, da, dw, np.empty((T, B, H)))
    expected = np.einsum("tbd,gtbh->gdh", np.eye(D)[ids], da)
    np.testing.assert_allclose(dw.W_x, expected, atol=1e-12)
    np.testing.assert_allclose(dw.b, da.sum(axis=(1, 2)), atol=1e-12)
