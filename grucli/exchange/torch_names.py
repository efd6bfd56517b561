"""A model by PyTorch's names of its arrays: a recurrent layer, and what stands around it."""

import re

import numpy as np

from grucli.config import Model
from grucli.exchange.layouts import our_layer
from grucli.nn.params import Array

Named = dict[str, Array]

PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
RECURRENT = re.compile(rf"(?:.*\.)?((?:{'|'.join(PARTS)}|bias)_l\d+)")
NO_PLACE = {
    "_reverse": "the layer reads a text from both ends, so it cannot predict it",
    "weight_hr": "an LSTM with a projection has no counterpart here",
}
CELLS = {1: "rnn", 3: "gru", 4: "lstm"}  # by the number of gates
EMBEDDING = re.compile("emb|encoder|wte", re.IGNORECASE)  # in the name of an embedding


def our_names(arrays: Named) -> tuple[Model, Named]:
    """The settings of the network, and its parameters by our names."""
    layers, others = Named(), Named()
    for name, array in arrays.items():
        for part, reason in NO_PLACE.items():
            if part in name:
                raise ValueError(f"{name}: {reason}")
        match = RECURRENT.fullmatch(name)
        if match and match[1] in layers:
            raise ValueError(f"it has more than one recurrent layer ({name})")
        (layers if match else others)[match[1] if match else name] = array.astype(np.float64)
    G, H, L, D = _sizes(layers)
    reset = "after" if G == 3 and "bias_l0" not in layers else "before"
    size = {"cell": CELLS[G], "reset": reset, "hidden": H, "layers": L, "dropout": 0.0}
    model = Model.model_validate(size)
    _complete(layers, G, H, L, D)
    embedding, W, b = _around(others, D)
    if embedding is not None:
        layers["weight_ih_l0"] = layers["weight_ih_l0"] @ embedding.T
    named = {"output.W_hc": W.T, "output.b_c": b}
    for k in range(L):
        own = (layers[f"{part}_l{k}"] for part in PARTS)
        layer = our_layer("torch", model.variant, *own)
        named |= {f"layer{k + 1}.{name}": array for name, array in layer.items()}
    return model, named


def _sizes(layers: Named) -> tuple[int, int, int, int]:
    shapes = [layers[name].shape for name in ("weight_hh_l0", "weight_ih_l0") if name in layers]
    if [*map(len, shapes)] != [2, 2] or 0 in shapes[0] or shapes[0][0] / shapes[0][1] not in CELLS:
        raise ValueError("it has no recurrent layer like nn.GRU, nn.LSTM or nn.RNN")
    (rows, H), (_, D) = shapes
    return rows // H, H, sum(name.startswith("weight_hh") for name in layers), D


def _complete(layers: Named, G: int, H: int, L: int, D: int) -> None:
    """Add biases that a layer does not have, as zeros, and check all names and shapes."""
    expected: dict[str, tuple[int, ...]] = {}
    for k in range(L):
        if f"bias_l{k}" in layers:
            layers[f"bias_ih_l{k}"] = layers.pop(f"bias_l{k}")
        for bias in (f"bias_ih_l{k}", f"bias_hh_l{k}"):
            layers.setdefault(bias, np.zeros(G * H))
            expected[bias] = (G * H,)
        expected |= {f"weight_ih_l{k}": (G * H, H if k else D), f"weight_hh_l{k}": (G * H, H)}
    for name in sorted(expected.keys() ^ layers.keys()):
        raise ValueError(f"{name} is {'missing' if name in expected else 'not expected'}")
    for name, shape in expected.items():
        if layers[name].shape != shape:
            raise ValueError(f"{name} is {list(layers[name].shape)}, not {list(shape)}")


def _around(others: Named, D: int) -> tuple[Array | None, Array, Array]:
    """The embedding (V, D) or None; the matrix (V, H) and the bias (V,) of the linear layer."""
    matrices = {name: array for name, array in others.items() if array.ndim == 2}
    biases = [one for name, one in others.items() if name.endswith("bias") and one.ndim == 1]
    named = list(filter(EMBEDDING.search, matrices))
    embedding = matrices.pop(named[0]) if len(matrices) == 2 and len(named) == 1 else None
    used = (embedding is not None) + 1 + len(biases)
    if len(matrices) != 1 or len(biases) > 1 or used < len(others):
        raise ValueError(
            "besides its recurrent layer it must have a linear layer, and at most an embedding, "
            f"with emb in its name; it has {', '.join(sorted(others)[:8]) or 'nothing'}"
        )
    (W,) = matrices.values()
    if embedding is None and (len(W) != D or named):
        embedding = W  # one matrix serves as both
    if embedding is not None and embedding.shape != (len(W), D):
        raise ValueError(f"its embedding is {list(embedding.shape)}, not {[len(W), D]}")
    b = biases[0] if biases else np.zeros(len(W))
    if b.shape != (len(W),):
        raise ValueError(f"the bias of its linear layer is {list(b.shape)}, not {[len(W)]}")
    return embedding, W, b
