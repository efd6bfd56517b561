"""Samples that are new, which are no copies of some texts, and distinct: none is made twice.

Texts are searched by hashes of 64 bits, which find every copy. A sample that is none is taken for
one, and thrown away, in about one of 100,000 searches of 100 million symbols.
"""

import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import PlainValidator

from grucli.config import Data
from grucli.data.cache import check_file, release_pages
from grucli.data.corpus import CODE_POINTS, Corpus, read
from grucli.data.documents import split
from grucli.data.vocabulary import as_read
from grucli.data.windows import chunks
from grucli.errors import ArgumentError, RunError
from grucli.nn.params import Bools, Ids, Indices
from grucli.sampling import HELD, MANY_SAMPLES, Sample, Samples, side_by_side

# Symbols in a row that a sample of running text may have in common with a text. Of passages of
# 1,000 held-out symbols, 98 % have no more in common with a training text of 1 MB.
LONGEST_COPY = 30
IN_A_ROW = 5000  # samples of which none is kept, after which no more are made
CHUNK = 2**17  # symbols of a text that are searched at a time
OF_NO_TEXT, OF_NO_SAMPLE = CODE_POINTS, CODE_POINTS + 1  # stand between texts, between samples
MODULUS, BASE = 2**64, 0x9E3779B97F4A7C15  # of hashes, which are polynomials of the symbols
MOST_BITS, MORE_BITS = 24, 6  # of a key, which tell most keys of a text from the wanted ones

Keys = npt.NDArray[np.uint64]
Text = str | bytes | Path | Corpus


def _listed(not_in: Any) -> Sequence[Text] | None:
    if not_in is None:
        return None
    one = isinstance(not_in, Text) or not isinstance(not_in, Iterable)
    texts = [not_in] if one else list(not_in)
    if wrong := [text for text in texts if not isinstance(text, Text)]:
        raise ArgumentError("not_in", f"must be texts or paths, not {reprlib.repr(wrong[0])}")
    return texts


NotIn = Annotated[Text | Iterable[Text] | None, PlainValidator(_listed)]


# ---- passages


