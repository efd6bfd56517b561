"""The splits of a text, and the windows that training reads."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from grucli.config import HELD_OUT, Data
from grucli.data.cache import check_file, release_pages
from grucli.data.corpus import Corpus
from grucli.data.documents import end_of
from grucli.defaults import fitted
from grucli.errors import CorpusError
from grucli.nn.params import Counts, Ids

CHUNK = 2**20  # ids read at a time by functions that read a whole text
WINDOWS_PER_RELEASE = 64  # windows read before the memory of mapped ids is released
LONGEST_LINE = 2**16  # characters on each side of a boundary in which a line end is searched


@dataclass(frozen=True)
class Splits:
    """The ids of the training text, of that for validation and of that for test."""

    train: Ids
    val: Ids
    test: Ids

    @property
    def judged(self) -> Ids:
        """The part whose loss decides which checkpoint is best: validation text, or training."""
        return self.val if len(self.val) else self.train


def splits_of(text: Corpus, data: Data) -> Splits:
    """The parts of a text, and the texts that are held out instead of a part."""
    parts = split(text.ids, data, text.vocabulary.id_of(end_of(data)))
    return replace(parts, **{name: one.ids for name, one in text.held_out.items()})


def split(ids: Ids, data: Data, end: int | None) -> Splits:
    """Split a text by position; if it has documents, each part begins after the ``end`` of one."""
    N = len(ids)
    if N and all((chunk == ids[0]).all() for chunk in chunks(ids)):
        raise CorpusError(
            f"the corpus holds only one symbol, {N:,} times; there is nothing to learn: "
            "give a text with at least two different characters"
        )
    val_share, test_share = (0 if name in data.files else getattr(data, name) for name in HELD_OUT)
    val, test = round(N * val_share), round(N * test_share)
    ends = [N - val - test, N - test]
    if data.document and end is not None:
        start = _line_start if data.documents == "line" else _document_start
        ends = [start(ids, position, end) for position in ends]
    train, val, test = np.diff([0, *ends, N]).tolist()
    shares = (("val", val_share, val), ("test", test_share, test))
    taken = " and ".join(f"data.{name}={one} takes {n:,}" for name, one, n in shares if one)
    if any(share > 0 and part < 2 for _, share, part in (("train", 1, train), *shares)):
        raise CorpusError(
            f"the corpus is too small: {N:,} {data.noun}s{taken and f', of which {taken}'}; "
            f"{train:,} remain for training. "
            f"Each part needs 2 {data.noun}s (one to read, one to predict)"
            f"{f' and begins with a whole {data.document}' if data.document else ''}: give a "
            "longer text, or set data.val or data.test to 0"
        )
    return Splits(ids[: ends[0]], ids[ends[0] : ends[1]], ids[ends[1] :])


def _line_start(ids: Ids, position: int, line_end: int) -> int:
    """The start of the line at a position, or of the next one; the position, if lines are long."""
    N = len(ids)
    first = max(0, position - LONGEST_LINE)
    starts = first + 1 + np.flatnonzero(ids[first : position + LONGEST_LINE] == line_end)
    starts = starts[(starts >= 2) & (starts <= N - 2)]  # each part needs two characters
    if position == N or not len(starts):  # no part follows, or none can begin here
        return position
    return int(starts[max(0, int((starts <= position).sum()) - 1)])


def _document_start(ids: Ids, position: int, end: int) -> int:
    """The beginning of a document that is nearest to a position; the position if there is none."""
    N = len(ids)
    for reach in (LONGEST_LINE, N) if position < N else ():  # otherwise no part follows
        lo = max(0, position - reach)
        starts = lo + 1 + np.flatnonzero(ids[lo : position + reach] == end)
        starts = starts[starts < N]
        if len(starts):
            return int(starts[np.abs(starts - position).argmin()])
    return position


def chunks(ids: Ids) -> Iterator[Ids]:
    """The ids, chunk by chunk; the memory of mapped ids is released after each chunk."""
    for lo in range(0, len(ids), CHUNK):
        check_file(ids)
        yield ids[lo : lo + CHUNK]
        release_pages(ids)


def count_symbols(ids: Ids, V: int) -> Counts:
    """How often each of ``V`` symbols occurs, (V,)."""
    counts = np.zeros(V, np.int64)
    for chunk in chunks(ids):
        counts += np.bincount(chunk, minlength=V)
    return counts


@dataclass(frozen=True)
class Windows:
    """The training text as B parallel streams, read in windows of at most T steps.

    Stream b covers characters [b S, (b+1) S) of the text. Each stream is read from start to end
    once per epoch, in windows whose lengths differ by at most one. The last characters of the text,
    fewer than B, are not read.
    """

    ids: Ids  # the training text, (N,)
    B: int  # number of streams
    T: int  # steps of the longest window

    @property
    def stream_length(self) -> int:
        """Characters that each stream predicts in an epoch (S)."""
        return (len(self.ids) - 1) // self.B

    @property
    def per_epoch(self) -> int:
        """Number of windows in an epoch, and so of updates."""
        return -(-self.stream_length // self.T)

    def chars_until(self, step: int) -> int:
        """Characters predicted in the first ``step`` windows."""
        epochs, number = divmod(step, self.per_epoch)
        return self.B * (self.stream_length * epochs + self._edge(number))

    def _edge(self, number: int) -> int:
        """Where window ``number`` begins in each stream."""
        return self.stream_length * number // self.per_epoch

    def window(self, number: int) -> tuple[Ids, Ids]:
        """The inputs and the targets of window ``number`` of an epoch, each (T, B)."""
        check_file(self.ids)
        S, B = self.stream_length, self.B
        lo, hi = self._edge(number), self._edge(number + 1)
        x, targets = (
            np.array(self.ids[shift : shift + B * S].reshape(B, S)[:, lo:hi].T, order="C")
            for shift in (0, 1)
        )
        if number % WINDOWS_PER_RELEASE == 0:
            release_pages(self.ids)
        return x, targets


def fit_windows(ids: Ids, B: int, T: int) -> Windows:
    """Windows of B streams by T steps, or of fewer if the text is too short."""
    return Windows(ids, *fitted(len(ids) - 1, B, T))
