"""How well a model predicts a text: sums over long texts, and each symbol of short ones."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.data.cache import release_pages
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.threads import blas_limited_to

WINDOW = 32
"""Steps computed at a time; does not change the result."""

STREAMS = 64
"""Pieces of a long text that are read side by side."""

GROUP, FEWEST = 2**13, 8
"""Pieces times units of a group, which one thread reads, and its fewest pieces. Groups depend on
the model and the text alone, so that the number of threads does not change the result."""

HELD = 16
"""Windows after which a mapped text is let go of."""

TOGETHER = 128
"""Short texts that are read side by side."""

PIECE = 1024
"""Characters below which a text is not cut in pieces."""

WARM_UP = 256
"""Characters that each piece but the first reads, unscored, before its own."""


@dataclass(frozen=True)
class Score:
    """Sums over the characters predicted; divide only at the end.

    Attributes:
        chars: characters predicted.
        nats: sum of -log p.
        correct: how often the most probable character was right.
    """

    chars: int
    nats: float
    correct: int

    def __add__(self, other: "Score") -> "Score":
        return Score(self.chars + other.chars, self.nats + other.nats, self.correct + other.correct)

    @property
    def loss(self) -> float:
        """Nats per character."""
        return self.nats / self.chars

    @property
    def bits(self) -> float:
        """Bits per character."""
        return self.loss / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp(loss): the number of equally likely characters that would be as hard to guess."""
        return math.exp(min(self.loss, 700.0))

    @property
    def accuracy(self) -> float:
        """Share of the characters that were the model's first guess."""
        return self.correct / self.chars


NOTHING = Score(0, 0.0, 0)
"""The score of no text."""


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """An evaluation was told to stop."""


@blas_limited_to(1)  # the work is shared by threads of its own
def evaluate(
    model: Model,
    ids: Ids,
    workers: int = 1,
    stop: Callable[[], bool] = lambda: False,
    *,
    first: int | None = None,
) -> Score:
    """Predict each character of a text from all before it, starting from the zero state.

    A text of 2,049 characters or more is cut in up to ``STREAMS`` pieces that are read side by
    side. Each piece first reads the ``WARM_UP`` characters before it, so that its state is about
    where one pass over the whole text would have it. On tinyshakespeare's validation text the
    default model's loss is 1.5187 in pieces and 1.5188 in one pass.

    Args:
        model: the model.
        ids: the text, (N,); its first character is read but not predicted, and so N >= 2.
        workers: threads that share the pieces; does not change the result.
        stop: asked again and again whether to stop.
        first: a symbol that is read before the text; then all N >= 1 characters are predicted.

    Raises:
        Stopped: ``stop`` has said so.
    """
    ended = Event()  # nobody needs the rest: a thread was stopped or has failed
    total = partial(_total, ended=ended, stop=stop)
    groups = _groups(model, ids, first)
    workers = min(workers, len(groups))
    if workers == 1:
        return sum(map(total, groups), NOTHING)
    with ThreadPoolExecutor(workers) as pool:
        try:
            return sum(pool.map(total, groups), NOTHING)
        finally:
            ended.set()


def _total(scores: Iterator[Score], ended: Event, stop: Callable[[], bool]) -> Score:
    """The sum of a group's scores, unless another group has ended or ``stop`` says so."""
    total = NOTHING
    try:
        for score in scores:
            total += score
            if ended.is_set() or stop():
                raise Stopped
    except BaseException:
        ended.set()
        raise
    return total


