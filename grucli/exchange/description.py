"""What stands beside weights in a file: the vocabulary, the settings and the origin of a model."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from grucli.config import Model, Settings, without_former
from grucli.errors import UsageError
from grucli.files import read_small
from grucli.nn.cells import CELLS
from grucli.nn.params import Array, Ids
from grucli.run.checkpoint import FORMAT, Checkpoint, meta

OURS = {"model_type": "grucli"}
LIMIT = 2**25  # bytes of a vocabulary file

Symbols = list[Any]  # characters, or the values of bytes


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """All that a checkpoint holds besides its arrays, and the symbols by id, for JSON."""
    vocabulary = checkpoint.vocabulary
    values = vocabulary.symbols.tolist()
    symbols = values if vocabulary.level == "byte" else list(map(chr, values))
    named = {"vocabulary": symbols, "counts": checkpoint.counts.tolist()}
    told, data = meta(checkpoint.calibrated), checkpoint.settings.data.without_folders()
    told["settings"]["data"] = data.model_dump(mode="json")
    return {**OURS, **named, "separator": checkpoint.model.separator, "meta": told}


def as_texts(description: dict[str, Any]) -> dict[str, str]:
    """The same for a header that holds texts alone: JSON, except for what is a text."""
    return {k: one if isinstance(one, str) else json.dumps(one) for k, one in description.items()}


def of_stranger(model: Model, symbols: Symbols) -> dict[str, Any]:
    """The description of a model of which no text is known: all symbols are equally frequent."""
    level = "byte" if type(symbols[0]) is int else "char"
    newlines = "keep" if "\r" in symbols else "unify"
    data = {"level": level, "newlines": newlines}
    V, settings = len(symbols), Settings.model_validate({"model": model, "data": data})
    origin = {"corpus": {"sha256": "", "chars": V}, "progress": {}, "window": 1}
    described = {"format": FORMAT, "settings": settings.model_dump(mode="json"), **origin}
    return {"vocabulary": symbols, "counts": [1] * V, "meta": described}


def members(description: dict[str, Any], weights: dict[str, Array]) -> dict[str, Array | Ids]:
    """The members of a checkpoint with these weights, which has no state of training."""
    symbols = checked_symbols(description.get("vocabulary"))
    numbers = [ord(one) if type(one) is str else one for one in symbols]
    described, counts = description.get("meta"), np.array(description.get("counts"))
    settings = described.get("settings") if isinstance(described, dict) else None
    model = settings.get("model", {}) if isinstance(settings, dict) else None
    if not isinstance(model, dict) or counts.dtype.kind != "i":
        raise ValueError("its description has no settings, or its counts are not whole numbers")
    size = Model.model_validate_json(json.dumps(without_former(model, "model.")))
    with np.errstate(over="ignore", under="ignore"):
        arrays = {name: array.astype(np.float32) for name, array in weights.items()}
    moments = np.zeros(sum(array.size for array in arrays.values()), np.float32)
    S = len(CELLS[size.variant].STATE)
    return {
        "meta": np.frombuffer(json.dumps(described).encode(), np.uint8),
        "vocabulary": np.array(numbers, np.uint32),
        "counts": counts,
        "adam.m": moments,
        "adam.v": moments,
        "state": np.zeros((size.layers, 1, S * size.hidden), np.float32),
        **arrays,
    }


def read_vocabulary(path: Path) -> Symbols:
    """The symbols in a file: a JSON list, or a text of them."""
    try:
        text = read_small(path, LIMIT).decode("utf-8-sig")
        return checked_symbols(json.loads(text) if path.suffix == ".json" else list(text))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is not a vocabulary: {error}") from None


def checked_symbols(symbols: Any) -> Symbols:
    """A list of characters or of byte values, none of them twice; or a ValueError."""
    if not isinstance(symbols, list) or not symbols:
        raise ValueError("it must be a list of symbols in the order of their ids")
    of_bytes = type(symbols[0]) is int
    for symbol in symbols:
        if of_bytes:
            fits = type(symbol) is int and 0 <= symbol < 256
        else:  # not half of a surrogate pair, which no text has
            fits = type(symbol) is str and len(symbol) == 1 and not "\ud800" <= symbol <= "\udfff"
        if not fits:
            kind = "byte" if of_bytes else "character"
            raise ValueError(f"{str(symbol)[:40]!r} is not one {kind}")
    ((symbol, occurs),) = Counter(symbols).most_common(1)
    if occurs > 1:
        raise ValueError(f"it has {symbol!r} {occurs:,} times, and each symbol has one id")
    return symbols
