"""Small models for the tests of the page."""

from typing import Any

import numpy as np
import numpy.typing as npt

from grucli.config import Data
from grucli.data.vocabulary import Vocabulary
from grucli.language_model import LanguageModel
from grucli.nn.model import Model

KINDS = {
    "text": np.array([10, *range(32, 127)]),
    "list": np.array([10, *range(97, 123)]),
    "Chinese": np.array([10, *range(0x4E00, 0x4E00 + 3000)]),
    "emoji": np.array([10, 32, 0xFE0F, 0x200D, *range(0x1F600, 0x1F640)]),
    "hostile": np.array(sorted(map(ord, "\x00\x1b\n\"'&<>/!-]\u2028\u202e\u200fscriptalert(1)"))),
    "byte": np.arange(256),
    "paragraphs": np.array([10, 30, 32, *range(97, 123)]),
}
"""Symbols of each kind of model."""


def language_model(
    kind: str = "text", cell: str = "gru", L: int = 1, H: int = 12, seed: int = 0
) -> LanguageModel:
    """A model with random weights that are large enough to matter."""
    rng = np.random.default_rng(seed)
    symbols = np.unique(KINDS[kind])
    separator = {"list": 0, "paragraphs": 1}.get(kind)
    model = Model(len(symbols), H, L, cell=cell, separator=separator)
    model.initialize(rng)
    flat = model.params.flat
    flat += 0.1 * rng.standard_normal(flat.size).astype(np.float32)
    model.params["output.W_hc"][:] *= 20
    documents: Any = {"list": "line", "paragraphs": "paragraph"}.get(kind)
    data = Data(level="byte" if kind == "byte" else "char", documents=documents)
    counts = rng.integers(0, 50, len(symbols))
    return LanguageModel(model, Vocabulary(symbols, data), counts, data)


def some_ids(lm: LanguageModel, N: int = 200, seed: int = 1) -> npt.NDArray[np.intp]:
    """Random ids of a text; a list has several lines."""
    rng = np.random.default_rng(seed)
    ids: npt.NDArray[np.intp] = rng.integers(1, len(lm.vocabulary), N)
    if lm.model.separator is not None:
        ids[[N // 3, 2 * N // 3, N - 9]] = lm.model.separator
    return ids
