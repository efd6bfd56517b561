"""What a page holds of a model: its weights, its symbols, and numbers that prove the page right."""

import base64
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from grucli.analysis.gradient_routes import History, look_back
from grucli.analysis.route_shares import shares_by_distance
from grucli.data.vocabulary import unified
from grucli.evaluation import UNSEEN
from grucli.language_model import LanguageModel
from grucli.nn.model import Model
from grucli.nn.params import Ids

Type = Literal["float32", "float16"]
"""The type of the weights in a page."""

LARGE = 10**6
"""Number of parameters above which the weights are float16."""

FOLLOWED = 24
"""Steps that the proof follows the gradient back."""

LARGEST_HALF = 65504.0
"""The largest number of float16."""


def suited_type(model: Model) -> Type:
    """The type of the weights: float16 for large models whose weights it can represent."""
    flat = model.params.flat
    fits = float(np.abs(flat).max(initial=0.0)) <= LARGEST_HALF
    return "float16" if flat.size > LARGE and fits else "float32"


@dataclass(frozen=True)
class Payload:
    """A model as a page holds it.

    Attributes:
        model: the model with the weights as the page holds them, in float64.
        content: what the page's script reads, for JSON.
    """

    model: Model
    content: dict[str, Any]


def payload(lm: LanguageModel, proof: Ids, type_: Type) -> Payload:
    """A model as a page holds it.

    Args:
        lm: the model.
        proof: ids of a text whose log probabilities and route shares the page checks, (N,).
        type_: the type of the weights.
    """
    weights = lm.model.params.flat.astype("<f2" if type_ == "float16" else "<f4")
    model = lm.model.astype(np.float64)
    model.params.flat[:] = weights
    first = np.log(np.maximum(lm.counts, UNSEEN) / lm.counts.sum())
    return Payload(
        model,
        {
            "cell": model.cell,
            "V": model.V,
            "H": model.H,
            "L": model.L,
            "separator": model.separator,
            "unseen": list(lm.unseen),
            "unknown": lm.vocabulary.unknown_id,
            "lists": lm.documents,
            "lineEnd": lm.vocabulary.line_end,
            "level": lm.vocabulary.level,
            "unify": unified("\r", lm.data) == "\n",
            "symbols": lm.vocabulary.symbols.tolist(),
            "counts": lm.counts.tolist(),
            "type": type_,
            "shapes": [[name, list(shape)] for name, shape in model.params.shapes.items()],
            "weights": base64.b64encode(weights.tobytes()).decode("ascii"),
            "proof": _proof(model, first, proof),
        },
    )


def _proof(model: Model, first: "np.ndarray[Any, Any]", ids: Ids) -> dict[str, Any]:
    """Log probabilities of a text, and the gradient of its last symbol, computed by NumPy."""
    begins = model.separator is not None
    read = np.concatenate([[model.separator], ids]) if begins else ids
    x, targets = np.asarray(read[:-1], np.intp)[:, None], np.asarray(read[1:], np.intp)[:, None]
    workspace = model.workspace(len(x), 1)
    found, _, _ = model.score(x, targets, model.zero_state(1), workspace)
    log_probs = found[:, 0] if begins else np.concatenate([first[ids[:1]], found[:, 0]])
    history = look_back(model, np.asarray(read, np.intp)[:, None], min(FOLLOWED, len(x)))
    return {
        "ids": ids.tolist(),
        "log_probs": log_probs.tolist(),
        "norms": _norms(history),
        "shares": list(shares_by_distance(history, range(1, FOLLOWED + 1)).values()),
    }


def _norms(history: History) -> list[float]:
    """Norms of the gradient that reaches the state 1, 2, ... steps back, until it is zero."""
    _, *gradients = history.gradients()
    norms = [
        float(np.sqrt(sum(np.sum(part**2) for part in gradient.values()))) for gradient in gradients
    ]
    return norms[: norms.index(0.0)] if 0.0 in norms else norms
