"""Samples of a model: several at a time as one batch, as ids and as texts."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from grucli.conditions import ENDED, FAILED, Condition, Walk, encoded
from grucli.data.documents import LINE_END
from grucli.data.vocabulary import Vocabulary
from grucli.errors import ArgumentError, RunError
from grucli.evaluation import Stopped
from grucli.nn.functional import log_softmax
from grucli.nn.model import Model
from grucli.nn.packed import PackedWeights
from grucli.nn.params import Array, Counts, Floats, Ids, Indices
from grucli.nn.stepper import Stepper
from grucli.text_score import TextScore
from grucli.threads import available_cores, begin_thread, blas, blas_limited_to, set_by_user

SIDE_BY_SIDE = 1024  # samples that are computed in parallel, at most
HELD = 2**22  # characters in parallel samples, which are all held in memory, at most
MOST_TRIES = 100_000  # tries for a sample that fulfils a condition, at most
LONGEST_TRY = 2**17  # symbols of one
LONGEST_STOP = 1000  # characters of a stop text; longer ones would make sampling slow

PROMPT_WINDOW = 128  # characters of a prompt read at a time; it changes rounding errors only

MANY_SAMPLES = 16  # samples to share among threads; with fewer, threads share products
PRODUCT_THREADS = 4  # threads for a product with few rows, at most
SMALLEST_PART = 2**13  # samples x units per thread, at least; fewer if loops are compiled
COMPILED_PART = 2**11
FIRST_BURST, LONGEST_BURST = 16, 256  # characters computed at a time, at first and later
AT_ONCE = 2**22  # logits of all characters computed at a time, at most
WORK = 2**30  # parameters multiplied at a time, at most, so that Ctrl-C need not wait long

COLDEST, HOTTEST = 1e20, 1e-20  # factors of the logits whose products stay in float32's range

# Some characters of each sample, (n, samples): their ids, and their log probabilities in nats.
Burst = tuple[Ids, Floats]
Bursts = Iterator[Burst]


# ---- one character -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sampler:
    """How the next character is chosen from the model's distribution."""

    temperature: float = 1.0  # divisor of the logits; 0 chooses the most probable character
    top_k: int | None = None  # choose among the k most probable characters; None for all
    top_p: float | None = None  # among the most probable ones that together reach probability p
    never: int | None = None  # the id of a character that is never chosen

    def __post_init__(self) -> None:
        heat, k, p = self.temperature, self.top_k, self.top_p
        if not (math.isfinite(heat) and heat >= 0):
            raise ArgumentError("temperature", f"must be 0 or above, not {heat}; 0.8 is usual")
        if k is not None and k < 1:
            raise ArgumentError("top_k", f"must be 1 or above, not {k}; 40 is usual")
        if p is not None and not 0 < p <= 1:
            raise ArgumentError("top_p", f"must be above 0 and at most 1, not {p}; 0.95 is usual")

    @cached_property
    def sharpness(self) -> Array:
        """The bounded factor 1/temperature, as an array: NumPy multiplies faster by an array."""
        return np.array(max(min(1.0 / self.temperature, COLDEST), HOTTEST), np.float32)

    def draw(self, logits: Array, uniform: Array) -> Indices:
        """Choose one character for each row of logits (N, V), by random numbers in [0, 1), (N,)."""
        if self.never is not None:
            logits = logits.copy()
            logits[:, self.never] = -np.inf
        if self.temperature == 0:
            likeliest: Indices = logits.argmax(axis=1)
            return likeliest
        p = logits - _largest(logits)
        p *= self.sharpness
        np.exp(p, out=p)
        if self.top_k is not None and self.top_k < p.shape[1]:
            others = np.argpartition(-p, self.top_k - 1, axis=1)[:, self.top_k :]
            np.put_along_axis(p, others, 0.0, axis=1)
        if self.top_p is not None and self.top_p < 1:
            _keep_nucleus_(p, self.top_p)
        return _at_shares(p.astype(np.float64), uniform)


def _largest(logits: Array) -> Any:
    """The largest logit of each row, in a shape that can be subtracted from the logits."""
    if len(logits) == 1:  # the same, faster
        return logits[0, logits.argmax()]
    return np.maximum.reduce(logits, axis=1, keepdims=True)


