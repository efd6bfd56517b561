"""Evaluate how well a model predicts text, as it is or while it learns: sums over long texts."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import cache, partial
from threading import Event
from typing import NamedTuple

import numpy as np

from grucli.data.cache import check_file, release_pages
from grucli.data.windows import count_symbols
from grucli.errors import ArgumentError
from grucli.nn.model import Model
from grucli.nn.optim import clip_, follow_
from grucli.nn.params import Counts, Ids, Indices
from grucli.threads import begin_thread, blas_limited_to

WINDOW = 32  # steps computed at a time; it does not change the result
STREAMS = 64  # pieces of a long text, at most; they form one batch
PIECE = 1024  # characters of a piece, at least
WARM_UP = 256  # characters that a piece, but not the first one, reads before its scored ones
HELD = 16  # windows after which the pages of a memory-mapped text are released

# Pieces x units of a group, and the minimum number of its pieces. One thread reads a group.
# Groups depend only on model and text, so the number of threads does not change the result.
GROUP, FEWEST = 2**13, 8

# Count of a symbol that does not occur in the training text, where it is guessed by frequency.
UNSEEN = 0.5

# Nats per symbol by which the frequencies of two texts of one kind cost more than their own; and
# the same for each different symbol of a text of one symbol, which has other frequencies by chance
# (seen in real texts, and in texts drawn at random, of 400 to 10 million symbols).
OTHER_KIND, BY_CHANCE = 0.3, 3

# the start of each piece, its first scored step, and the length of all pieces
Pieces = tuple[Indices, Indices, int]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """Sums over the symbols predicted, characters or bytes; divide only at the end."""

    chars: int  # symbols predicted: characters, or bytes for a model of bytes
    nats: float  # sum of -log p
    correct: int  # symbols that the model considered most probable
    skipped: int = 0  # symbols that were left out because the model never saw them

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


class Text(NamedTuple):
    """A text, in memory or memory-mapped, and the symbol that is read before it, or None."""

    ids: Ids
    first: int | None

    @property
    def predicted(self) -> int:
        """Number of symbols that are predicted, each from the symbol before it."""
        return len(self.ids) - (self.first is None)

    def at(self, indices: Indices) -> Indices:
        """The symbols at some indices. ``first``, if there is one, has index 0."""
        if self.first is None:
            return self.ids[indices].astype(np.intp)
        symbols = self.ids[np.maximum(indices - 1, 0)].astype(np.intp)
        symbols[indices == 0] = self.first
        return symbols


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
    context: int | None = None,
    part: tuple[int, int] = (0, 1),
) -> Score:
    """Predict each character of a text from all before it, as ``LanguageModel.evaluate`` says.

    A text of 2,049 characters or more is cut into at most ``STREAMS`` pieces, which form one
    batch. Each piece first reads the ``WARM_UP`` characters before it, so its state is about the
    same as in one pass over the whole text: the losses differ by some 4e-6 nats. ``part`` (k, n) is
    part k of n of the text; the scores of all parts add up.

    With a ``context`` of C the text is read in windows of C symbols, as transformers are judged. A
    window ends earlier where a document or the text ends.
    """
    if context is not None and context < 1:
        raise ArgumentError("context", f"must be 1 or above, not {context}; 256 is usual")
    ended = Event()  # a thread was stopped or has failed: the others stop too
    total = partial(_total, ended=ended, stop=stop)
    text = Text(ids, model.separator if begins else None)
    N, (number, parts) = text.predicted, part
    cut: Iterable[Pieces] = [_cut(N, max(1, min(STREAMS, N // PIECE)))]
    if context is not None:
        cut = _windows(text, min(context, max(1, N)), model.separator)
    groups = _groups(model, text, cut)[number::parts]
    workers = min(workers, len(groups))
    if workers <= 1:
        return sum(map(total, groups), NOTHING)
    with ThreadPoolExecutor(workers, initializer=begin_thread) as pool:
        try:
            return sum(pool.map(total, groups), NOTHING)
        finally:
            ended.set()


def _total(scores: Iterator[Score], ended: Event, stop: Callable[[], bool]) -> Score:
    """The sum of a group's scores; ``Stopped`` is raised if ``ended`` or ``stop`` says so."""
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


