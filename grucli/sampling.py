"""Text from a model, one character at a time, several samples as one batch.

``generate`` makes ids without end; ``Samples`` turns them into texts, each ended by a stop text.
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
"""Characters of the prompt read at a time; changes the result by rounding alone."""

DRAWS_AHEAD = 256
"""Random numbers taken from a stream at a time; does not change the result."""

SMALLEST_PART = 2**13
"""Minimum samples x units per thread."""

TOGETHER = 16
"""Characters per thread between synchronizations."""

LONGEST_STOP = 1000
"""Characters of a stop text: its beginnings are looked for at each character."""

COLDEST, HOTTEST = 1e20, 1e-20
"""Bounds of the logits' factor: temperatures beyond leave float32's range, and choose alike."""

Made = Iterator[tuple[npt.NDArray[np.intp], Array]]
"""What ``generate`` yields: for each character ids (samples,), and logits (samples, V)."""


@dataclass(frozen=True)
class Sampler:
    """How the next character is chosen from the model's distribution.

    Attributes:
        temperature: logits are divided by it; 0 takes the most probable character.
        top_k: only the k most probable characters; None: all.
        top_p: only the fewest characters whose probabilities reach p; None: all.
        never: a character that is not chosen, whatever the model says.

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
        """What logits are multiplied by; an array takes NumPy less time than a Python number."""
        return np.array(max(min(1.0 / self.temperature, COLDEST), HOTTEST), np.float32)

    def draw(self, logits: Array, uniform: Array) -> npt.NDArray[np.intp]:
        """One character a row.

        Args:
            logits: logarithms of the probabilities, up to a constant of each row, (N, V).
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
    """The largest logit of each row, in a shape to subtract from them."""
    if len(logits) == 1:  # the same, faster
        return logits[0, logits.argmax()]
    return np.maximum.reduce(logits, axis=1, keepdims=True)


def _fall_within(p: npt.NDArray[np.float64], shares: Array) -> npt.NDArray[np.intp]:
    """Inverse-CDF sampling, row by row: weights ``p`` (N, V) at shares (N,) of their sums.

    Shares are below 1, and so a character of weight zero is never drawn.
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
    """Zero all but the most probable characters that together reach ``top_p`` of each row.

    The most probable one always stays: a small ``top_p`` is zero in float32.
    """
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked  # what the more probable ones reach
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
    """Continue a prompt; without one, the first character comes from the corpus's frequencies.

    A model of documents begins one, and another after each that ends. Sample i draws from a
    random stream of its own.

    Args:
        model: the model.
        counts: how often each character occurs in the training text, (V,).
        prompt: ids, (N,); may be empty.
        length: characters to make.
        sampler: how to choose them.
        seed: of all random streams.
        samples: how many samples to make side by side.
        first: the number of the first of them.
        threads: how many threads share the samples.
        stop: asked while the prompt is read whether to raise ``Stopped``; then ask yourself.

    Yields:
        For each character the ids, (samples,), and the logits they were drawn from, (samples, V).
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
    """Make the parts in a thread each, and put them together."""
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
    """The first character's logits, (1, V), and the state before it."""
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
    """Go on from one state and its logits (1, V), in as many ways as there are random streams."""
    logits, stepper.state = (np.repeat(x, len(streams), axis=-2) for x in (logits, state))
    for start in range(0, length, DRAWS_AHEAD):
        draws = np.array([stream.random(DRAWS_AHEAD) for stream in streams]).T
        for position, uniform in enumerate(draws[: length - start], start + 1):
            ids = sampler.draw(logits, uniform)
            yield ids, logits
            if position < length:
                logits = stepper.step(ids)


