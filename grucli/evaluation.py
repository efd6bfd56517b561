"""How well a model predicts a text, and how much of a sample it copied."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np
import numpy.typing as npt

from grucli.data.cache import release_pages
from grucli.nn.model import Model
from grucli.nn.params import Ids
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

PIECE = 1024
"""Characters below which a text is not cut in pieces."""

WARM_UP = 256
"""Characters that each piece but the first reads, unscored, before its own."""

SHORTEST_COPY = 8
"""Copies shorter than this say nothing; they are not looked for."""


UPPER_BITS = np.uint64(48)
"""Where the upper 16 bits of a number of 64 begin."""


@dataclass(frozen=True)
class Score:
    """Sums over the characters predicted; divide only at the end.

    Attributes:
        chars: characters predicted.
        nats: sum of -log p.
        hits: how often the most probable character was right.
    """

    chars: int
    nats: float
    hits: int

    def __add__(self, other: "Score") -> "Score":
        return Score(self.chars + other.chars, self.nats + other.nats, self.hits + other.hits)

    @property
    def loss(self) -> float:
        """Nats a character."""
        return self.nats / self.chars

    @property
    def bits(self) -> float:
        """Bits a character."""
        return self.loss / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp(loss): the number of equally likely characters that would be as hard to guess."""
        return math.exp(min(self.loss, 700.0))

    @property
    def accuracy(self) -> float:
        """Share of the characters that were the model's first guess."""
        return self.hits / self.chars


NOTHING = Score(0, 0.0, 0)
"""The score of no text."""


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """An evaluation was told to stop."""


@blas_limited_to(1)  # the work is shared by threads of its own
def evaluate(
    model: Model, ids: Ids, workers: int = 1, stop: Callable[[], bool] = lambda: False
) -> Score:
    """Predict each character of a text from all before it, starting from the zero state.

    A text of 2,049 characters or more is cut in up to ``STREAMS`` pieces that are read side by
    side. Each piece first reads the ``WARM_UP`` characters before it, so that its state is about
    where one pass over the whole text would have it. On tinyshakespeare's validation text the
    default model's loss is 1.5187 in pieces and 1.5188 in one pass.

    Args:
        model: the model.
        ids: the text, (N,), N >= 2; its first character is read but not predicted.
        workers: threads that share the pieces; does not change the result.
        stop: asked again and again whether to stop.

    Raises:
        Stopped: ``stop`` has said so.
    """
    ended = Event()  # nobody needs the rest: a thread was stopped or has failed

    def one(scores: Iterator[Score]) -> Score:
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

    groups = _groups(model, ids)
    workers = min(workers, len(groups))
    if workers == 1:
        return sum(map(one, groups), NOTHING)
    with ThreadPoolExecutor(workers) as pool:
        try:
            return sum(pool.map(one, groups), NOTHING)
        finally:
            ended.set()


def _groups(model: Model, ids: Ids) -> list[Iterator[Score]]:
    """The scores of a text's pieces, in groups; nothing is computed before it is asked for."""
    pieces = max(1, min(STREAMS, (len(ids) - 1) // PIECE))
    starts, scored_from, length = _cut(len(ids) - 1, pieces)
    size = max(FEWEST, GROUP // model.H)
    return [
        _evaluate_pieces(model, ids, starts[lo : lo + size], scored_from[lo : lo + size], length)
        for lo in range(0, pieces, size)
    ]


def _cut(N: int, pieces: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], int]:
    """Where each piece starts to read, from which of its steps on it counts, and its length."""
    share = -(-(N - WARM_UP) // pieces) if pieces > 1 else N
    length = share + WARM_UP if pieces > 1 else N
    ends = np.minimum(length + share * np.arange(pieces), N)
    own = np.diff(ends, prepend=0)
    return ends - length, length - own, length


def _evaluate_pieces(
    model: Model,
    ids: Ids,
    starts: npt.NDArray[np.intp],
    scored_from: npt.NDArray[np.intp],
    length: int,
) -> Iterator[Score]:
    """The scores of pieces that are read side by side, of some steps each."""
    state = model.zero_state(len(starts))
    room = model.workspace(min(WINDOW, length), len(starts))
    packed = model.packed(len(starts), backward=False)
    for lo in range(0, length, WINDOW):
        steps = np.arange(lo, min(lo + WINDOW, length))[:, None]  # (T, 1)
        places = starts + steps  # (T, pieces)
        x, targets = ids[places].astype(np.intp), ids[places + 1].astype(np.intp)
        log_probs, hits, state = model.score(x, targets, state, room.first(len(x)), packed)
        if lo % (HELD * WINDOW) == 0:
            release_pages(ids)
        scored = steps >= scored_from
        yield Score(
            int(scored.sum()),
            -float(log_probs.sum(where=scored, dtype=np.float64)),
            int(hits.sum(where=scored)),
        )


def baselines(counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Nats a character of guessing uniformly, and by how often each character occurs."""
    p = counts[counts > 0] / counts.sum()
    return math.log(len(counts)), -float(np.sum(p * np.log(p)))


def longest_copy(sample: Ids, corpus: Ids, chunk: int = 2**20) -> tuple[int, int]:
    """The longest passage of ``sample`` that stands in ``corpus`` to the letter.

    Every ``SHORTEST_COPY`` characters of both are turned into one number; where numbers agree
    the passage is extended to the right, from where it begins.

    Returns:
        Its length (0 if below ``SHORTEST_COPY``) and where it starts in the sample.
    """
    k = SHORTEST_COPY
    if len(sample) < k or len(corpus) < k:
        return 0, 0
    wanted = _keys(sample, k)
    order = np.argsort(wanted, kind="stable")
    perhaps = np.zeros(2**16, np.bool_)  # by the upper bits of a number: whether one is wanted
    perhaps[wanted >> UPPER_BITS] = True
    best = (0, 0)
    for lo in range(0, len(corpus) - k + 1, chunk):
        found = _keys(corpus[lo : lo + chunk + k - 1], k)
        places = np.flatnonzero(perhaps[found >> UPPER_BITS])
        first = np.searchsorted(wanted, found[places], "left", sorter=order)
        last = np.searchsorted(wanted, found[places], "right", sorter=order)
        for offset in range(int((last - first).max(initial=0))):
            hits = np.flatnonzero(first + offset < last)
            i, j = order[first[hits] + offset], places[hits] + lo
            # what also agrees one place to the left is part of a longer passage
            begins = (i == 0) | (j == 0) | (sample[i - 1] != corpus[j - 1])
            best = max(best, _extend(sample, corpus, i[begins], j[begins]), key=lambda b: b[0])
        release_pages(corpus)
    return best


def _keys(ids: Ids, k: int) -> npt.NDArray[np.uint64]:
    """A number for each run of ``k`` ids; equal runs have equal numbers."""
    keys = np.zeros(len(ids) - k + 1, np.uint64)
    for offset in range(k):
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys += ids[offset : offset + len(keys)].astype(np.uint64) + np.uint64(1)
    return keys


def _extend(
    sample: Ids, corpus: Ids, i: npt.NDArray[np.intp], j: npt.NDArray[np.intp]
) -> tuple[int, int]:
    """Longest common run that starts at one of the pairs (sample[i], corpus[j])."""
    length, start = 0, 0
    while i.size:
        inside = (i + length < len(sample)) & (j + length < len(corpus))
        i, j = i[inside], j[inside]
        same = sample[i + length] == corpus[j + length]
        i, j = i[same], j[same]
        if i.size:
            length, start = length + 1, int(i[0])
    return length, start
