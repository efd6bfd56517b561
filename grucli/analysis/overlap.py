"""How much of a sample stands in the text that the model was trained on."""

import numpy as np
import numpy.typing as npt

from grucli.data.cache import release_pages
from grucli.nn.params import Ids

SHORTEST_COPY = 8
"""Copies shorter than this say nothing; they are not looked for."""

UPPER_BITS = np.uint64(48)
"""Where the upper 16 bits of a number of 64 begin."""


def longest_copy(sample: Ids, corpus: Ids, chunk: int = 2**20) -> tuple[int, int]:
    """The longest passage of ``sample`` that stands in ``corpus`` to the letter.

    Every ``SHORTEST_COPY`` characters of both are turned into one number; where numbers agree
    the passage is extended to the right, from where it begins.

    Returns:
        Its length (0 if below ``SHORTEST_COPY``) and where it starts in the sample.
    """
    k = SHORTEST_COPY
    if len(sample) < k or len(corpus) < k:
        return 0, 0
    wanted = _keys(sample, k)
    order = np.argsort(wanted, kind="stable")
    perhaps = np.zeros(2**16, np.bool_)  # by the upper bits of a number: whether one is wanted
    perhaps[wanted >> UPPER_BITS] = True
    best = (0, 0)
    for lo in range(0, len(corpus) - k + 1, chunk):
        found = _keys(corpus[lo : lo + chunk + k - 1], k)
        places = np.flatnonzero(perhaps[found >> UPPER_BITS])
        first = np.searchsorted(wanted, found[places], "left", sorter=order)
        last = np.searchsorted(wanted, found[places], "right", sorter=order)
        for offset in range(int((last - first).max(initial=0))):
            hits = np.flatnonzero(first + offset < last)
            i, j = order[first[hits] + offset], places[hits] + lo
            # what also agrees one place to the left is part of a longer passage
            begins = (i == 0) | (j == 0) | (sample[i - 1] != corpus[j - 1])
            best = max(best, _extend(sample, corpus, i[begins], j[begins]), key=lambda b: b[0])
        release_pages(corpus)
    return best


def _keys(ids: Ids, k: int) -> npt.NDArray[np.uint64]:
    """A number for each run of ``k`` ids; equal runs have equal numbers."""
    keys = np.zeros(len(ids) - k + 1, np.uint64)
    for offset in range(k):
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys += ids[offset : offset + len(keys)].astype(np.uint64) + np.uint64(1)
    return keys


def _extend(
    sample: Ids, corpus: Ids, i: npt.NDArray[np.intp], j: npt.NDArray[np.intp]
) -> tuple[int, int]:
    """Longest common run that starts at one of the pairs (sample[i], corpus[j])."""
    length, start = 0, 0
    while i.size:
        inside = (i + length < len(sample)) & (j + length < len(corpus))
        i, j = i[inside], j[inside]
        same = sample[i + length] == corpus[j + length]
        i, j = i[same], j[same]
        if i.size:
            length, start = length + 1, int(i[0])
    return length, start