def _at_shares(p: Floats, shares: Array) -> Indices:
    """Draw one character for each row of weights (N, V), at its share of their sum, (N,)."""
    drawn: Indices
    if len(p) == 1:  # the same, faster
        cumulative = np.add.accumulate(p[0])
        drawn = cumulative.searchsorted(shares * cumulative[-1:], side="right")
    else:
        cumulative = np.add.accumulate(p, axis=1)
        drawn = np.add.reduce(cumulative <= shares[:, None] * cumulative[:, -1:], axis=1)
    return drawn


def _keep_nucleus_(p: Array, top_p: float) -> None:
    """Set all but the most probable characters, which together reach ``top_p``, to zero."""
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked  # sum of all more probable characters
    enough = before >= top_p * ranked.sum(axis=1, keepdims=True)
    ranked[:, 1:][enough[:, 1:]] = 0.0  # the first one stays: a tiny top_p is 0 in float32
    np.put_along_axis(p, order, ranked, axis=1)


# ---- ids ---------------------------------------------------------------------------------------


def _in_threads(parts: Sequence[Bursts]) -> Bursts:
    """Compute each part in a thread of its own, and concatenate the results."""
    with ThreadPoolExecutor(len(parts), initializer=begin_thread) as pool:
        while bursts := list(filter(None, pool.map(lambda part: next(part, None), parts))):
            ids, log_probs = zip(*bursts, strict=True)
            yield np.concatenate(ids, axis=1), np.concatenate(log_probs, axis=1)


class _Drawn:
    """A random stream whose numbers have been drawn."""

    def __init__(self, numbers: Array) -> None:
        self.numbers = numbers

    def random(self, N: int) -> Array:
        some, self.numbers = self.numbers[:N], self.numbers[N:]
        return some


class _Plain:
    """Chooses and reads characters by NumPy, as a ``CompiledStepper`` does."""

    def __init__(
        self, model: Model, streams: int, packed: PackedWeights, condition: Condition | None
    ) -> None:
        self.stepper = Stepper(model, streams, packed)
        self.walk = None if condition is None else Walk(condition, streams)

    def begin(self, logits: Array, state: Array) -> None:
        self.logits, self.stepper.state = logits, state

    def sample(self, sampler: Sampler, uniform: Array) -> Burst:
        ids, logits = np.empty(uniform.shape, np.int64), []
        walk = self.walk
        for step, of_streams in enumerate(uniform):
            allowed = self.logits if walk is None else walk.mask(self.logits)
            ids[step] = drawn = sampler.draw(allowed, of_streams)
            if walk is not None:
                ids[step] = walk.read(drawn)
            logits.append(self.logits)
            self.logits = self.stepper.step(drawn)
        log_probs = np.take_along_axis(log_softmax(np.array(logits)), ids[..., None], axis=2)
        return ids, log_probs[..., 0].astype(np.float64)


def _stepper(
    model: Model, streams: int, packed: PackedWeights, condition: Condition | None, threads: int
) -> Any:
    if condition or not model.backend.compiled:
        return _Plain(model, streams, packed, condition)
    from grucli.nn.compiled.sampler import CompiledStepper  # Numba is an extra

    return CompiledStepper(model, streams, packed, threads)


def read_prompt(
    model: Model, prompt: Ids, stop: Callable[[], bool] = lambda: False
) -> tuple[Array, Array]:
    """Read a prompt (N,) from the zero state; return the next logits (1, V) and the state."""
    state = model.zero_state(1)
    for lo in range(0, len(prompt) - 1, PROMPT_WINDOW):
        x = np.asarray(prompt[lo : min(lo + PROMPT_WINDOW, len(prompt) - 1)], np.intp)[:, None]
        _, state = model.run(x, state, model.workspace(len(x), 1))
        if stop():
            raise Stopped
    stepper = Stepper(model, 1)
    stepper.state = state
    return stepper.step(np.asarray(prompt[-1:], np.intp)), stepper.state