def _groups(model: Model, ids: Ids, first: int | None) -> list[Iterator[Score]]:
    """The scores of a text's pieces, in groups; nothing is computed before it is asked for."""
    N = len(ids) - 1 if first is None else len(ids)
    pieces = max(1, min(STREAMS, N // PIECE))
    starts, scored_from, length = _cut(N, pieces)
    size, text = max(FEWEST, GROUP // model.H), _Text(ids, first)
    return [
        _evaluate_pieces(model, text, starts[lo : lo + size], scored_from[lo : lo + size], length)
        for lo in range(0, pieces, size)
    ]


def _cut(N: int, pieces: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], int]:
    """Where each piece starts to read, from which of its steps on it counts, and its length."""
    share = -(-(N - WARM_UP) // pieces) if pieces > 1 else N
    length = share + WARM_UP if pieces > 1 else N
    ends = np.minimum(length + share * np.arange(pieces), N)
    own = np.diff(ends, prepend=0)
    return ends - length, length - own, length


class _Text(NamedTuple):
    """A text, in memory or mapped, and the symbol that is read before it, if there is one."""

    ids: Ids
    first: int | None

    def at(self, indices: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """The symbols at some indices; ``first`` has index 0, and the text follows it."""
        if self.first is None:
            return self.ids[indices].astype(np.intp)
        symbols = self.ids[np.maximum(indices - 1, 0)].astype(np.intp)
        symbols[indices == 0] = self.first
        return symbols


def _evaluate_pieces(
    model: Model,
    text: _Text,
    starts: npt.NDArray[np.intp],
    scored_from: npt.NDArray[np.intp],
    length: int,
) -> Iterator[Score]:
    """The scores of pieces that are read side by side, of some steps each."""
    state = model.zero_state(len(starts))
    workspace = model.workspace(min(WINDOW, length), len(starts))
    packed = model.packed(len(starts), backward=False)
    for lo in range(0, length, WINDOW):
        steps = np.arange(lo, min(lo + WINDOW, length))[:, None]  # (T, 1)
        indices = starts + steps  # (T, pieces)
        x, targets = text.at(indices), text.at(indices + 1)
        log_probs, correct, state = model.score(x, targets, state, workspace.first(len(x)), packed)
        if lo % (HELD * WINDOW) == 0:
            release_pages(text.ids)
        scored = steps >= scored_from
        yield Score(
            int(scored.sum()),
            -float(log_probs.sum(where=scored, dtype=np.float64)),
            int(correct.sum(where=scored)),
        )


def log_probs_side_by_side(model: Model, texts: Sequence[Ids]) -> Iterator[Array]:
    """Log probabilities of short texts, which are read side by side, each from the zero state.

    Args:
        model: the model.
        texts: B texts; the first symbol of each is read, not predicted.

    Yields:
        Some steps at a time, (T, B): the log probability of the next symbol of each text, in nats;
        0 after its end. There are as many steps as the longest text has symbols to predict.
    """
    ends = np.array([len(text) - 1 for text in texts])
    padded = np.zeros((max(len(text) for text in texts), len(texts)), np.intp)
    for number, text in enumerate(texts):
        padded[: len(text), number] = text
    state = model.zero_state(len(texts))
    workspace = model.workspace(min(WINDOW, len(padded)), len(texts))
    packed = model.packed(len(texts), backward=False)
    for lo in range(0, len(padded) - 1, WINDOW):
        read = padded[lo : lo + WINDOW + 1]
        x, targets = read[:-1], read[1:]
        log_probs, _, state = model.score(x, targets, state, workspace.first(len(x)), packed)
        steps = np.arange(lo, lo + len(x))[:, None]
        yield np.where(steps < ends, log_probs, 0.0)


def nats_of(model: Model, texts: Sequence[Ids]) -> npt.NDArray[np.float64]:
    """Nats of each of N texts by itself, (N,); their first symbols are read, not predicted.

    Texts of about one length are read side by side.
    """
    nats = np.zeros(len(texts))
    order = np.argsort([len(text) for text in texts], kind="stable")
    for lo in range(0, len(texts), TOGETHER):
        chosen = order[lo : lo + TOGETHER]
        for log_probs in log_probs_side_by_side(model, [texts[number] for number in chosen]):
            nats[chosen] -= log_probs.sum(axis=0, dtype=np.float64)
    return nats


def baselines(counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Nats per character of guessing uniformly, and by how often each character occurs."""
    p = counts[counts > 0] / counts.sum()
    return math.log(len(counts)), -float(np.sum(p * np.log(p)))
