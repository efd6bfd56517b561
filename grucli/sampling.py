"""Sample text from a model, character by character, with several samples as one batch.

``generate`` samples ids. ``Samples`` decodes them, and ends a sample at a stop text.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.data.vocabulary import LINE_END, Vocabulary
from grucli.errors import ArgumentError
from grucli.evaluation import Stopped
from grucli.nn.functional import log_softmax
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.nn.stepper import Stepper
from grucli.threads import (
    MANY_SAMPLES,
    available_cores,
    blas_limited_to,
    product_threads,
    side_by_side,
)

PROMPT_WINDOW = 128
"""Characters of the prompt read at a time. It changes the result by rounding errors only."""

DRAWS_AHEAD = 256
"""Random numbers drawn from a stream at a time. It does not change the result."""

SMALLEST_PART = 2**13
"""Minimum samples x units per thread."""

TOGETHER = 16
"""Characters per thread between synchronizations."""

LONGEST_STOP = 1000
"""Maximum length of a stop text, in characters. Longer ones would make sampling slow."""

COLDEST, HOTTEST = 1e20, 1e-20
"""Largest and smallest factor of the logits, so that the products stay in float32's range."""

Made = Iterator[tuple[npt.NDArray[np.intp], Array]]
"""What ``generate`` yields for each character: ids (samples,) and logits (samples, V)."""


