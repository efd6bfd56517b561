"""The likeliest continuations of a prompt, by a beam search.

At each step, the likeliest texts of one length are kept. Texts that a stop text or the end of a
document ends are kept apart. All are compared by their total log probability, not by its mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.errors import ArgumentError
from grucli.nn.functional import log_softmax
from grucli.nn.params import Array
from grucli.nn.stepper import Stepper
from grucli.sampling import HELD, Samples
from grucli.text_score import TextScore
from grucli.threads import blas_limited_to

Ids = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False, repr=False)
class Beam(TextScore):
    """A continuation, without the prompt and without the stop text that ended it."""

    log_prob: float = 0.0  # of the text and of what ended it, in nats
    ended: bool = False  # by a stop text or by the end of the document; or it has the full length


class _Step(NamedTuple):
    """What was kept at a step: K texts, of which some may be impossible."""

    parents: Ids  # numbers of the texts that they continue, among those of the step before, (K,)
    ids: Ids  # (K,)
    log_probs: Array  # (K,)


class _Found(NamedTuple):
    """A text: the first ``steps`` symbols of text number ``row``, without the ``cut`` last ones."""

    log_prob: float
    steps: int
    row: int
    cut: int = 0
    ended: bool = False


@blas_limited_to(1)
def search(samples: Samples) -> list[Beam]:
    """The ``samples.count`` likeliest texts found, best first; nothing is drawn at random."""
    K, length, never = samples.count, samples.length, samples.sampler.never
    if K * length > HELD:
        raise ArgumentError(
            "length", f"must be at most {HELD // K:,} for {K:,} beams, not {length}"
        )
    stops, history, ended = _stops(samples), list[_Step](), list[_Found]()
    logits, state = samples.start()
    stepper = Stepper(samples.model.plain(), K)
    logits, stepper.state = np.repeat(logits, K, axis=0), np.repeat(state, K, axis=1)
    totals = np.where(np.arange(K) == 0, 0.0, -np.inf)  # impossible texts have -inf
    tails = np.full((K, max(map(len, stops), default=1) - 1), -1)
    for step in range(length):
        log_probs = log_softmax(logits.astype(np.float64))
        if never is not None:
            log_probs[:, never] = -np.inf
        sums = totals[:, None] + log_probs
        for stop in stops:
            ended += _take_ended_(sums, tails, stop, step)
        ended = sorted(ended, key=lambda found: -found.log_prob)[:K]
        best = _best(sums.ravel(), K)
        if len(ended) == K and len(best):  # longer texts are less probable
            best = best[sums.ravel()[best] > ended[-1].log_prob]
        totals = np.append(sums.ravel()[best], np.full(K - len(best), -np.inf))
        if not len(best):
            break
        parents, ids = np.divmod(np.append(best, np.zeros(K - len(best), np.intp)), sums.shape[1])
        history.append(_Step(parents, ids, log_probs[parents, ids]))
        stepper.state = stepper.state[:, parents]
        logits = stepper.step(ids)
        tails = np.column_stack([tails[parents], ids])[:, 1:]
    whole = [_Found(float(totals[row]), length, row) for row in _best(totals, K).tolist()]
    found = sorted(ended + whole, key=lambda found: -found.log_prob)[:K]
    return [_beam(samples, one, history) for one in found]


def _stops(samples: Samples) -> list[Ids]:
    """The ids of the stop texts that the model can write."""
    known = samples.vocabulary
    stops = [known.find(known.points(stop), "skip") for stop in samples.stops]
    return [stop for stop in stops if stop.min() >= 0]


def _take_ended_(sums: Array, tails: Ids, stop: Ids, step: int) -> list[_Found]:
    """The texts that a stop text ends now; they are not continued: their ``sums`` become -inf."""
    before, last = len(stop) - 1, stop[-1]
    ends = (tails[:, tails.shape[1] - before :] == stop[:-1]).all(axis=1)
    rows = np.flatnonzero(ends & (sums[:, last] > -np.inf))
    found = [_Found(float(sums[row, last]), step, row, before, ended=True) for row in rows.tolist()]
    sums[rows, last] = -np.inf
    return found


def _best(numbers: Array, count: int) -> Ids:
    """The places of the highest numbers above -inf, best first; of equal ones, the first."""
    least = np.partition(numbers, -count)[-count] if count < len(numbers) else -np.inf
    places = np.flatnonzero((numbers >= least) & (numbers > -np.inf))
    return places[np.argsort(-numbers[places], kind="stable")][:count]


def _beam(samples: Samples, found: _Found, history: Sequence[_Step]) -> Beam:
    ids, log_probs, row = list[int](), list[float](), found.row
    for step in reversed(history[: found.steps]):
        ids.append(int(step.ids[row]))
        log_probs.append(float(step.log_probs[row]))
        row = int(step.parents[row])
    ids, log_probs = ids[found.cut :][::-1], log_probs[found.cut :][::-1]
    data = samples.vocabulary.decode(np.array(ids, np.intp))
    symbols = data if samples.vocabulary.level == "byte" else data.decode()
    return Beam(symbols, np.array(log_probs), 0, found.log_prob, found.ended)
