"""The packages of other programs, and the comparison of an exported model with this program's."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from grucli.errors import RunError, UsageError
from grucli.nn.params import Array, Ids
from grucli.run.run import Run
from grucli.threads import blas_limited_to

COMPARED, MEASURED = 2000, 20_000  # symbols to compare; to measure the loss of rounded weights on
LARGEST = 2**24  # logits in memory
STREAMED = 200  # symbols that are also read one by one
WRONG = 1e-3  # a difference that rounding does not make, as a share of the loss

# Reads ids (T, B) from a state, None at the start; returns logits (T, B, V) and the new state.
Step = Callable[[Ids, Any], tuple[Array, Any]]


def needed(package: str, extra: str) -> Any:
    """Import a package; its absence is an error that says how to install it."""
    try:
        return import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        missing = isinstance(error, ModuleNotFoundError) and error.name in (name, package)
        what = "is not installed" if missing else f"cannot be loaded ({error})"
        raise UsageError(
            f'{name} {what}: in the clone of grucli, pip install ".[{extra}]"'
        ) from None


@dataclass(frozen=True)
class Compared:
    """The log probabilities of a text by an exported model and by this program."""

    symbols: int
    difference: float  # the largest, in nats
    loss: float  # of the exported model, in nats per symbol
    own_loss: float


@blas_limited_to(1)
def compare(run: Run, step: Step, *, rounded: bool = False) -> Compared:
    """Compare log probabilities of a text, read in one piece and one by one; or a RunError."""
    ids, separator = _text(run, MEASURED if rounded else COMPARED), run.lm.model.separator
    own = run.lm.score(ids).log_probs[separator is None :, None]  # without the first, by its count
    read = ids if separator is None else np.append(separator, ids)
    x, targets = read[:-1, None], read[1:, None]
    theirs, state, single = _log_probs(step(x, None)[0], targets), None, []
    for t in range(min(STREAMED, len(x))):
        logits, state = step(x[t : t + 1], state)
        single.append(_log_probs(logits, targets[t : t + 1]))
    differences = abs(theirs - own), abs(np.concatenate(single) - own[: len(single)])
    largest = max(float(one.max()) for one in differences)
    made = Compared(len(x), largest, -float(theirs.mean()), -float(own.mean(dtype=np.float64)))
    # neither rounding nor rounded weights make such a difference
    if not largest <= (np.inf if rounded else WRONG * max(1.0, made.own_loss)):
        raise RunError(
            "the exported model is not written, since it computes other numbers: its log "
            f"probabilities differ from those of grucli by up to {largest:.3g} nats"
        )
    return made


def _text(run: Run, N: int) -> Ids:
    """The ids of the start of the validation text, or of a sample if there is none, (N,)."""
    N = min(N, LARGEST // run.lm.model.V)
    try:
        ids = run.split("val")[:N]
    except UsageError:  # the text is gone or has changed, or there is none
        ids = run.lm.samples(1, N, seed=0).ids()
    return ids.astype(np.int64)


def _log_probs(logits: Array, targets: Ids) -> Array:
    """The log probability of each target (T, B), in float64."""
    shifted = logits - logits.max(axis=-1, keepdims=True).astype(np.float64)
    totals = np.log(np.exp(shifted).sum(axis=-1))
    chosen = np.take_along_axis(shifted, targets[..., None], axis=-1)[..., 0]
    return np.asarray(chosen - totals)
