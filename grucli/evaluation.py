"""Evaluate how well a model predicts text: sums over long texts, symbols of short texts."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import partial
from threading import Event
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.data.cache import check_file, release_pages
from grucli.data.windows import count_symbols
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.threads import blas_limited_to

WINDOW = 32
"""Steps computed at a time. It does not change the result."""

STREAMS = 64
"""Maximum number of pieces of a long text; the pieces form one batch."""

GROUP, FEWEST = 2**13, 8
"""Pieces x units of a group, and the minimum number of its pieces. One thread reads a group.
Groups depend only on model and text, so the number of threads does not change the result."""

HELD = 16
"""Windows after which the pages of a memory-mapped text are released."""

TOGETHER = 128
"""Short texts in one batch."""

PIECE = 1024
"""Minimum number of characters of a piece."""

WARM_UP = 256
"""Characters that a piece reads before its first scored character. The first piece reads none."""

UNSEEN = 0.5
"""Count of a symbol that does not occur in the training text, where it is guessed by frequency."""

OTHER_KIND, BY_CHANCE = 0.3, 3
"""Nats per symbol by which the frequencies of two texts of one kind cost more than their own; and
the same for each different symbol of a text of one symbol, which has other frequencies by chance
(seen in real texts, and in texts drawn at random, of 400 to 10 million symbols)."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """Sums over the symbols predicted, characters or bytes; divide only at the end.

    Attributes:
        chars: symbols predicted: characters, or bytes for a model of bytes.
        nats: sum of -log p.
        correct: number of symbols that the model considered most probable.
        skipped: number of symbols that were left out because the model never saw them.
    """

    chars: int
    nats: float
    correct: int
    skipped: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    @property
    def loss(self) -> float:
        """Nats per symbol: per character, or per byte for a model of bytes."""
        return self.nats / self.chars

    @property
    def bits(self) -> float:
        """Bits per symbol."""
        return self.loss / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp(loss): the number of equally likely symbols that gives the same loss."""
        return math.exp(min(self.loss, 700.0))

    @property
    def accuracy(self) -> float:
        """Share of the symbols that the model considered most probable."""
        return self.correct / self.chars


NOTHING = Score(0, 0.0, 0)
"""The score of an empty text."""


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """The caller has stopped an evaluation or the reading of a prompt."""


@blas_limited_to(1)  # evaluate has its own threads
def evaluate(
    model: Model,
    ids: Ids,
    workers: int = 1,
    stop: Callable[[], bool] = lambda: False,
    *,
    begins: bool = True,
    part: tuple[int, int] = (0, 1),
) -> Score:
    """Predict each character of a text from all before it, starting from the zero state.

    A text of 2,049 characters or more is cut into at most ``STREAMS`` pieces, which form one
    batch. Each piece first reads the ``WARM_UP`` characters before it. So its state is about the
    same as in one pass over the whole text. After ``grucli train tinyshakespeare.txt``, the losses
    on the validation text differ by 4e-6 nats: ``evaluate`` in pieces, ``score`` in one pass.

    Args:
        model: the model.
        ids: the text, (N,). A model of documents reads its separator before it, and predicts all
            N >= 1 characters. Others read the first character and predict the rest, so N >= 2.
        workers: the number of threads; it does not change the result.
        stop: called repeatedly; if it returns true, the evaluation stops.
        begins: whether a document begins with the text; otherwise no separator is read before it.
        part: (k, n): score only part k of n of the text; the parts' scores add up to the whole.

    Raises:
        Stopped: ``stop`` returned true.
    """
    ended = Event()  # a thread was stopped or has failed: the others stop too
    total = partial(_total, ended=ended, stop=stop)
    number, parts = part
    groups = _groups(model, ids, model.separator if begins else None)[number::parts]
    workers = min(workers, len(groups))
    if workers <= 1:
        return sum(map(total, groups), NOTHING)
    with ThreadPoolExecutor(workers) as pool:
        try:
            return sum(pool.map(total, groups), NOTHING)
        finally:
            ended.set()


