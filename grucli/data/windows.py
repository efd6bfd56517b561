"""The splits of a text, and the windows that training reads.

The ids may be in memory or mapped from a file.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grucli.config import Data
from grucli.data.cache import check_file, release_pages
from grucli.data.vocabulary import Vocabulary
from grucli.errors import CorpusError
from grucli.nn.params import Ids

CHUNK = 2**20
"""Ids read at a time by functions that read a whole text."""

WINDOWS_PER_RELEASE = 64
"""Windows read before the memory of mapped ids is released."""

SEARCHED = 2**24
"""Maximum number of ids of the training text that are searched for repeated lines."""

LONGEST_LINE = 2**16
"""Characters before a boundary of a list in which a line end is searched."""

SHORT, LONGEST = 30, 80
"""Maximum mean length of the lines of a list, and maximum length of nearly all of them."""

FEW_LINES = 50
"""With fewer lines than this, their first characters may differ by chance."""


@dataclass(frozen=True)
class Splits:
    """Views of a corpus: first the training text, then validation, then test."""

    train: Ids
    val: Ids
    test: Ids

    @property
    def judged(self) -> Ids:
        """The part whose loss decides which checkpoint is best: validation text, or training."""
        return self.val if len(self.val) else self.train


def split(ids: Ids, data: Data, line_end: int | None) -> Splits:
    """Split a text by position. Each part needs one character to read and one to predict.

    The parts of a list begin with a whole line.

    Args:
        ids: the text.
        data: the shares of the parts, and whether the text is a list.
        line_end: the id of the line end, if the text has any.

    Raises:
        CorpusError: the text has only one symbol, or is too small.
    """
    N = len(ids)
    if N and all((chunk == ids[0]).all() for chunk in chunks(ids)):
        raise CorpusError(
            f"the corpus holds only one symbol, {N:,} times; there is nothing to learn: "
            "give a text with at least two different characters"
        )
    val, test = round(N * data.val), round(N * data.test)
    ends = [N - val - test, N - test]
    if data.documents and line_end is not None:
        ends = [_line_start(ids, end, line_end) for end in ends]
    train, val, test = np.diff([0, *ends, N]).tolist()
    if any(
        share > 0 and part < 2 for part, share in ((train, 1), (val, data.val), (test, data.test))
    ):
        raise CorpusError(
            f"the corpus is too small: {N:,} {data.noun}s, of which data.val={data.val} takes "
            f"{val:,} and data.test={data.test} takes {test:,}; {train:,} remain for training. "
            f"Each part needs 2 {data.noun}s (one to read, one to predict)"
            f"{' and begins with a whole line' if data.documents else ''}: give a longer text, or "
            "set data.val or data.test to 0"
        )
    return Splits(ids[: ends[0]], ids[ends[0] : ends[1]], ids[ends[1] :])


def _line_start(ids: Ids, position: int, line_end: int) -> int:
    """The start of the line at a position.

    The position itself, if it is the end of the text, or the line is long or begins the text.
    """
    if position == len(ids):  # no part follows
        return position
    first = max(0, position - LONGEST_LINE)
    (ends,) = np.nonzero(ids[first:position] == line_end)
    start = first + int(ends[-1]) + 1 if len(ends) else 0
    return start if start >= 2 else position  # the part before needs two characters


def chunks(ids: Ids) -> Iterator[Ids]:
    """The ids, chunk by chunk; the memory of mapped ids is released after each chunk."""
    for lo in range(0, len(ids), CHUNK):
        check_file(ids)
        yield ids[lo : lo + CHUNK]
        release_pages(ids)


def count_symbols(ids: Ids, V: int) -> npt.NDArray[np.int64]:
    """How often each of ``V`` symbols occurs, (V,)."""
    counts = np.zeros(V, np.int64)
    for chunk in chunks(ids):
        counts += np.bincount(chunk, minlength=V)
    return counts


def repeated_share(splits: Splits, vocabulary: Vocabulary, shortest: int) -> float:
    """The share of the validation text in lines that also stand in the training text.

    Only lines of at least ``shortest`` bytes count: shorter ones repeat in any text. The start of a
    long validation text and the end of a long training text are searched.
    """
    held_out = vocabulary.decode(splits.val[:CHUNK]).split(b"\n")[1:-1]
    wanted = {line for line in held_out if len(line) >= shortest}
    found: set[bytes] = set()
    for chunk in chunks(splits.train[-SEARCHED:]):
        found |= wanted.intersection(vocabulary.decode(chunk).split(b"\n"))
    lengths = [(len(line), line in found) for line in held_out if line in wanted]
    return sum(length for length, is_found in lengths if is_found) / (sum(map(len, held_out)) or 1)


def looks_sorted(splits: Splits, line_end: int, V: int) -> bool:
    """Whether validation and training lines begin with different characters, as in a sorted list.

    They do if the two distributions of first characters overlap by less than half.
    """
    train, val = (_first_of_lines(ids, line_end, V) for ids in (splits.train, splits.val))
    train[line_end] = val[line_end] = 0  # empty lines have no first character
    if min(train.sum(), val.sum()) < FEW_LINES:
        return False
    return bool(np.abs(train / train.sum() - val / val.sum()).sum() / 2 > 0.5)


def looks_like_list(ids: Ids, line_end: int | None) -> int:
    """The number of lines at the start of a text if it looks like a list, otherwise 0.

    It does if its lines are short and none of them is empty. Verse has empty lines.
    """
    if line_end is None:
        return 0
    ends = np.flatnonzero(ids[:CHUNK] == line_end)
    lengths = np.diff(ends, prepend=-1) - 1
    if len(lengths) < FEW_LINES or not lengths.all():
        return 0
    short = lengths.mean() <= SHORT and np.quantile(lengths, 0.99) <= LONGEST
    return len(lengths) if short else 0


def empty_share(ids: Ids, line_end: int, V: int) -> float:
    """The share of the lines that are empty."""
    first = _first_of_lines(ids, line_end, V)
    return float(first[line_end] / max(1, first.sum()))


def _first_of_lines(ids: Ids, line_end: int, V: int) -> npt.NDArray[np.int64]:
    """How often each symbol follows a line end, (V,)."""
    counts = np.zeros(V, np.int64)
    for chunk in chunks(ids):
        counts += np.bincount(chunk[1:][chunk[:-1] == line_end], minlength=V)
    return counts


@dataclass(frozen=True)
class Windows:
    """The training text as B parallel streams, read in windows of at most T steps.

    Stream b covers characters [b S, (b+1) S) of the text. Each stream is read from start to end
    once per epoch, in windows whose lengths differ by at most one. The last characters of the text,
    fewer than B, are not read.

    Attributes:
        ids: the training text, (N,).
        B: number of streams.
        T: steps of the longest window.
    """

    ids: Ids
    B: int
    T: int

    @property
    def stream_length(self) -> int:
        """Characters that each stream predicts in an epoch (S)."""
        return (len(self.ids) - 1) // self.B

    @property
    def per_epoch(self) -> int:
        """Number of windows in an epoch, and so of updates."""
        return -(-self.stream_length // self.T)

    @property
    def chars_per_epoch(self) -> int:
        """Characters predicted in an epoch."""
        return self.stream_length * self.B

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
    """Windows of B streams by T steps; both are halved as often as the text is too small.

    A text should fill ten windows. To reach that, B may fall to about 8 and T to about 32. They
    fall below that only if the text does not even fill one window.
    """
    N = len(ids) - 1
    while 10 * B * T > N and (B > 8 or T > 32):
        B, T = _halve(B, T)
    while B * T > N:
        B, T = _halve(B, T)
    return Windows(ids, B, T)


def _halve(B: int, T: int) -> tuple[int, int]:
    return (-(-B // 2), T) if T == 1 or (B / 8 >= T / 32 and B > 1) else (B, -(-T // 2))