def choose_threads(samples: int, H: int) -> int:
    """How many threads shall share the samples of a model of ``H`` units."""
    if samples < MANY_SAMPLES:
        return 1
    return max(1, min(available_cores(), samples * H // SMALLEST_PART))


def read_prompt(
    model: Model,
    prompt: Ids,
    stepper: Stepper | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Array, Array]:
    """Read a prompt from the zero state: the next character's logits (1, V), and the state.

    Args:
        model: the model.
        prompt: ids, (N,), N >= 1.
        stepper: ``Stepper(model, 1)``, where there is one already.
        stop: asked again and again whether to stop.

    Raises:
        Stopped: ``stop`` has said so.
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
    """One whole sample, without its prompt, (length,).

    Raises:
        Stopped: ``stop``, which is asked at each character, has said so.
    """
    pieces = generate(model, counts, prompt, length=length, sampler=sampler, seed=seed, stop=stop)

    def made() -> Iterator[np.intp]:
        for ids, _ in pieces:
            if stop():
                raise Stopped
            yield ids[0]

    return np.fromiter(made(), np.intp)


class StopFilter:
    """Passes text on until one of the stop strings is complete; that string is not passed on.

    Args:
        stops: stop strings in the encoding of the text; none passes everything.
    """

    def __init__(self, stops: Sequence[bytes]) -> None:
        self.stops = stops
        self.held = b""  # text that may turn out to be the start of a stop string
        self.stopped = False

    def add(self, piece: bytes) -> bytes:
        """What of the text so far is certain to be wanted and was not passed on before."""
        if self.stopped:
            return b""
        self.held += piece
        found = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._pass_on(min(found))
        return self._pass_on(len(self.held) - self._undecided())

    def end(self) -> bytes:
        """The rest, once no more text follows."""
        return b"" if self.stopped else self._pass_on(len(self.held))

    def _undecided(self) -> int:
        """Length of the longest end of the text that a stop string starts with."""
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
    """Refuse stop texts that cannot be looked for.

    Raises:
        ArgumentError: one is empty or too long.
    """
    for stop in stops:
        if not stop:
            raise ArgumentError("stop", "needs a text; an empty one would end every sample at once")
        if len(stop) > LONGEST_STOP:
            raise ArgumentError("stop", f"takes texts of at most {LONGEST_STOP:,} characters")


class Piece(NamedTuple):
    """Some more of a sample, as it is made.

    Attributes:
        number: of the sample, from 0.
        data: UTF-8 text, whole characters, or the bytes of a model of bytes; may be empty.
    """

    number: int
    data: bytes


@dataclass(frozen=True, eq=False)
class Sample:
    """A whole sample.

    Attributes:
        symbols: N characters, or N bytes of a model of bytes; without the prompt.
        log_probs: log probability of each in nats, whatever the temperature, (N,).
        end_log_prob: that of the line end that follows them; None if another symbol does.
    """

    symbols: str | bytes
    log_probs: npt.NDArray[np.float64]
    end_log_prob: float | None = None

    @property
    def text(self) -> str:
        """The sample; bytes that are not UTF-8 become U+FFFD."""
        if isinstance(self.symbols, str):
            return self.symbols
        return self.symbols.decode(errors="replace")


@dataclass(frozen=True)
class Samples:
    """Samples that continue one prompt, made when they are asked for.

    Iterating gives each as a whole ``Sample``, ``pieces`` gives them as they are made. Both make
    the same characters, and make them anew each time. Groups of samples are made side by side.

    Attributes:
        model: the model.
        vocabulary: what its ids stand for.
        counts: how often each symbol occurs in the training text, (V,).
        prompt: its ids, (N,); may be empty.
        prompt_data: the prompt as it stands before each sample, as ``Piece.data``.
        count: how many samples.
        length: symbols of a sample that no stop text ends.
        sampler: how symbols are chosen.
        seed: of all random numbers.
        stops: texts that end a sample and are not part of it, as ``Piece.data``.
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
        """Each sample in turn, the first of each group as it is made; each begins with b""."""
        for first, filters, made in self._groups():
            rest = [bytearray() for _ in filters]
            yield Piece(first, b"")
            for ids, _ in made:
                for number, stops in enumerate(filters):
                    data = stops.add(self._data(ids, number))
                    if number:
                        rest[number] += data
                    elif data:
                        yield Piece(first, data)
            yield Piece(first, filters[0].end())
            for number, stops in enumerate(filters[1:], 1):
                yield Piece(first + number, b"")
                yield Piece(first + number, bytes(rest[number]) + stops.end())

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
        """Samples that are made side by side: the first one's number, filters, what is made."""
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
                yield first, filters, _until_all_end(filters, made)

    def _data(self, ids: Ids, number: int) -> bytes:
        return self.vocabulary.decode(ids[number : number + 1])

    def _sample(self, data: bytes, ids: list[int], log_probs: list[float]) -> Sample:
        """A sample of the symbols made, of which those after ``data`` are not wanted."""
        symbols = data if self.vocabulary.level == "byte" else data.decode()
        N, end = len(symbols), None
        if len(ids) > N and self.vocabulary.symbols[ids[N]] == LINE_END:
            end = log_probs[N]
        return Sample(symbols, np.array(log_probs[:N], np.float64), end)


def _until_all_end(filters: Sequence[StopFilter], made: Made) -> Made:
    """What is made, until no sample wants more."""
    for step in made:
        yield step
        if all(stops.stopped for stops in filters):
            return
