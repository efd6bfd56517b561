"""What the lines of a text suggest: that it is a list, is sorted, or repeats itself."""

import numpy as np

from grucli.data.documents import LINE_END
from grucli.data.vocabulary import Vocabulary
from grucli.data.windows import CHUNK, Splits, chunks
from grucli.nn.params import Counts, Ids

SEARCHED = 2**24  # maximum number of ids of the training text that are searched for repeated lines
SHORT, LONGEST = 30, 80  # maximum mean length of the lines of a list, and of nearly all of them
FEW_LINES = 50  # with fewer lines than this, their first characters may differ by chance


def repeated_share(
    splits: Splits, vocabulary: Vocabulary, shortest: int, end: int = LINE_END
) -> float:
    """The share of the validation text in lines, or documents, that the training text also has."""
    held_out = vocabulary.decode(splits.val[:CHUNK]).split(bytes([end]))[1:-1]
    wanted = {line for line in held_out if len(line) >= shortest}
    repeated: set[bytes] = set()
    for chunk in chunks(splits.train[-SEARCHED:]):
        repeated |= wanted.intersection(vocabulary.decode(chunk).split(bytes([end])))
    length = sum(len(line) for line in held_out if line in repeated)
    return length / (sum(map(len, held_out)) or 1)


def looks_sorted(splits: Splits, end: int, V: int) -> bool:
    """Whether validation and training lines begin with other characters, as in a sorted list."""
    train, val = (_first_of_lines(ids, end, V) for ids in (splits.train, splits.val))
    train[end] = val[end] = 0  # empty lines have no first character
    if min(train.sum(), val.sum()) < FEW_LINES:
        return False
    return bool(np.abs(train / train.sum() - val / val.sum()).sum() / 2 > 0.5)


def looks_like_list(ids: Ids, line_end: int | None) -> int:
    """The number of lines at the start of a text if they are short and none is empty; or 0."""
    if line_end is None:
        return 0
    ends = np.flatnonzero(ids[:CHUNK] == line_end)
    lengths = np.diff(ends, prepend=-1) - 1
    if len(lengths) < FEW_LINES or not lengths.all():
        return 0
    short = lengths.mean() <= SHORT and np.quantile(lengths, 0.99) <= LONGEST
    return len(lengths) if short else 0


def empty_share(ids: Ids, line_end: int, V: int) -> float:
    first = _first_of_lines(ids, line_end, V)
    return float(first[line_end] / max(1, first.sum()))


def _first_of_lines(ids: Ids, line_end: int, V: int) -> Counts:
    """How often each symbol follows a line end, (V,)."""
    counts = np.zeros(V, np.int64)
    for chunk in chunks(ids):
        counts += np.bincount(chunk[1:][chunk[:-1] == line_end], minlength=V)
    return counts
