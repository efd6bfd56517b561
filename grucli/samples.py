"""Samples as texts: decoded, scored, and ended by stop texts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grucli.data.vocabulary import LINE_END, Vocabulary
from grucli.errors import ArgumentError
from grucli.nn.functional import log_softmax
from grucli.nn.model import Model
from grucli.nn.params import Ids
from grucli.sampling import (
    Made,
    Sampler,
    choose_threads,
    generate,
    product_threads,
    with_product_threads,
)
from grucli.text_score import TextScore

SIDE_BY_SIDE = 1024
"""Maximum number of samples that are computed in parallel."""

HELD = 2**22
"""Maximum number of characters in parallel samples, which are all held in memory."""

LONGEST_STOP = 1000
"""Maximum length of a stop text, in characters. Longer ones would make sampling slow."""


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


def side_by_side(samples: int, length: int) -> int:
    """Return the number of samples to compute in parallel; the others are computed later."""
    return max(1, min(samples, SIDE_BY_SIDE, HELD // max(1, length)))


class Piece(NamedTuple):
    """The next part of a sample.

    Attributes:
        number: the number of the sample, from 0.
        data: whole characters in UTF-8, or bytes if the model is one of bytes; may be empty.
    """

    number: int
    data: bytes


@dataclass(frozen=True, eq=False, repr=False)
class Sample(TextScore):
    """A whole sample, without the prompt, scored at temperature 1.

    Attributes:
        end_log_prob: log probability of the line end after it, in nats; None if none follows.
    """

    end_log_prob: float | None = None


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
        prompt: ids to read before a sample: the prompt, or a line end; may be empty, (N,).
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
            computed = generate(
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
            made = with_product_threads(computed, product_threads(size))
            yield first, filters, _until_all_end(filters, made) if self.stops else made

    def _data(self, ids: Ids, number: int) -> bytes:
        return self.vocabulary.decode(ids[number : number + 1])

    def _sample(self, data: bytes, ids: list[int], log_probs: list[float]) -> Sample:
        """Return a sample of the symbols in ``data``, which are the first ones of ``ids``."""
        symbols = data if self.vocabulary.level == "byte" else data.decode()
        N, end = len(symbols), None
        if len(ids) > N and self.vocabulary.symbols[ids[N]] == LINE_END:
            end = log_probs[N]
        return Sample(symbols, np.array(log_probs[:N], np.float64), end_log_prob=end)


def _until_all_end(filters: Sequence[StopFilter], made: Made) -> Made:
    """Yield ids and logits until a stop text has ended every sample."""
    for step in made:
        yield step
        if all(stops.stopped for stops in filters):
            return
