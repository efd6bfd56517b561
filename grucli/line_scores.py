"""Many texts, each read by itself: their scores, and the distributions of what follows them.

Texts of similar length are read side by side, as one batch. Threads share the batches, which depend
on the texts alone, so the number of threads does not change the result.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise, starmap
from threading import Event
from typing import Any, NamedTuple

import numpy as np

from grucli.config import Data
from grucli.data.vocabulary import Unknown, UnknownInScore, Vocabulary, as_read
from grucli.errors import ArgumentError, CorpusError, UnknownCharacterError, UsageError
from grucli.evaluation import UNSEEN
from grucli.nn.functional import log_softmax
from grucli.nn.model import Model
from grucli.nn.packed import PackedWeights
from grucli.nn.params import Array, Counts, Floats, Ids, Indices
from grucli.threads import available_cores, begin_thread, blas_limited_to

LINES_AT_ONCE, SYMBOLS_AT_ONCE = 2**15, 2**19  # lines in memory: so many, or of so many symbols
BATCH = 2**15  # texts x units of a batch, at most
WINDOW = 32  # steps computed at a time; it does not change the result
SIMILAR, FEW = 1.25, 4  # no text of a batch is longer than another one by this factor and number


class LineScore(NamedTuple):
    """The score of a line: how well a model predicts it, beside other models on request."""

    line: str | bytes  # as it was given
    nats: float  # the sum of -log p over all symbols
    log_probs: Floats  # of each symbol given all before it, in nats; of the end of a document also
    skipped: int  # symbols left out because a model never saw them
    ratios: Floats  # log-likelihood ratio to each other model: log p - its log p, in nats
    posteriors: Floats  # the probability of this model and of each other one, given the line

    @property
    def chars(self) -> int:
        """Symbols scored: characters or bytes, with the end of a document."""
        return len(self.log_probs)

    @property
    def nats_per_char(self) -> float:
        """Nats per symbol; NaN for a line without symbols."""
        return self.nats / self.chars if self.chars else math.nan


class Distribution(NamedTuple):
    """What follows a text, by a model: each of V symbols, the likeliest first."""

    symbols: str | bytes  # V characters, or V bytes for a model of bytes
    probabilities: Floats  # they sum to 1, (V,)
    log_probs: Floats  # in nats, (V,)


@dataclass(frozen=True)
class Reader:
    """How a language model reads texts."""

    vocabulary: Vocabulary
    counts: Counts  # how often each symbol occurs in the training text, (V,)
    data: Data
    unseen: Sequence[int]
    batch_model: Callable[[], Model]  # for many texts; its library is loaded when it is used
    name: str

    def read(self, text: str | bytes, unknown: UnknownInScore) -> tuple[Ids, Indices]:
        """The code points or bytes of a text, and their ids, -1 for those not to read, (N,)."""
        points = self.vocabulary.points(as_read(text, self.data))
        return points, self.find(points, unknown)

    def find(self, points: Ids, unknown: UnknownInScore) -> Indices:
        return self.vocabulary.find(points, unknown, self.unseen)

    @cached_property
    def floor(self) -> float:
        """Log probability of a symbol that does not occur in the training text, in nats."""
        return math.log(UNSEEN / int(self.counts.sum()))

    @cached_property
    def first(self) -> Floats:
        """Log probabilities of a first symbol that is not predicted, (V,)."""
        frequencies: Floats = np.maximum(self.counts, UNSEEN) / int(self.counts.sum())
        return np.log(frequencies)

    def log_probs(self, model: Model, ids: Ids, text: Indices) -> Floats:
        """Of symbols, -1 for new ones, given all before them in the text of that number, (N,)."""
        out, (read,) = np.full(len(ids), self.floor), np.nonzero(ids >= 0)
        ids, lengths = ids[read], np.bincount(text[read])
        begins = np.cumsum(lengths) - lengths
        if model.separator is None:  # it predicts all but the first symbol
            firsts = begins[lengths > 0]
            out[read[firsts]] = self.first[ids[firsts]]
            begins, lengths = begins + 1, lengths - 1

        def score(texts: Indices, at: Indices, h: Array, packed: PackedWeights) -> None:
            within = at < lengths[texts]
            places = np.where(within, begins[texts] + at, 0)
            log_probs, _ = model.score_states(h, ids[places], packed)
            out[read[places[within]]] = log_probs[within]

        _read(model, ids, begins, lengths, score)
        return out

    @blas_limited_to(1)  # threads share the texts
    def next(self, texts: Sequence[Ids]) -> Floats:
        """Log probabilities of what follows each of n texts, in nats, (n, V)."""
        lengths = np.array([len(text) for text in texts], np.intp)
        ids, begins = np.concatenate([*texts, [0]]), np.cumsum(lengths) - lengths
        model, out = self.batch_model(), np.tile(self.first, (len(texts), 1))
        steps, shift = (lengths, 1) if model.separator is None else (lengths + 1, 0)

        def follow(texts: Indices, at: Indices, h: Array, packed: PackedWeights) -> None:
            w, ends = model.output(packed), at == steps[texts] - 1
            out[texts[ends.nonzero()[1]]] = h[ends] @ w.W_hc + w.b_c

        _read(model, ids, begins + shift, steps, follow)
        return np.asarray(log_softmax(out), np.float64)


def _read(
    model: Model,
    ids: Ids,
    begins: Indices,
    steps: Indices,
    use: Callable[[Indices, Indices, Array, PackedWeights], None],
) -> None:
    """Read the symbol before each place of some texts, which have so many places from ``begins``.

    ``use`` is called in several threads, with B texts, steps (T, 1) of them, and the states after
    these steps (T, B, H).
    """
    order = np.argsort(-steps, kind="stable")  # longest first
    batches = list(_batches(steps, order[steps[order] > 0], max(1, BATCH // model.H)))
    left, ended, window = iter(batches), Event(), min(WINDOW, int(steps.max(initial=0)))

    def read_some() -> None:
        B, workspace, packed = 0, None, None  # which the next batch of that size uses again
        for texts in left:
            if workspace is None or packed is None or len(texts) != B:
                B = len(texts)
                workspace, packed = model.workspace(window, B), model.packed(B, backward=False)
            state, longest = model.zero_state(B), int(steps[texts[0]])
            for lo in range(0, longest, WINDOW):
                at = np.arange(lo, min(lo + WINDOW, longest))[:, None]
                x = ids[begins[texts] + np.minimum(at, steps[texts] - 1) - 1]
                if lo == 0 and model.separator is not None:
                    x[0] = model.separator
                inputs, state = model.run(x, state, workspace.first(len(x)), packed=packed)
                use(texts, at, inputs[-1], packed)
                if ended.is_set():
                    return

    threads = min(available_cores(), len(batches))
    if threads <= 1:
        return read_some()
    with ThreadPoolExecutor(threads, initializer=begin_thread) as pool:
        try:
            for thread in as_completed([pool.submit(read_some) for _ in range(threads)]):
                thread.result()
        finally:
            ended.set()  # there was an error, or Ctrl-C


def _batches(steps: Indices, order: Indices, size: int) -> Iterator[Indices]:
    """Parts of an order, each of texts of similar length."""
    while len(order):
        some = steps[order[:size]]
        similar = int((some * SIMILAR + FEW >= some[0]).sum())
        yield order[:similar]
        order = order[similar:]


# ---- lines -------------------------------------------------------------------------------------


def line_scores(
    readers: Sequence[Reader],
    lines: Iterable[str | bytes],
    unknown: UnknownInScore,
    prior: Sequence[float] | None = None,
    name: Callable[[int], str] = "line {:,}".format,
) -> Iterator[LineScore]:
    """The score of each line by the first model, beside the others, which read it alike."""
    priors = np.array([1.0] * len(readers) if prior is None else prior, np.float64)
    if len(priors) != len(readers) or not (np.isfinite(priors) & (priors > 0)).all():
        raise ArgumentError("prior", f"takes a positive number for each model, so {len(readers)}")
    _check_comparable(readers)
    return chain.from_iterable(
        _score_known(readers, unknown, np.log(priors / priors.sum()), name, *portion)
        for portion in _portions(readers[0], lines, name)
    )


def _check_comparable(readers: Sequence[Reader]) -> None:
    """Refuse ratios between models that do not predict the same symbols of a line."""
    for key in ("level", "documents", "separator"):
        kinds = {getattr(one.data, key) or "null": one.name for one in reversed(readers)}
        if len(kinds) > 1:
            names = " and ".join(f"{name} (data.{key}={kind})" for kind, name in kinds.items())
            raise UsageError(
                f"{names} do not predict the same symbols of a line, so their probabilities of it "
                f"cannot be compared; compare models with the same data.{key}"
            )


def _portions(
    reader: Reader, lines: Iterable[str | bytes], name: Callable[[int], str]
) -> Iterator[tuple[int, list[str | bytes], list[Any]]]:
    """Yield the number of the first of some lines, the lines, and these as they are read."""
    first, some, texts, symbols = 1, list[str | bytes](), list[Any](), 0
    try:
        for line in lines:
            try:
                texts.append(as_read(line, reader.data, whole=True))
            except CorpusError as error:
                raise CorpusError(f"{name(first + len(some))}: {error}") from None
            some.append(line)
            symbols += len(texts[-1])
            if len(some) >= LINES_AT_ONCE or symbols >= SYMBOLS_AT_ONCE:
                yield first, some, texts
                first, some, texts, symbols = first + len(some), [], [], 0
    except CorpusError:  # after the lines before it
        yield first, some, texts
        raise
    yield first, some, texts


def _score_known(
    readers: Sequence[Reader],
    unknown: UnknownInScore,
    log_priors: Floats,
    name: Callable[[int], str],
    first: int,
    lines: Sequence[str | bytes],
    texts: Sequence[Any],
) -> Iterator[LineScore]:
    """Yield the scores of lines, up to the first one that has new symbols, which is an error."""
    try:
        yield from _score(readers, unknown, log_priors, lines, texts)
    except UnknownCharacterError:
        known, error = _first_with_new_symbols(readers, name, first, texts)
        yield from _score(readers, unknown, log_priors, lines[:known], texts[:known])
        raise error from None


@blas_limited_to(1)  # threads share the lines
def _score(
    readers: Sequence[Reader],
    unknown: UnknownInScore,
    log_priors: Floats,
    lines: Sequence[str | bytes],
    texts: Sequence[Any],
) -> Iterator[LineScore]:
    if not lines:
        return iter(())
    points = readers[0].vocabulary.points(texts[0][:0].join(texts))
    line = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    ids = np.array([reader.find(points, unknown) for reader in readers])  # (models, N)
    scored = (ids >= 0).all(axis=0) | (unknown == "floor")
    skipped = np.bincount(line[~scored], minlength=len(texts))
    ids, line = ids[:, scored], line[scored]
    log_probs = [
        reader.log_probs(reader.batch_model(), found, line)
        for reader, found in zip(readers, ids, strict=True)
    ]
    ends = np.searchsorted(line, np.arange(len(texts)), side="right").tolist()
    spans = list(starmap(slice, pairwise([0, *ends])))
    nats = 0.0 - np.array([[one[span].sum() for span in spans] for one in log_probs]).T
    joint = log_priors - nats  # (lines, models)
    joint -= joint.max(axis=1, keepdims=True)
    posteriors = np.exp(joint) / np.exp(joint).sum(axis=1, keepdims=True)
    own = [log_probs[0][span].copy() for span in spans]  # some may be kept
    ratios = nats[:, 1:] - nats[:, :1]
    return map(LineScore, lines, nats[:, 0].tolist(), own, skipped.tolist(), ratios, posteriors)


def _first_with_new_symbols(
    readers: Sequence[Reader], name: Callable[[int], str], first: int, texts: Sequence[Any]
) -> tuple[int, UnknownCharacterError]:
    """The index of the first text with new symbols, and its error."""
    for index, text in enumerate(texts):
        for reader in readers:
            try:
                reader.find(reader.vocabulary.points(text), "error")
            except UnknownCharacterError as error:
                model = f"{reader.name}: " if len(readers) > 1 else ""
                place = f"{name(first + index)}: {model}"
                return index, UnknownCharacterError(f"{place}{error}")
    raise AssertionError("no text has new symbols")


# ---- what follows ------------------------------------------------------------------------------


def next_symbols(
    reader: Reader, prompts: Sequence[str | bytes], unknown: Unknown
) -> Iterator[Distribution]:
    """The distribution of the symbol after each prompt."""
    texts = []
    for number, prompt in enumerate(prompts, 1):
        try:
            _, ids = reader.read(prompt, unknown)
        except (CorpusError, UnknownCharacterError) as error:
            place = f"prompt {number:,}: " if len(prompts) > 1 else ""
            raise type(error)(f"{place}{error}") from None
        texts.append(ids[ids >= 0])
    for log_probs in reader.next(texts):
        order = np.argsort(-log_probs, kind="stable")
        symbols = reader.vocabulary.form(reader.vocabulary.decode(order))
        yield Distribution(symbols, np.exp(log_probs[order]), log_probs[order])
