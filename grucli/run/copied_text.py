"""Find the longest passage that a sample copies from the training text."""

import numpy as np
import numpy.typing as npt

from grucli.data.cache import release_pages
from grucli.nn.params import Ids

SHORTEST_COPY = 8
"""Minimum length of a copy. Shorter copies mean nothing, and are not searched for."""

UPPER_BITS = np.uint64(48)
"""Shift that gives the upper 16 bits of a 64-bit number."""


def longest_copy(sample: Ids, corpus: Ids, chunk: int = 2**20) -> tuple[int, int]:
    """Find the longest passage of ``sample`` that also occurs in ``corpus``.

    All substrings of ``SHORTEST_COPY`` characters of both texts are hashed. Where two hashes are
    equal, the passage is extended to the right, character by character.

    Returns:
        The length of the passage (0 if below ``SHORTEST_COPY``) and its start in the sample.
    """
    k = SHORTEST_COPY
    if len(sample) < k or len(corpus) < k:
        return 0, 0
    wanted = _keys(sample, k)
    order = np.argsort(wanted, kind="stable")
    perhaps = np.zeros(2**16, np.bool_)  # whether a wanted hash has these upper bits
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
            # if the characters before are equal too, this is part of a longer passage
            begins = (i == 0) | (j == 0) | (sample[i - 1] != corpus[j - 1])
            best = max(best, _extend(sample, corpus, i[begins], j[begins]), key=lambda b: b[0])
        release_pages(corpus)
    return best


def _keys(ids: Ids, k: int) -> npt.NDArray[np.uint64]:
    """Return a hash of each substring of ``k`` ids; equal substrings have equal hashes."""
    keys = np.zeros(len(ids) - k + 1, np.uint64)
    for offset in range(k):
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys += ids[offset : offset + len(keys)].astype(np.uint64) + np.uint64(1)
    return keys


def _extend(
    sample: Ids, corpus: Ids, i: npt.NDArray[np.intp], j: npt.NDArray[np.intp]
) -> tuple[int, int]:
    """Return length and start of the longest common passage from a pair (sample[i], corpus[j])."""
    length, start = 0, 0
    while i.size:
        inside = (i + length < len(sample)) & (j + length < len(corpus))
        i, j = i[inside], j[inside]
        same = sample[i + length] == corpus[j + length]
        i, j = i[same], j[same]
        if i.size:
            length, start = length + 1, int(i[0])
    return length, start
