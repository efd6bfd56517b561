"""A model of Keras 3, whose states are inputs and outputs; for any backend of Keras."""

import os
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from grucli.errors import UsageError
from grucli.exchange.comparison import needed
from grucli.exchange.layouts import layer_of
from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.params import Array
from grucli.run.run import Run

LAYERS = {"gru": "GRU", "gru-after": "GRU", "lstm": "LSTM", "rnn": "SimpleRNN"}
BACKENDS = ("tensorflow", "torch", "jax")


def build(keras: Any, model: Model) -> Any:
    """The model as ``keras.Model``: ids (B, T) and states (B, H) to logits (B, T, V) and states."""
    cell, H = model.cell, model.H
    settings = {"reset_after": cell == "gru-after"} if cell.startswith("gru") else {}
    ids = keras.Input((None,), dtype="int32", name="ids")
    x, states, last = keras.ops.one_hot(ids, model.V), list[Any](), list[Any]()
    weights = dict[Any, list[Array]]()
    for k, w in enumerate(model.layers(model.params), 1):
        W_x, W_h, first, second = layer_of("keras", cell, w)
        own = [keras.Input((H,), name=f"{part}_{k}") for part in CELLS[cell].STATE]
        layer = getattr(keras.layers, LAYERS[cell])(
            H, return_sequences=True, return_state=True, **settings
        )
        x, *after = layer(x, initial_state=own)
        states, last = states + own, last + after
        bias = np.stack([first, second]) if cell == "gru-after" else first
        weights[layer] = [W_x.T, W_h.T, bias]
    output = keras.layers.Dense(model.V)
    made = keras.Model([ids, *states], [output(x), *last])
    weights[output] = list(model.output(model.params))
    for layer, arrays in weights.items():
        layer.set_weights(arrays)
    return made


def export(run: Run) -> bytes:
    model = run.lm.model
    if model.separator is not None:
        raise UsageError(
            "the state of a model of documents begins anew at each of them, and no layer of Keras "
            "does that; --to onnx and --to torch write it"
        )
    os.environ.setdefault("KERAS_BACKEND", next(filter(find_spec, BACKENDS), BACKENDS[0]))
    keras = needed("keras", "keras")
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        build(keras, model).save(path)
        return path.read_bytes()