def _groups(model: Model, text: Text, pieces: Iterable[Pieces]) -> list[Iterator[Score]]:
    """One iterator for each group of pieces; it computes the scores when it is read."""
    size = max(FEWEST, GROUP // model.H)
    return [
        _evaluate_pieces(model, text, starts[lo : lo + size], scored_from[lo : lo + size], length)
        for starts, scored_from, length in pieces
        for lo in range(0, len(starts), size)
    ]


def _windows(text: Text, context: int, separator: int | None) -> Iterator[Pieces]:
    """Windows of at most ``context`` symbols, which begin where documents do; by their lengths."""
    begins = np.zeros(1, np.intp)
    if separator is not None:
        later = np.flatnonzero(text.ids[: text.predicted] == separator) + (text.first is not None)
        begins = np.union1d(begins, later[later < text.predicted])
    spans = np.diff(begins, append=text.predicted)
    counts = -(-spans // context)
    numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(begins, counts) + context * numbers
    lengths = np.minimum(np.repeat(spans, counts) - context * numbers, context)
    for length in np.unique(lengths).tolist():
        chosen = starts[lengths == length]
        yield chosen, np.zeros_like(chosen), length


def _cut(N: int, pieces: int) -> Pieces:
    share = -(-(N - WARM_UP) // pieces) if pieces > 1 else N
    length = share + WARM_UP if pieces > 1 else N
    ends = np.minimum(length + share * np.arange(pieces), N)
    own = np.diff(ends, prepend=0)
    return ends - length, length - own, length


def _evaluate_pieces(
    model: Model, text: Text, starts: Indices, scored_from: Indices, length: int
) -> Iterator[Score]:
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


def baselines(counts: Counts, ids: Ids) -> tuple[float, float]:
    """The losses of guessing a text (N,), uniformly and by the training text's ``counts`` (V,)."""
    return math.log(len(counts)), guessed(counts, count_symbols(ids, len(counts)))


def differ_in_kind(counts: Counts, ids: Ids) -> bool:
    """Whether a text (N,) has symbols of other frequencies than the training text, (V,)."""
    held = count_symbols(ids, len(counts))
    own = held[held > 0]
    by_chance = BY_CHANCE * len(own) / max(1, len(ids))
    return bool(len(own)) and guessed(counts, held) - guessed(own, own) > OTHER_KIND + by_chance


def guessed(counts: Counts, held: Counts) -> float:
    """The loss of guessing a text, with counts ``held``, by the frequencies in another."""
    seen = np.maximum(counts, UNSEEN)
    return -float(held @ np.log(seen / seen.sum())) / float(held.sum())


# ---- dynamic evaluation

# That of Krause, Kahembwe, Murray and Renals, "Dynamic Evaluation of Neural Sequence Models" (ICML
# 2018): gradient descent, scaled by the root mean square of each gradient, with a decay to the
# trained weights. Their mean squares are those of the training text. Here they are those of the
# segments so far, so that a model without its text can adapt too.

SEGMENT = 32  # symbols that are predicted with the same weights
TIMED = 300  # segments after which the remaining time is told
CLIP = 2.0  # maximum norm of a gradient; few are above it
RATE, DECAY = 1e-3, 2e-3  # good for the models and texts of docs/benchmarks.md
FURTHEST = 3  # times that the rate is halved or doubled, at most
DECAYS = (0.0, 1e-2)  # what is tried besides ``DECAY``


@blas_limited_to(1)
def adapt(model: Model, ids: Ids, rate: float, decay: float) -> tuple[Score, Model]:
    """Predict a text as ``evaluate`` does, and learn from each segment after its prediction.

    Returns the score, and a copy of the model with the weights after the last segment. An update
    whose gradient is not finite is left out.
    """
    for name, value in (("rate", rate), ("decay", decay)):
        if not 0 <= value <= 1:
            raise ArgumentError(name, f"must be from 0 to 1, not {value}; 0.001 is usual")
    learner = model.astype(model.params.flat.dtype).on(model.backend)
    text = Text(ids, model.separator)
    trained, flat, grads = model.params.flat, learner.params.flat, learner.params.like()
    squares = np.zeros_like(flat)
    state, packed = learner.zero_state(1), learner.packed(1)
    workspace, total = learner.workspace(min(SEGMENT, text.predicted), 1), NOTHING
    began = time.perf_counter()
    for number, lo in enumerate(range(0, text.predicted, SEGMENT), 1):
        if number == TIMED:
            left = (time.perf_counter() - began) * (text.predicted / lo - 1)
            log.log(logging.INFO if left > 10 else logging.DEBUG, "about %.0f s to go", left)
        check_file(text.ids)
        read = text.at(np.arange(lo, min(lo + SEGMENT, text.predicted) + 1))[:, None]
        x, targets = read[:-1], read[1:]
        segment = x, targets, state, workspace.first(len(x))
        log_probs, correct, after = learner.score(*segment, packed)
        total += Score(len(x), -float(log_probs.sum(dtype=np.float64)), int(correct.sum()))
        with np.errstate(all="ignore"):  # a rate that is too high
            learner.loss_and_gradients(*segment, grads, scale=1 / len(x), packed=packed)
            norm = clip_(grads.flat, CLIP)
        if math.isfinite(norm) and rate:
            follow_(flat, grads.flat, squares, trained, step=number, rate=rate, decay=decay)
            packed.update()
        state = after
    return total, learner


def best_rates(model: Model, ids: Ids) -> tuple[float, float]:
    """The rate and the decay with the lowest loss on a text, of a few that are tried."""
    loss = cache(lambda rate, decay: adapt(model, ids, rate, decay)[0].loss)
    rate = RATE
    for factor in (0.5, 2.0):
        for _ in range(FURTHEST):
            if not loss(rate * factor, DECAY) < loss(rate, DECAY):  # or it is no number
                break
            rate *= factor
    return rate, min((DECAY, *DECAYS), key=lambda decay: loss(rate, decay))
