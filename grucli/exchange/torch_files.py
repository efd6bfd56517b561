"""A state dict of PyTorch, with a module beside it that computes the model."""

import io
import json
import warnings
import zipfile
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

from grucli.errors import CheckpointError, UsageError
from grucli.exchange.comparison import needed
from grucli.exchange.description import describe
from grucli.exchange.layouts import layer_of
from grucli.nn.cells import in_words
from grucli.nn.model import Model
from grucli.nn.params import Array
from grucli.run.checkpoint import reason
from grucli.run.run import Run

LAYERS = {"gru": "GRUBefore", "gru-after": "nn.GRU", "lstm": "nn.LSTM", "rnn": "nn.RNN"}
META = "meta.npy"  # a member of the checkpoints of this program
NESTED = ("state_dict", "model_state_dict", "model")  # where a dict may hold the state dict


def state_dict(model: Model) -> dict[str, Array]:
    # the module of a GRU with the reset gate before the product has one bias
    biases = ("bias",) if model.cell == "gru" else ("bias_ih", "bias_hh")
    names = ("weight_ih", "weight_hh", *biases)
    output = model.output(model.params)
    named = {"output.weight": output.W_hc.T, "output.bias": output.b_c}
    for k, w in enumerate(model.layers(model.params)):
        arrays = zip(names, layer_of("torch", model.cell, w), strict=False)
        named |= {f"recurrent.{name}_l{k}": array for name, array in arrays}
    return named


def export(run: Run, path: Path) -> dict[str, bytes]:
    """The state dict, the module and the description, by name; ``path`` is that of the first."""
    torch, model, buffer = needed("torch", "torch"), run.lm.model, io.BytesIO()
    arrays = state_dict(model).items()
    torch.save({key: torch.tensor(np.ascontiguousarray(array)) for key, array in arrays}, buffer)
    described = json.dumps(describe(run.checkpoint), indent=1) + "\n"
    source = module(model.cell, path.name)
    beside = {".py": source.encode(), ".json": described.encode()}
    return {path.name: buffer.getvalue(), **{path.stem + end: one for end, one in beside.items()}}


def module(cell: str, name: str) -> str:
    model, before = (
        files("grucli.exchange").joinpath(f"{source}.txt").read_text("utf-8")
        for source in ("torch_model", "torch_gru_before")
    )
    return Template(model).substitute(
        what=in_words(cell.partition("-")[0]),
        path=json.dumps(name),  # no quote in it can end the text around it
        before=before if cell == "gru" else "",
        layer=LAYERS[cell],
    )


def load(path: Path) -> dict[str, Array]:
    """The arrays in a file of ``torch.save``, which torch itself reads, without running code."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        if sum(max(one.file_size, one.compress_size) for one in archive.infolist()) > size:
            raise ValueError("its members claim more bytes than the file has")
        if META in archive.namelist():
            raise UsageError(f"{path}: is a checkpoint; sample, eval and export take it as it is")
    torch = needed("torch", "torch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an error is enough
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{path}: PyTorch does not read it ({reason(error).strip().splitlines()[0]}); save the "
            "weights alone: torch.save(model.state_dict(), PATH)"
        ) from None
    if isinstance(loaded, dict):
        loaded = next((loaded[key] for key in NESTED if isinstance(loaded.get(key), dict)), loaded)
    if not isinstance(loaded, dict) or not all(map(torch.is_tensor, loaded.values())):
        raise ValueError("it is not a state dict: torch.save(model.state_dict(), PATH) writes one")
    if sum(tensor.numel() for tensor in loaded.values()) > size:
        raise ValueError("its arrays claim more numbers than the file has")
    for name, tensor in loaded.items():
        if not tensor.is_floating_point() or tensor.is_sparse:
            raise ValueError(f"{name} is not an array of real numbers")
    return {str(name): tensor.detach().double().numpy() for name, tensor in loaded.items()}
