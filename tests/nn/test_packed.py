import numpy as np
import pytest

from grucli.nn.backend import NUMPY, Backend, usable
from grucli.nn.model import Model
from grucli.nn.onednn import Unavailable
from grucli.nn.packed import PackedWeights, packed_size

try:
    ALL = [NUMPY, Backend("onednn"), *[Backend("onednn", "bfloat16")] * usable().has_bfloat16]
except Unavailable:
    ALL = [NUMPY]


@pytest.mark.parametrize("backend", ALL, ids=str)
def test_weights_are_packed_into_the_reserved_buffer(backend: Backend) -> None:
    model = Model(20, 256, 2, backend=backend)
    model.initialize(np.random.default_rng(0))
    buffer = np.zeros(packed_size(model.params.shapes, 32, backend), np.float32)
    packed = PackedWeights(model.params, 32, backend, flat=buffer)
    h, c = np.ones((32, 256), "f4"), np.ones((32, 20), "f4")
    W_h, W_hc = model.params["layer2.W_h"], model.params["output.W_hc"]
    for factor in (1.0, 2.0):  # of the parameters since the copies were made
        model.params.flat[:] *= factor
        packed.update()
        for product, expected in [
            (h @ packed["layer2.W_h"][1], h @ W_h[1]),
            (h @ packed["layer2.W_h"].T[1], h @ W_h[1].T),
            (h @ packed["layer2.W_h"][1:][0].T, h @ W_h[1].T),
            (h @ packed["output.W_hc"], h @ W_hc),
            (c @ packed["output.W_hc"].T, c @ W_hc.T),
        ]:
            np.testing.assert_allclose(product, expected, rtol=0.01, atol=0.05)
    with pytest.raises(ValueError, match="reshape"):
        PackedWeights(model.params, 32, backend, flat=buffer[:-16])


@pytest.mark.parametrize("backend", ALL, ids=str)
def test_what_is_no_matrix_is_the_parameter(backend: Backend) -> None:
    model = Model(20, 8, 2, backend=backend)
    assert model.packed(3)["layer2.b"] is model.params["layer2.b"]