def choose_threads(samples: int, model: Model) -> int:
    """The number of threads that share the samples, at least two for each thread."""
    if samples < MANY_SAMPLES:
        return 1
    smallest = COMPILED_PART if model.backend.compiled else SMALLEST_PART
    return max(1, min(available_cores(), samples // 2, samples * model.H // smallest))


def product_threads(samples: int) -> int:
    """The threads that share each product: a power of two, for equal bits (``matmul.GROUPED``)."""
    if samples >= MANY_SAMPLES:
        return 1
    cores = blas().get("num_threads", 1) if set_by_user() else available_cores()
    return 1 << (min(cores, PRODUCT_THREADS).bit_length() - 1)


def _with_blas_threads(bursts: Bursts, threads: int) -> Bursts:
    """The same; while it is computed, but not in between, a product of the BLAS has ``threads``."""
    while True:
        with blas_limited_to(threads):
            burst = next(bursts, None)
        if burst is None:
            return
        yield burst


# ---- texts -------------------------------------------------------------------------------------


class StopFilter:
    """Passes a text on up to the first of some stop texts, and leaves that one out."""

    def __init__(self, stops: Sequence[bytes]) -> None:
        self.stops = stops
        self.held = b""  # text that may turn out to be the start of a stop text
        self.stopped = False

    def add(self, piece: bytes) -> bytes:
        """Add text; return the new part that cannot belong to a stop text."""
        if not self.stops:
            return piece
        if self.stopped:
            return b""
        self.held += piece
        found = [(at + len(one), at) for one in self.stops if (at := self.held.find(one)) >= 0]
        if found:  # the first to end, and of those that end there the longest
            self.stopped = True
            return self._pass_on(min(found)[1])
        return self._pass_on(len(self.held) - self._undecided())

    def end(self) -> bytes:
        """The rest of the text, when no more text follows."""
        return b"" if self.stopped else self._pass_on(len(self.held))

    def _undecided(self) -> int:
        """The length of the longest end of the text that is the start of a stop text."""
        longest = min(len(self.held), max(map(len, self.stops)) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(self.held[-length:]) for stop in self.stops):
                return length
        return 0

    def _pass_on(self, length: int) -> bytes:
        passed, self.held = self.held[:length], self.held[length:]
        return passed


def check_stops(stops: Iterable[str], *, of_bytes: bool) -> None:
    errors = "surrogateescape" if of_bytes else "strict"  # some halves of pairs stand for bytes
    for stop in stops:
        if not stop:
            raise ArgumentError("stop", "needs a text; an empty one would end every sample at once")
        encoded("stop", stop, errors)
        if len(stop) > LONGEST_STOP:
            raise ArgumentError("stop", f"takes texts of at most {LONGEST_STOP:,} characters")


def side_by_side(samples: int, length: int) -> int:
    """The number of samples to compute in parallel; the others are computed later."""
    return max(1, min(samples, SIDE_BY_SIDE, HELD // max(1, length)))


class Piece(NamedTuple):
    """The next part of a sample."""

    number: int  # of the sample, from 0
    data: bytes  # whole characters in UTF-8, or bytes of a model of bytes; may be empty


@dataclass(frozen=True, eq=False, repr=False)
class Sample(TextScore):
    """A whole sample, without the prompt, scored at temperature 1."""

    end_log_prob: float | None = None  # of the end of a line or document after it; or None


@dataclass
class Tally:
    """How many samples were made, how many were new, and how many were kept."""

    made: int = 0
    new: int = 0
    kept: int = 0  # of the new ones; of several equal samples, one is kept if they are distinct
    accepted: int = 0  # samples that an exact condition has accepted
    tried: int = 0  # samples that were drawn for them

    def reset(self) -> None:
        vars(self).update(vars(Tally()))


@dataclass(frozen=True)
class Samples:
    """Samples that continue one prompt; they are computed when they are read.

    Iteration yields each sample as a whole ``Sample``. ``pieces`` yields parts of samples as
    soon as they are known. Both compute the samples again each time, with the same result.
    Samples are computed in groups, each as one batch.
    """

    model: Model
    vocabulary: Vocabulary
    counts: Counts  # how often each symbol occurs in the training text, (V,)
    prompt: Ids  # read before a sample: the prompt, or a line end; may be empty, (N,)
    prompt_data: bytes  # the prompt in the form of ``Piece.data``
    count: int  # the number of samples
    length: int  # symbols of a sample, unless a stop text ends it before
    sampler: Sampler
    seed: int
    # texts that end a sample and are not part of it, in the form of ``Piece.data``
    stops: Sequence[bytes] = ()
    condition: Condition | None = None  # what each sample fulfils
    tally: Tally = field(default_factory=Tally)  # of the last iteration

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("length", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ArgumentError(name, f"must be {least} or above, not {getattr(self, name)}")
        if self.condition and self.condition.exact and self.sampler.temperature == 0:
            raise ArgumentError("exact", "cannot go with temperature 0, whose tries are all alike")
        if self.condition and self.condition.exact and self.length > LONGEST_TRY:
            raise ArgumentError("exact", f"takes at most {LONGEST_TRY:,} {self.vocabulary.noun}s")

    def pieces(self) -> Iterator[Piece]:
        """Yield the parts of each sample in turn, of which the first is b"".

        The first sample of a group is yielded while it is computed, unless it must be accepted.
        """
        if self.condition and self.condition.exact:
            yield from self.as_pieces()
            return
        for first, (shown, *others), bursts in self._groups():
            rest = [bytearray() for _ in others]
            yield Piece(first, b"")
            for ids, _ in bursts:
                if data := shown.add(self._decode(ids[:, 0])):
                    yield Piece(first, data)
                for number, stops in enumerate(others):
                    rest[number] += stops.add(self._decode(ids[:, number + 1]))
            yield Piece(first, shown.end())
            for number, (text, stops) in enumerate(zip(rest, others, strict=True), first + 1):
                yield Piece(number, b"")
                yield Piece(number, bytes(text) + stops.end())

    def as_pieces(self) -> Iterator[Piece]:
        """Yield each whole sample as one piece, after a first one, b""."""
        for number, sample in enumerate(self):
            yield from (Piece(number, b""), Piece(number, sample.data))

    def __iter__(self) -> Iterator[Sample]:
        for _, filters, bursts in self._groups():
            yield from self._whole(filters, bursts)

    def _whole(self, filters: Sequence[StopFilter], bursts: Bursts) -> Iterator[Sample]:
        """The samples of a group, up to one of which no try was accepted."""
        every: list[Burst] = []
        texts = [bytearray() for _ in filters]
        for burst in bursts:
            every.append(burst)
            for number, stops in enumerate(filters):
                texts[number] += stops.add(self._decode(burst[0][:, number]))
        ids, log_probs = _joined(every, len(filters))
        for number, (text, stops) in enumerate(zip(texts, filters, strict=True)):
            if FAILED in ids[:, number]:
                raise RunError(
                    f"{MOST_TRIES:,} tries made no sample that fulfils the condition: make it "
                    "weaker, or sample without exact"
                )
            yield self._sample(bytes(text) + stops.end(), ids[:, number], log_probs[:, number])

    def _decode(self, ids: Ids) -> bytes:
        return self.vocabulary.decode(ids[ids >= 0])

    def ids(self, stop: Callable[[], bool] = lambda: False) -> Indices:
        """The ids of the first sample, (length,): no text ends it; ``stop`` raises ``Stopped``."""
        drawn: list[Ids] = [np.empty(0, np.intp)]
        for ids, _ in self.bursts(stop=stop):
            if stop():
                raise Stopped
            drawn.append(ids[:, 0])
        return np.concatenate(drawn).astype(np.intp)

    def _groups(self) -> Iterator[tuple[int, list[StopFilter], Bursts]]:
        """Yield each group: the number of its first sample, its filters, its characters."""
        self.tally.reset()
        size = side_by_side(self.count, self.length)
        for first in range(0, self.count, size):
            yield first, *self._group(first, min(size, self.count - first), size)

    def _group(self, first: int, samples: int, size: int) -> tuple[list[StopFilter], Bursts]:
        """The filters and the characters of a group, and of a whole one as many as ``size``."""
        filters = [StopFilter(self.stops) for _ in range(samples)]
        threads = choose_threads(samples, self.model)
        computed = self.bursts(samples, first, threads)
        # those of the BLAS, which wait in a loop, would disturb the threads of a compiled stepper
        own = size == 1 and self.model.backend.compiled and self.condition is None
        bursts = _with_blas_threads(computed, 1 if own else product_threads(size))
        return filters, _until_all_end(bursts, filters) if self.stops or self.condition else bursts

    def bursts(
        self,
        samples: int = 1,
        first: int = 0,
        threads: int = 1,
        stop: Callable[[], bool] | None = None,
    ) -> Bursts:
        """Compute samples, from the number ``first``, as one batch; no stop text ends them."""
        start = self._begun if stop is None else self.start(stop)
        numbers = range(first, first + samples)  # each determines a random stream
        streams = [np.random.default_rng([self.seed, number]) for number in numbers]
        if self.condition and self.condition.exact:
            yield self._accepted(streams, start)
        else:
            yield from self._together(streams, start, threads)

    def _together(self, streams: Sequence[Any], start: tuple[Array, Array], threads: int) -> Bursts:
        """Compute a sample for each random stream."""
        samples = len(streams)
        edges = [samples * thread // threads for thread in range(threads + 1)]
        packed = self.model.packed(-(-samples // threads), backward=False)
        longest = min(LONGEST_BURST, AT_ONCE // (samples * self.model.V))
        longest = max(1, min(longest, WORK // (samples * self.model.params.flat.size)))
        parts, shared = [], product_threads(samples)
        for lo, hi in pairwise(edges):
            stepper = _stepper(self.model, hi - lo, packed, self.condition, shared)
            parts.append(self._continue(stepper, *start, streams[lo:hi], longest))
        yield from parts[0] if threads == 1 else _in_threads(parts)

    def _accepted(
        self, streams: Sequence[np.random.Generator], start: tuple[Array, Array]
    ) -> Burst:
        """For each random stream the first of its tries that fulfils the condition, or FAILED."""
        found: dict[int, Burst] = {}
        tried, most = 0, side_by_side(SIDE_BY_SIDE, self.length)
        while waiting := [number for number in range(len(streams)) if number not in found]:
            if tried >= MOST_TRIES:
                break
            N = max(min(tried, most // len(waiting)), -(-MANY_SAMPLES // len(waiting)))
            N = min(N, MOST_TRIES - tried)
            drawn = (streams[number].random((N, self.length)) for number in waiting)
            tries = [_Drawn(numbers) for of_stream in drawn for numbers in of_stream]
            bursts = self._together(tries, start, choose_threads(len(tries), self.model))
            ids, log_probs = _joined(_until_all_end(bursts), len(tries))
            failed = (ids == FAILED).any(axis=0).reshape(-1, N)
            for index in np.flatnonzero(~failed.all(axis=1)).tolist():
                first = int(failed[index].argmin())
                column = index * N + first
                found[waiting[index]] = ids[:, column].copy(), log_probs[:, column].copy()
                self.tally.accepted += 1
                self.tally.tried += tried + first + 1
            tried += N
        self.tally.tried += tried * len(waiting)
        length = max((len(ids) for ids, _ in found.values()), default=1)
        made = np.full((length, len(streams)), ENDED), np.zeros((length, len(streams)))
        made[0][:1, waiting] = FAILED
        for number, of_sample in found.items():
            for array, values in zip(made, of_sample, strict=True):
                array[: len(values), number] = values
        return made

    @cached_property
    def _begun(self) -> tuple[Array, Array]:
        return self.start()  # a long prompt is read once for all groups

    def start(self, stop: Callable[[], bool] = lambda: False) -> tuple[Array, Array]:
        """The logits of the first character, (1, V), and the state before it."""
        separator, prompt = self.model.separator, self.prompt
        if separator is not None:
            prompt = np.append(separator, prompt)
        if len(prompt):
            return read_prompt(self.model.plain(), prompt, stop)
        with np.errstate(divide="ignore"):  # a character of count 0 is never drawn
            return np.log(self.counts / self.counts.sum())[None], self.model.zero_state(1)

    def _continue(
        self, stepper: Any, logits: Array, state: Array, streams: Sequence[Any], longest: int
    ) -> Bursts:
        """Continue one state with its logits (1, V): one sample for each random stream."""
        stepper.begin(*(np.repeat(x, len(streams), axis=-2) for x in (logits, state)))
        may_end = self.stops or self.condition  # soon
        left, ahead = self.length, FIRST_BURST if may_end else longest
        while left > 0:
            ahead = min(ahead, longest, left)
            draws = np.array([stream.random(ahead) for stream in streams])
            yield stepper.sample(self.sampler, np.ascontiguousarray(draws.T))
            left, ahead = left - ahead, 2 * ahead

    def _sample(self, data: bytes, ids: Ids, log_probs: Floats) -> Sample:
        """The sample of the symbols in ``data``, which are the first ones of ``ids``."""
        symbols = self.vocabulary.form(data)
        N, end, last = len(symbols), None, self.model.separator
        last = self.vocabulary.id_of(LINE_END) if last is None else last
        if len(ids) > N and ids[N] == last:
            end = float(log_probs[N])
        return Sample(symbols, log_probs[:N], end_log_prob=end)


def _joined(bursts: Iterable[Burst], samples: int) -> Burst:
    """All characters of some samples."""
    nothing = np.empty((0, samples))
    ids, log_probs = zip((nothing.astype(np.int64), nothing), *bursts, strict=True)
    return np.concatenate(ids), np.concatenate(log_probs)


def _until_all_end(bursts: Bursts, filters: Sequence[StopFilter] = ()) -> Bursts:
    """The same, until a stop text or a condition has ended every sample."""
    for burst in bursts:
        yield burst
        stopped = [stops.stopped for stops in filters] or [False]
        if np.all((burst[0][-1:] < 0) | stopped):
            return
