"""Sample the ids of characters from a model, one after the other, several samples as one batch."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from grucli.errors import ArgumentError
from grucli.evaluation import Stopped
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.nn.stepper import Stepper
from grucli.threads import available_cores, blas_limited_to

PROMPT_WINDOW = 128
"""Characters of the prompt read at a time. It changes the result by rounding errors only."""

DRAWS_AHEAD = 256
"""Random numbers drawn from a stream at a time. It does not change the result."""

MANY_SAMPLES = 16
"""Minimum number of samples to share among threads. With fewer, threads share products."""

PRODUCT_THREADS = 4
"""Maximum number of threads for a product with few rows."""

SMALLEST_PART = 2**13
"""Minimum samples x units per thread."""

TOGETHER = 16
"""Characters computed between synchronizations of threads, or changes of their number."""

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


def product_threads(samples: int) -> int:
    """Return the number of threads to share each product of ``samples`` samples in parallel.

    It is a power of two, with which the products have equal bits (``matmul.GROUPED``).
    """
    if samples >= MANY_SAMPLES:
        return 1
    return 1 << (min(available_cores(), PRODUCT_THREADS).bit_length() - 1)


def with_product_threads(made: Made, threads: int) -> Made:
    """Yield the same; while it is computed, but not in between, ``threads`` share each product."""
    ahead = 1
    while True:
        with blas_limited_to(threads):
            some = list(islice(made, ahead))
        if not some:
            return
        yield from some
        ahead = min(2 * ahead, TOGETHER)  # a stop text may end the samples soon


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