def _total(scores: Iterator[Score], ended: Event, stop: Callable[[], bool]) -> Score:
    """Return the sum of a group's scores; raise ``Stopped`` if ``ended`` or ``stop`` says so."""
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
    """Return one iterator for each group of pieces; it computes the scores when it is read."""
    N = len(ids) - 1 if first is None else len(ids)
    pieces = max(1, min(STREAMS, N // PIECE))
    starts, scored_from, length = _cut(N, pieces)
    size, text = max(FEWEST, GROUP // model.H), _Text(ids, first)
    return [
        _evaluate_pieces(model, text, starts[lo : lo + size], scored_from[lo : lo + size], length)
        for lo in range(0, pieces, size)
    ]


def _cut(N: int, pieces: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], int]:
    """Return the start of each piece, its first scored step, and the length of all pieces."""
    share = -(-(N - WARM_UP) // pieces) if pieces > 1 else N
    length = share + WARM_UP if pieces > 1 else N
    ends = np.minimum(length + share * np.arange(pieces), N)
    own = np.diff(ends, prepend=0)
    return ends - length, length - own, length


class _Text(NamedTuple):
    """A text, in memory or memory-mapped, and the symbol that is read before it, or None."""

    ids: Ids
    first: int | None

    def at(self, indices: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the symbols at some indices. ``first``, if there is one, has index 0."""
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
    """Yield the scores of a batch of pieces, ``WINDOW`` steps at a time."""
    state = model.zero_state(len(starts))
    workspace = model.workspace(min(WINDOW, length), len(starts))
    packed = model.packed(len(starts), backward=False)
    for lo in range(0, length, WINDOW):
        steps = np.arange(lo, min(lo + WINDOW, length))[:, None]  # (T, 1)
        indices = starts + steps  # (T, pieces)
        check_file(text.ids)
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
    """Yield the log probabilities of short texts, read as one batch, each from the zero state.

    Args:
        model: the model.
        texts: B texts; the first symbol of each is read but not predicted.

    Yields:
        Arrays (T, B) of some steps each: the log probability of the next symbol of each text, in
        nats, and 0 after the end of a text. The longest text determines the number of steps.
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
    """Return the nats of each of N texts, (N,). The first symbol of each is read but not predicted.

    Texts of similar length form a batch.
    """
    nats = np.zeros(len(texts))
    order = np.argsort([len(text) for text in texts], kind="stable")
    for lo in range(0, len(texts), TOGETHER):
        chosen = order[lo : lo + TOGETHER]
        for log_probs in log_probs_side_by_side(model, [texts[number] for number in chosen]):
            nats[chosen] -= log_probs.sum(axis=0, dtype=np.float64)
    return nats


def baselines(counts: Counts, ids: Ids) -> tuple[float, float]:
    """Return the losses of guessing uniformly and of guessing by frequency, nats per symbol.

    Args:
        counts: how often each symbol occurs in the training text, (V,).
        ids: the text whose symbols are guessed, (N,).
    """
    return math.log(len(counts)), guessed(counts, count_symbols(ids, len(counts)))


def differ_in_kind(counts: Counts, ids: Ids) -> bool:
    """Whether a text has symbols of other frequencies than the training text; arguments as above.

    It has if the guess by frequency loses more than ``OTHER_KIND`` nats per symbol against the
    frequencies of the text itself, beyond what the length of the text makes likely.
    """
    held = count_symbols(ids, len(counts))
    own = held[held > 0]
    by_chance = BY_CHANCE * len(own) / max(1, len(ids))
    return bool(len(own)) and guessed(counts, held) - guessed(own, own) > OTHER_KIND + by_chance


def guessed(counts: Counts, held: Counts) -> float:
    """The loss of guessing a text, with counts ``held``, by the frequencies in another."""
    seen = np.maximum(counts, UNSEEN)
    return -float(held @ np.log(seen / seen.sum())) / float(held.sum())
