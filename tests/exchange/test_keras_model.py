"""The model as Keras computes it, with a backend that is installed."""

import os
from importlib.util import find_spec

import numpy as np
import pytest

import grucli
from grucli.errors import UsageError
from grucli.exchange.keras_model import BACKENDS
from tests.exchange.models import CELLS, log_probs, make_run, text_of

pytestmark = pytest.mark.skipif(
    not find_spec("keras") or not any(map(find_spec, BACKENDS)), reason="needs Keras and a backend"
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_it_computes_what_this_program_computes(cell: str, layers: int) -> None:
    run = make_run(cell, layers)
    path = grucli.export(run.path, "keras").path
    import keras

    loaded, (x, targets, own) = keras.models.load_model(path), text_of(run, 40)
    state = [np.zeros((1, 9), np.float32)] * (len(loaded.inputs) - 1)
    logits, *state = loaded.predict_on_batch([x[:30].T.astype(np.int32), *state])
    rest, *_ = loaded.predict_on_batch([x[30:].T.astype(np.int32), *map(np.asarray, state)])
    both = np.concatenate([logits, rest], axis=1).swapaxes(0, 1)
    np.testing.assert_allclose(log_probs(both, targets), own, atol=1e-5)
    assert os.environ["KERAS_BACKEND"] in BACKENDS


def test_the_model_of_a_list_is_refused() -> None:
    run = make_run("gru", 1, "lines")
    with pytest.raises(UsageError, match="no layer of Keras does that; --to onnx"):
        grucli.export(run.path, "keras")