def keys(ids: Ids, k: int) -> Keys:
    """A hash of each passage of ``k`` ids (N,), (N - k + 1,); equal passages have equal hashes."""
    own = ids.astype(np.uint64) + np.uint64(1)
    if k == 1:
        return own
    half, N = keys(ids, k // 2), len(ids) - k + 1
    even = half[: len(half) - k // 2] * np.uint64(pow(BASE, k // 2, MODULUS)) + half[k // 2 :]
    return even[:N] * np.uint64(BASE) + own[k - 1 :] if k % 2 else even


def candidates(
    wanted: Keys, ids: Ids, k: int, symbols: Ids | None = None, chunk: int = CHUNK
) -> Iterator[tuple[Indices, Keys]]:
    """Places of a text of ids (N,) where ``wanted`` passages may begin, and their keys there."""
    shift = np.uint64(64 - min(MOST_BITS, len(wanted).bit_length() + MORE_BITS))
    perhaps = np.zeros(MODULUS >> int(shift), np.bool_)  # whether a wanted key has these upper bits
    perhaps[wanted >> shift] = True
    for lo in range(0, len(ids) - k + 1, chunk):
        check_file(ids)
        part = ids[lo : lo + chunk + k - 1]
        there = keys(part if symbols is None else symbols[part], k)
        places = np.flatnonzero(perhaps[there >> shift])
        yield places + lo, there[places]
        release_pages(ids)


# ---- texts


class Known:
    """Texts that a new sample does not copy.

    For a model of documents, a copy is a document of a text, or an empty one; the prompt begins it.
    A copy is also a sample with more than ``longest`` symbols in a row from a text, if ``longest``
    is not None.
    """

    def __init__(
        self,
        samples: Samples,
        data: Data,
        begun: bytes,
        not_in: Sequence[Text],
        longest: int | None,
    ) -> None:
        if longest is not None and longest < 1:
            raise ArgumentError("longest_copy", f"must be 1 or above, not {longest}")
        self.vocabulary, separator = samples.vocabulary, samples.model.separator
        end = np.array([] if separator is None else [separator], np.intp)
        self.end = self.vocabulary.decode(end)
        # what begins the document, with rare characters as in files, and as the model reads it
        read = self.vocabulary.decode(samples.prompt)
        self.begun = {begun, read.rpartition(self.end)[2]} if self.end else set[bytes]()
        self.longest = longest if self.end else longest or LONGEST_COPY
        self.texts = list(self._texts(not_in, data))
        self.documents = np.sort(np.fromiter(self._documents() if self.end else (), np.int64))

    def _texts(self, not_in: Sequence[Text], data: Data) -> Iterator[tuple[Ids, Ids]]:
        """The ids of texts, and the symbols that they stand for; all strings are one text."""
        strings = list[Ids]()
        between = np.array([] if self.end else [OF_NO_TEXT], np.uint32)
        for text in not_in:
            if isinstance(text, Path):
                text = read([str(text)], data.model_copy(update={"min_count": 1}))
            if not isinstance(text, Corpus):
                strings += [self.vocabulary.points(as_read(text, data, whole=True)), between]
            elif text.vocabulary.level == data.level:
                yield text.ids, text.vocabulary.symbols
            else:
                raise ArgumentError("not_in", f"must be texts of {data.noun}s, like the model")
        symbols = np.arange(CODE_POINTS + 1, dtype=np.uint32)
        yield np.concatenate([between, *strings]), symbols

    def _documents(self) -> Iterator[int]:
        """A hash of each document of the texts, and of an empty one."""
        yield hash(b"")
        for ids, symbols in self.texts:
            parts = (self.vocabulary.text_of(symbols[chunk]) for chunk in chunks(ids))
            yield from map(hash, split(parts, self.end))

    def copied(self, samples: Sequence[Sample]) -> Bools:
        """Which samples are copies."""
        copies = np.zeros(len(samples), np.bool_)
        for begun in self.begun:
            hashes = [hash(begun + sample.data) for sample in samples]
            copies |= _among(np.array(hashes, np.int64), self.documents)
        if self.longest is not None:
            points = [self.vocabulary.points(sample.symbols) for sample in samples]
            copies[self._with_long_copies(points, self.longest + 1)] = True
        return copies

    def _with_long_copies(self, samples: Sequence[Ids], k: int) -> Indices:
        """The numbers of the samples that have ``k`` symbols in a row from a text."""
        between = np.array([OF_NO_SAMPLE], np.uint32)
        joined = np.concatenate([part for points in samples for part in (points, between)])
        if len(joined) < k:
            return np.zeros(0, np.intp)
        wanted, which = np.unique(keys(joined, k), return_inverse=True)
        found = np.zeros(len(wanted), np.bool_)
        for ids, symbols in self.texts:
            for _, there in candidates(wanted, ids, k, symbols):
                found[np.searchsorted(wanted, there[_among(there, wanted)])] = True
        numbers = np.repeat(np.arange(len(samples)), [len(points) + 1 for points in samples])
        return numbers[: len(which)][found[which]]


def _among(some: npt.NDArray[Any], ordered: npt.NDArray[Any]) -> Bools:
    """Which numbers are among others, which are in ascending order and at least one."""
    found: Bools = ordered[np.minimum(np.searchsorted(ordered, some), len(ordered) - 1)] == some
    return found


# ---- samples


@dataclass(frozen=True, kw_only=True)
class ChosenSamples(Samples):
    """The first ``count`` samples that are new or distinct, which do not depend on ``count``."""

    known: Known | None  # what new samples do not copy; None if all are new
    distinct: bool

    pieces = Samples.as_pieces

    def __iter__(self) -> Iterator[Sample]:
        tally, seen, last = self.tally, set[str | bytes](), 0
        tally.reset()
        for sample, copied in self._judged():
            tally.made += 1
            tally.new += not copied
            if not copied and sample.symbols not in seen:
                if self.distinct:
                    seen.add(sample.symbols)
                tally.kept, last = tally.kept + 1, tally.made
                yield sample
            if tally.kept == self.count:
                return
            if tally.made == last + IN_A_ROW:
                raise RunError(
                    f"{tally.kept:,} of {self.count:,} samples were found, and none of the next "
                    f"{IN_A_ROW:,} could be taken: raise the temperature, or ask for fewer or "
                    "for shorter samples"
                )

    def _judged(self) -> Iterator[tuple[Sample, bool]]:
        """All samples in the order of their numbers, and whether each is a copy."""
        tally, most = self.tally, side_by_side(HELD, self.length)
        while True:
            wanted = (self.count - tally.kept) * (tally.made + 1) / (tally.kept + 1)
            size = min(most, max(MANY_SAMPLES, math.ceil(wanted)))
            samples, given_up = list[Sample](), None
            try:
                samples.extend(self._whole(*self._group(tally.made, size, size)))
            except RunError as error:
                given_up = error  # after the samples before it
            known = self.known if samples else None
            copied = known.copied(samples).tolist() if known else [False] * len(samples)
            yield from zip(samples, copied, strict=True)
            if given_up:
                raise given_up


def chosen(samples: Samples, data: Data, begun: bytes, asked: Mapping[str, Any]) -> Samples:
    """The distinct ones of some samples that are not in texts; or all, if nothing is asked.

    The document that they continue has ``begun`` in the prompt.
    """
    distinct, not_in, longest_copy = (asked[one] for one in ("distinct", "not_in", "longest_copy"))
    if not_in is None and longest_copy is not None:
        raise ArgumentError(
            "longest_copy", "needs a text to compare with: not_in (--new or --not-in)"
        )
    if not_in is None and not distinct:
        return samples
    known = None if not_in is None else Known(samples, data, begun, not_in, longest_copy)
    made = {one.name: getattr(samples, one.name) for one in fields(samples)}
    return ChosenSamples(**made, known=known, distinct=distinct)