@dataclass(frozen=True)
class Sampler:
    """How the next character is chosen from the model's distribution.

    Attributes:
        temperature: the divisor of the logits; 0 chooses the most probable character.
        top_k: choose among the k most probable characters; None for all.
        top_p: choose among the most probable characters that together reach probability p;
            None for all.
        never: the id of a character that is never chosen.

    Raises:
        ArgumentError: a value is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    never: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ArgumentError(
                "temperature", f"must be 0 or above, not {self.temperature}; 0.8 is usual"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ArgumentError("top_k", f"must be 1 or above, not {self.top_k}; 40 is usual")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ArgumentError(
                "top_p", f"must be above 0 and at most 1, not {self.top_p}; 0.95 is usual"
            )

    @cached_property
    def _sharpness(self) -> Array:
        """The bounded factor 1/temperature, as an array: NumPy multiplies faster by an array."""
        return np.array(max(min(1.0 / self.temperature, COLDEST), HOTTEST), np.float32)

    def draw(self, logits: Array, uniform: Array) -> npt.NDArray[np.intp]:
        """Choose one character for each row.

        Args:
            logits: logarithms of the probabilities plus any constant for each row, (N, V).
            uniform: random numbers in [0, 1), (N,).
        """
        if self.never is not None:
            logits = logits.copy()
            logits[:, self.never] = -np.inf
        if self.temperature == 0:
            likeliest: npt.NDArray[np.intp] = logits.argmax(axis=1)
            return likeliest
        p = logits - _largest(logits)
        p *= self._sharpness
        np.exp(p, out=p)
        if self.top_k is not None and self.top_k < p.shape[1]:
            others = np.argpartition(-p, self.top_k - 1, axis=1)[:, self.top_k :]
            np.put_along_axis(p, others, 0.0, axis=1)
        if self.top_p is not None:
            _keep_nucleus_(p, self.top_p)
        return _fall_within(p.astype(np.float64), uniform)


def _largest(logits: Array) -> Any:
    """The largest logit of each row, in a shape that can be subtracted from the logits."""
    if len(logits) == 1:  # the same, faster
        return logits[0, logits.argmax()]
    return np.maximum.reduce(logits, axis=1, keepdims=True)


def _fall_within(p: npt.NDArray[np.float64], shares: Array) -> npt.NDArray[np.intp]:
    """Sample from the weights ``p`` (N, V), row by row, by the inverse of the cumulative sum.

    ``shares`` (N,) are in [0, 1), so a character of weight zero is never drawn.
    """
    drawn: npt.NDArray[np.intp]
    if len(p) == 1:  # the same, faster
        cumulative = np.add.accumulate(p[0])
        drawn = cumulative.searchsorted(shares * cumulative[-1:], side="right")
    else:
        cumulative = np.add.accumulate(p, axis=1)
        drawn = np.add.reduce(cumulative <= shares[:, None] * cumulative[:, -1:], axis=1)
    return drawn


def _keep_nucleus_(p: Array, top_p: float) -> None:
    """Set all but the most probable characters, which together reach ``top_p``, to zero.

    The most probable character is always kept, because a tiny ``top_p`` is zero in float32.
    """
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked  # sum of all more probable characters
    enough = before >= top_p * ranked.sum(axis=1, keepdims=True)
    ranked[:, 1:][enough[:, 1:]] = 0.0
    np.put_along_axis(p, order, ranked, axis=1)


def generate(
    model: Model,
    counts: npt.NDArray[np.int64],
    prompt: Ids,
    *,
    length: int,
    sampler: Sampler,
    seed: int,
    samples: int = 1,
    first: int = 0,
    threads: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> Made:
    """Continue a prompt. Without one, draw the first character by its frequency in the corpus.

    A model of documents starts with a new document, and starts another after each line end. Each
    sample has its own random stream.

    Args:
        model: the model.
        counts: how often each character occurs in the training text, (V,).
        prompt: ids, (N,); may be empty.
        length: characters of each sample.
        sampler: how to choose the characters.
        seed: the random seed.
        samples: the number of samples, computed as one batch.
        first: the number of the first sample, which determines its random stream.
        threads: the number of threads that share the samples.
        stop: called while the prompt is read; if it returns true, ``Stopped`` is raised. After
            the prompt it is not called.

    Yields:
        For each character: ids (samples,), and the logits they were drawn from (samples, V).
    """
    edges = [samples * thread // threads for thread in range(threads + 1)]
    packed = model.packed(-(-samples // threads), backward=False)
    steppers = [Stepper(model, hi - lo, packed) for lo, hi in pairwise(edges)]
    logits, state = _start(model, counts, prompt, steppers[0] if samples == 1 else None, stop)
    streams = [np.random.default_rng([seed, first + number]) for number in range(samples)]
    parts = [
        _continue(stepper, logits, state, streams[lo:hi], length, sampler)
        for stepper, (lo, hi) in zip(steppers, pairwise(edges), strict=True)
    ]
    yield from parts[0] if threads == 1 else _in_threads(parts, length)


def _in_threads(parts: Sequence[Made], length: int) -> Made:
    """Compute each part in a thread of its own, and concatenate the results."""
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in range(0, length, TOGETHER):
            some = pool.map(lambda part: list(islice(part, TOGETHER)), parts)
            for made in zip(*some, strict=True):
                ids, parts_logits = zip(*made, strict=True)
                yield np.concatenate(ids), np.concatenate(parts_logits)


def _start(
    model: Model,
    counts: npt.NDArray[np.int64],
    prompt: Ids,
    stepper: Stepper | None,
    stop: Callable[[], bool],
) -> tuple[Array, Array]:
    """Return the logits of the first character, (1, V), and the state before it."""
    if model.separator is not None:
        prompt = np.append(model.separator, prompt)
    if len(prompt):
        return read_prompt(model, prompt, stepper, stop)
    with np.errstate(divide="ignore"):  # a character of count 0 is never drawn
        return np.log(counts / counts.sum())[None], model.zero_state(1)


def _continue(
    stepper: Stepper,
    logits: Array,
    state: Array,
    streams: Sequence[np.random.Generator],
    length: int,
    sampler: Sampler,
) -> Made:
    """Continue one state with its logits (1, V): one sample for each random stream."""
    logits, stepper.state = (np.repeat(x, len(streams), axis=-2) for x in (logits, state))
    for start in range(0, length, DRAWS_AHEAD):
        draws = np.array([stream.random(DRAWS_AHEAD) for stream in streams]).T
        for position, uniform in enumerate(draws[: length - start], start + 1):
            ids = sampler.draw(logits, uniform)
            yield ids, logits
            if position < length:
                logits = stepper.step(ids)


def choose_threads(samples: int, H: int) -> int:
    """Return the number of threads to use for sampling from a model of ``H`` units."""
    if samples < MANY_SAMPLES:
        return 1
    return max(1, min(available_cores(), samples * H // SMALLEST_PART))


def read_prompt(
    model: Model,
    prompt: Ids,
    stepper: Stepper | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Array, Array]:
    """Read a prompt from the zero state; return the next character's logits (1, V) and the state.

    Args:
        model: the model.
        prompt: ids, (N,), N >= 1.
        stepper: a ``Stepper(model, 1)`` to use; None to make one.
        stop: called repeatedly; if it returns true, reading stops.

    Raises:
        Stopped: ``stop`` returned true.
    """
    state = model.zero_state(1)
    for lo in range(0, len(prompt) - 1, PROMPT_WINDOW):
        x = np.asarray(prompt[lo : min(lo + PROMPT_WINDOW, len(prompt) - 1)], np.intp)[:, None]
        _, state = model.run(x, state, model.workspace(len(x), 1))
        if stop():
            raise Stopped
    stepper = stepper or Stepper(model, 1)
    stepper.state = state
    return stepper.step(np.asarray(prompt[-1:], np.intp)), stepper.state


def sample_ids(
    model: Model,
    counts: npt.NDArray[np.int64],
    prompt: Ids,
    *,
    length: int,
    sampler: Sampler,
    seed: int,
    stop: Callable[[], bool] = lambda: False,
) -> npt.NDArray[np.intp]:
    """Return the ids of one whole sample without its prompt, (length,).

    Raises:
        Stopped: ``stop``, which is called at each character, returned true.
    """
    pieces = generate(model, counts, prompt, length=length, sampler=sampler, seed=seed, stop=stop)

    def made() -> Iterator[np.intp]:
        for ids, _ in pieces:
            if stop():
                raise Stopped
            yield ids[0]

    return np.fromiter(made(), np.intp)


class StopFilter:
    """A filter that returns text up to the first stop string, and leaves that string out.

    Args:
        stops: stop strings in the encoding of the text; if there are none, all text is returned.
    """

    def __init__(self, stops: Sequence[bytes]) -> None:
        self.stops = stops
        self.held = b""  # text that may turn out to be the start of a stop string
        self.stopped = False

    def add(self, piece: bytes) -> bytes:
        """Add text; return the new part that cannot belong to a stop string."""
        if not self.stops:
            return piece
        if self.stopped:
            return b""
        self.held += piece
        found = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._pass_on(min(found))
        return self._pass_on(len(self.held) - self._undecided())

    def end(self) -> bytes:
        """Return the rest of the text. Call this when no more text follows."""
        return b"" if self.stopped else self._pass_on(len(self.held))

    def _undecided(self) -> int:
        """Return the length of the longest end of the text that is the start of a stop string."""
        return max(
            (
                n
                for stop in self.stops
                for n in range(1, min(len(stop), len(self.held) + 1))
                if self.held.endswith(stop[:n])
            ),
            default=0,
        )

    def _pass_on(self, length: int) -> bytes:
        passed, self.held = self.held[:length], self.held[length:]
        return passed


def check_stops(stops: Iterable[str]) -> None:
    """Refuse stop texts that cannot be used.

    Raises:
        ArgumentError: a stop text is empty or too long.
    """
    for stop in stops:
        if not stop:
            raise ArgumentError("stop", "needs a text; an empty one would end every sample at once")
        if len(stop) > LONGEST_STOP:
            raise ArgumentError("stop", f"takes texts of at most {LONGEST_STOP:,} characters")


class Piece(NamedTuple):
    """The next part of a sample.

    Attributes:
        number: the number of the sample, from 0.
        data: whole characters in UTF-8, or bytes if the model is one of bytes; may be empty.
    """

    number: int
    data: bytes


@dataclass(frozen=True, eq=False)
class Sample:
    """A whole sample.

    Attributes:
        symbols: N characters, or N bytes if the model is one of bytes; without the prompt.
        log_probs: log probability of each symbol in nats, at temperature 1, (N,).
        end_log_prob: log probability of the line end after them; None if no line end follows.
    """

    symbols: str | bytes
    log_probs: npt.NDArray[np.float64]
    end_log_prob: float | None = None

    @property
    def text(self) -> str:
        """The text of the sample; bytes that are not UTF-8 become U+FFFD."""
        if isinstance(self.symbols, str):
            return self.symbols
        return self.symbols.decode(errors="replace")


@dataclass(frozen=True)
class Samples:
    """Samples that continue one prompt; they are computed when they are read.

    Iteration yields each sample as a whole ``Sample``. ``pieces`` yields parts of samples as
    soon as they are known. Both compute the samples again each time, with the same result.
    Samples are computed in groups, each as one batch.

    Attributes:
        model: the model.
        vocabulary: the symbols that the ids stand for.
        counts: how often each symbol occurs in the training text, (V,).
        prompt: ids of the prompt, (N,); may be empty.
        prompt_data: the prompt in the form of ``Piece.data``.
        count: the number of samples.
        length: symbols of a sample, unless a stop text ends it before.
        sampler: how symbols are chosen.
        seed: the random seed.
        stops: texts that end a sample and are not part of it, in the form of ``Piece.data``.
    """

    model: Model
    vocabulary: Vocabulary
    counts: npt.NDArray[np.int64]
    prompt: Ids
    prompt_data: bytes
    count: int
    length: int
    sampler: Sampler
    seed: int
    stops: Sequence[bytes] = ()

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("length", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ArgumentError(name, f"must be {least} or above, not {getattr(self, name)}")

    def pieces(self) -> Iterator[Piece]:
        """Yield the parts of each sample in turn; the first part of each is b"".

        The first sample of a group is yielded while it is computed.
        """
        decode = self.vocabulary.decode
        for first, (shown, *others), made in self._groups():
            rest = [bytearray() for _ in others]
            yield Piece(first, b"")
            for ids, _ in made:
                if data := shown.add(decode(ids[:1])):
                    yield Piece(first, data)
                for number, stops in enumerate(others):
                    rest[number] += stops.add(decode(ids[number + 1 : number + 2]))
            yield Piece(first, shown.end())
            for number, (text, stops) in enumerate(zip(rest, others, strict=True), first + 1):
                yield Piece(number, b"")
                yield Piece(number, bytes(text) + stops.end())

    def __iter__(self) -> Iterator[Sample]:
        for _, filters, made in self._groups():
            symbols: list[list[int]] = [[] for _ in filters]
            log_probs: list[list[float]] = [[] for _ in filters]
            texts = [bytearray() for _ in filters]
            for ids, logits in made:
                log_y = log_softmax(logits)
                for number, stops in enumerate(filters):
                    if not stops.stopped:
                        texts[number] += stops.add(self._data(ids, number))
                        symbols[number].append(int(ids[number]))
                        log_probs[number].append(float(log_y[number, ids[number]]))
            for text, stops, ids_of, logs in zip(texts, filters, symbols, log_probs, strict=True):
                yield self._sample(bytes(text) + stops.end(), ids_of, logs)

    def _groups(self) -> Iterator[tuple[int, list[StopFilter], Made]]:
        """Yield each group: the number of its first sample, its filters, its ids and logits."""
        size = side_by_side(self.count, self.length)
        for first in range(0, self.count, size):
            samples = min(size, self.count - first)
            filters = [StopFilter(self.stops) for _ in range(samples)]
            made = generate(
                self.model,
                self.counts,
                self.prompt,
                length=self.length,
                sampler=self.sampler,
                seed=self.seed,
                samples=samples,
                first=first,
                threads=choose_threads(samples, self.model.H),
            )
            with blas_limited_to(product_threads(size)):
                yield first, filters, _until_all_end(filters, made) if self.stops else made

    def _data(self, ids: Ids, number: int) -> bytes:
        return self.vocabulary.decode(ids[number : number + 1])

    def _sample(self, data: bytes, ids: list[int], log_probs: list[float]) -> Sample:
        """Return a sample of the symbols in ``data``, which are the first ones of ``ids``."""
        symbols = data if self.vocabulary.level == "byte" else data.decode()
        N, end = len(symbols), None
        if len(ids) > N and self.vocabulary.symbols[ids[N]] == LINE_END:
            end = log_probs[N]
        return Sample(symbols, np.array(log_probs[:N], np.float64), end)


def _until_all_end(filters: Sequence[StopFilter], made: Made) -> Made:
    """Yield ids and logits until a stop text has ended every sample."""
    for step in made:
        yield step
        if all(stops.stopped for stops in filters):
            return
