from typing import get_args

import numpy as np
import pytest

from grucli.errors import UsageError
from grucli.exchange.layouts import ORDER, Program, layer_of, our_layer, stacked, unstacked
from tests.exchange.models import CELLS, checkpoint_of


@pytest.mark.parametrize("program", get_args(Program))
@pytest.mark.parametrize("cell", CELLS)
def test_our_arrays_come_back_from_every_program(program: Program, cell: str) -> None:
    model = checkpoint_of(cell, 2).model
    for number, w in enumerate(model.layers(model.params), 1):
        back = our_layer(program, cell, *layer_of(program, cell, w))
        names = {name for name in model.params.shapes if name.startswith(f"layer{number}.")}
        assert {f"layer{number}.{name}" for name in back} == names
        for name, array in back.items():
            np.testing.assert_array_equal(array, model.params[f"layer{number}.{name}"])


def test_the_update_gate_changes_its_sign_and_the_order_is_that_of_the_program() -> None:
    W = np.arange(1.0, 13).reshape(3, 2, 2)  # z, r, n
    z, r, n = W[0].T, W[1].T, W[2].T
    np.testing.assert_array_equal(stacked("onnx", "gru", W), np.concatenate([-z, r, n]))
    np.testing.assert_array_equal(stacked("torch", "gru", W), np.concatenate([r, -z, n]))


def test_no_zero_becomes_negative() -> None:
    b = np.zeros((3, 4), np.float32)
    for array in (stacked("torch", "gru", b), unstacked("torch", "gru", -b.ravel())):
        assert not np.signbit(array).any()
        assert array.dtype == np.float32


def test_a_cell_that_a_program_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ORDER["onnx"], "gru")
    model = checkpoint_of("gru").model
    with pytest.raises(UsageError, match="onnx has no layer like the cell gru"):
        layer_of("onnx", "gru", model.layers(model.params)[0])
