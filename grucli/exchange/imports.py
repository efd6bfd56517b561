"""Make a run from weights that another program, or an export, has written."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from grucli.arguments import FilePath, checked
from grucli.config import Model
from grucli.errors import CheckpointError, GrucliError, UsageError
from grucli.exchange import safetensors, torch_files
from grucli.exchange.description import OURS, members, of_stranger, read_vocabulary
from grucli.exchange.torch_names import Named, our_names
from grucli.files import open_file, read_json, sha256
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint
from grucli.run.names import RUNS
from grucli.run.records import IMPORTED
from grucli.run.run import Run
from grucli.run.writer import new_paths, write_run

DESCRIBED = ("vocabulary", "counts", "meta")  # what a header has of a model
ZIP = b"PK\x03\x04"  # the first bytes of what torch.save writes


@checked
def import_model(
    file: FilePath,
    *,
    vocabulary: FilePath | None = None,
    name: str | None = None,
    runs_dir: FilePath | None = None,
) -> Run:
    """Make a run directory from the weights in a file of safetensors or of ``torch.save``.

    The file is an export of this program, or has the arrays of an ``nn.GRU``, ``nn.LSTM`` or
    ``nn.RNN`` and of a linear layer after it, by PyTorch's names; before it there may be an
    embedding. No code in the file is run (docs/exchange.md).

    Args:
        file: the weights.
        vocabulary: the symbols in the order of their ids, unless they stand beside the weights: a
            JSON list in a file whose name ends in .json, or a text in which each occurs once.
        name: suffix of the run directory's name; None takes the name of the file.
        runs_dir: the directory for the new run directory; None means ``runs``.

    Raises:
        CheckpointError: the file is damaged, or holds another kind of model.
        UsageError: the vocabulary is missing or not one, or PyTorch is needed and missing.
    """
    try:
        checkpoint = _read(file, vocabulary)
        origin = {"path": str(file.resolve()), "sha256": sha256(file)}
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror or error}") from None
    except GrucliError:
        raise
    except Exception as error:  # json, zipfile, numpy and pydantic have their own errors
        reason = checkpoints.reason(error)
        raise CheckpointError(f"{file}: cannot be imported: {reason}") from None
    text, level = checkpoint.text_id, checkpoint.settings.data.level
    corpus = {"chars": text.chars if text.is_known else None, "level": level}
    info = {"status": IMPORTED, "corpus": corpus, **checkpoint.facts, "imported": origin}
    return Run(write_run(new_paths(runs_dir or RUNS, name or file.stem), checkpoint, info))


def _read(path: Path, vocabulary: Path | None) -> Checkpoint:
    arrays, told = _opened(path)
    model, weights = (None, arrays) if "layer1.W_x" in arrays else our_names(arrays)
    if told is None:
        if model is None:
            raise ValueError("it does not say what its arrays are; export the run again")
        if vocabulary is None:
            ours = "; an export of grucli needs its .json file beside it" * (path.suffix == ".pt")
            raise UsageError(
                f"{path}: says nothing of its vocabulary; give the symbols in the order of their "
                "ids with --vocabulary FILE: a JSON list (.json), or a text in which each occurs "
                f"once{ours}"
            )
        told = _with_vocabulary(vocabulary, model, weights)
    elif vocabulary is not None:
        raise UsageError(f"{path}: its vocabulary stands with it; leave out --vocabulary")
    made = checkpoints.from_members(path, members(told, weights))
    if model is not None and model.variant != made.model.cell:
        raise ValueError(f"its arrays are of the cell {model.variant}, not {made.model.cell}")
    return made


def _opened(path: Path) -> tuple[Named, dict[str, Any] | None]:
    """The arrays, and what this program has said of them in the header, or in a file beside."""
    with open_file(path) as file:
        of_torch = file.read(4) == ZIP
    if of_torch:
        arrays, told = torch_files.load(path), {}
        with suppress(OSError, ValueError):  # another file may have this name
            told = read_json(path.with_suffix(".json"))
        return arrays, told if OURS.items() <= told.items() else None
    arrays, header = safetensors.load(path)
    if not OURS.items() <= header.items():
        return arrays, None
    # other programs may have added texts of their own
    return arrays, {key: json.loads(header[key]) for key in DESCRIBED if key in header}


def _with_vocabulary(path: Path, model: Model, weights: Named) -> dict[str, Any]:
    """The description of a model of others, whose symbols are put into ascending order."""
    symbols, V = read_vocabulary(path), len(weights["output.b_c"])
    if len(symbols) != V:
        raise UsageError(f"{path}: has {len(symbols):,} symbols, and the model predicts {V:,}")
    order = sorted(range(V), key=symbols.__getitem__)
    for name, axis in (("layer1.W_x", 1), ("output.W_hc", 1), ("output.b_c", 0)):
        weights[name] = weights[name].take(order, axis)
    return of_stranger(model, sorted(symbols))
