"""The likeliest continuations of a prompt, by a beam search.

At each step, the likeliest texts of one length are kept. Texts that a stop text or the end of a
document ends are kept apart. All are compared by their total log probability, not by its mean.
"""

from dataclasses import dataclass
from heapq import nlargest
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from grucli.data.vocabulary import Vocabulary
from grucli.errors import ArgumentError
from grucli.nn.functional import log_softmax
from grucli.nn.params import Array, Floats, Indices
from grucli.nn.stepper import Stepper
from grucli.sampling import HELD, Samples
from grucli.text_score import TextScore
from grucli.threads import blas_limited_to

LOG_PROB = attrgetter("log_prob")


@dataclass(frozen=True, eq=False, repr=False)
class Beam(TextScore):
    """A continuation, without the prompt and without the stop text that ended it."""

    log_prob: float = 0.0  # of the text and of what ended it, in nats
    ended: bool = False  # by a stop text or by the end of the document; or it has the full length


class _Kept(NamedTuple):
    """The texts of one length that may go on; impossible ones have a log probability of -inf."""

    vocabulary: Vocabulary
    totals: Array  # their log probabilities, (K,)
    ids: Indices  # (K, T)
    log_probs: Floats  # of each symbol, (K, T)

    def beam(self, row: int, log_prob: float, cut: int | None = None) -> Beam:
        """One of the texts; one that has ended is ``cut`` before the stop text."""
        symbols = self.vocabulary.form(self.vocabulary.decode(self.ids[row, :cut]))
        return Beam(symbols, self.log_probs[row, :cut], 0, log_prob, cut is not None)

    def end_(self, stop: Indices, sums: Array, least: float) -> list[Beam]:
        """The texts that a stop text ends now, if likelier than ``least``; they do not go on."""
        before, last = stop[:-1], stop[-1]
        if (cut := self.ids.shape[1] - len(before)) < 0:
            return []
        (rows,) = np.nonzero((self.ids[:, cut:] == before).all(axis=1))
        totals, sums[rows, last] = sums[rows, last].tolist(), -np.inf
        return [
            self.beam(row, total, cut)
            for row, total in zip(rows.tolist(), totals, strict=True)
            if total > least
        ]


@blas_limited_to(1)
def search(samples: Samples) -> list[Beam]:
    """The ``samples.count`` likeliest texts found, best first; nothing is drawn at random."""
    K, never, known, ended = samples.count, samples.sampler.never, samples.vocabulary, list[Beam]()
    stops = [known.find(known.points(known.form(stop)), "skip") for stop in samples.stops]
    stops.sort(key=len, reverse=True)  # of those that end at once, the longest counts
    stops = [stop for stop in stops if stop.min() >= 0]  # the model can write them
    if K * samples.length > HELD:
        raise ArgumentError("length", f"must be at most {HELD // K:,} for {K:,} beams")
    least = -np.inf  # the log probability that a text must exceed to be among the best
    logits, state = samples.start()
    stepper = Stepper(samples.model.plain(), K)
    logits, stepper.state = np.repeat(logits, K, axis=0), np.repeat(state, K, axis=1)
    totals = np.where(np.arange(K) == 0, 0.0, -np.inf)
    kept = _Kept(known, totals, np.empty((K, 0), np.intp), np.empty((K, 0)))
    for _ in range(samples.length):
        log_probs = log_softmax(logits.astype(np.float64))
        if never is not None:
            log_probs[:, never] = -np.inf
        sums = kept.totals[:, None] + log_probs
        found = [one for stop in stops for one in kept.end_(stop, sums, least)]
        ended = nlargest(K, ended + found, LOG_PROB)
        if len(ended) == K:
            least = ended[-1].log_prob
        sums[sums <= least] = -np.inf  # what is longer is not likelier
        parents, ids = np.divmod(_highest(sums.ravel(), K), sums.shape[1])
        kept = _Kept(
            known,
            sums[parents, ids],
            np.column_stack([kept.ids[parents], ids]),
            np.column_stack([kept.log_probs[parents], log_probs[parents, ids]]),
        )
        if kept.totals[0] == -np.inf:
            break
        stepper.state = stepper.state[:, parents]
        logits = stepper.step(ids)
    whole = [kept.beam(row, total) for row, total in enumerate(kept.totals.tolist())]
    return nlargest(K, [one for one in ended + whole if one.log_prob > -np.inf], LOG_PROB)


def _highest(numbers: Array, count: int) -> Indices:
    """The places of the highest numbers, (count,), the highest first; of equal ones, the first."""
    least = np.partition(numbers, -count)[-count]
    (places,) = np.nonzero(numbers >= least)
    return places[np.argsort(-numbers[places], kind="stable")][:count]
