"""Samples with conditions: whether all of them match, and how fast they are made.

``python -m benchmarks.conditions matches RUN`` makes samples for each of 50 patterns, and asks
``re`` about each of them. ``python -m benchmarks.conditions speed`` compares the characters a
second with a pattern and without.
"""

import argparse
import re
import time
from statistics import median

import numpy as np

import grucli
from grucli.data.vocabulary import Vocabulary
from grucli.language_model import LanguageModel
from grucli.nn.model import Model

PATTERNS = r"""
[a-z]+
[a-z]+_[a-z]+
[a-z_]{4,8}
.{1,3}
.{12}
(?i)MAR.*
(?i)[A-F]{3,}
[^aeiou]+
[aeiou][^aeiou]([aeiou][^aeiou])*
.*ing
.*(ed|er|est)
un.*able
(re|un|pre)[a-z]{3,}
[a-c].*[x-z]
(ab|cd|ef)*
(a|e|i|o|u)+.?
\w+
\w{2,4}_\w{2,4}
[^\W\d_]+
\S+
[\w]+?
(?:[a-z]{1,3}_){1,3}[a-z]+
(.)(.)(.)
(?P<head>[a-m]+)(?P<rest>[n-z]*)
^[a-z]+$
\A[st].*\Z
[a-z]*_?[a-z]*
a?b?c?d?e?f?g?h?
(a?){8}a{2}
(a|ab)(c|bcd)?(d*)
((a*)*b)*c
[b-df-hj-np-tv-z]{2,5}
.*q[^u].*
.*(.{2})_.*
(get|set|is|has)_[a-z]{2,10}
[a-z]+(_[a-z]+){2}
s(h|p|t)?[aeiou]+[a-z]{,4}
[a-z]{3}|[a-z]{6}
(?s).{5}
\x61.*
\u0062[^\n]*
[^_]*_[^_]*_[^_]*
[l-n]+[^l-n]+
(?#two parts).+_.+
x.*|y.*|z.*
[a-y]*z[a-y]*
.*a.*b.*c.*
(?a)\w{6}
[a-z]{2,}?e
([a-z])([a-z]*)
""".strip("\n").splitlines()
SAMPLES = 10_000


def matches(run: str, count: int) -> None:
    lm, wrong, begun = grucli.load(run), 0, time.perf_counter()
    for number, pattern in enumerate(PATTERNS, 1):
        match = re.compile(pattern).fullmatch
        texts = [sample.text for sample in lm.samples(count, 24, pattern=pattern, seed=number)]
        bad = [text for text in texts if match(text) is None]
        wrong += len(bad)
        print(
            f"{pattern:32}  {len(texts):,} samples  {len(set(texts)):,} distinct  {len(bad)} wrong"
        )
    seconds = time.perf_counter() - begun
    print(f"{len(PATTERNS)} patterns, {wrong} samples do not match; {seconds:.0f} s")


def speed(H: int, length: int) -> None:
    for V, first, pattern in (
        (65, 32, ".*"),
        (65, 32, r"(\w+ )*\w+"),
        (5000, 0x4E00, "[一-龥]+"),
    ):
        model = Model(V, H, 1)
        model.initialize(np.random.default_rng(0))
        vocabulary = Vocabulary(np.arange(first, first + V))
        for compiled in (True, False):
            lm = LanguageModel(
                model, vocabulary, np.ones(V, int), library="auto", compiled=compiled
            )
            plain, constrained = [], []
            for _ in range(6):  # the first turn warms up
                plain.append(_rate(lm, length))
                constrained.append(_rate(lm, length, pattern=pattern, min_length=length))
            with_it, without = median(constrained[1:]), median(plain[1:])
            print(
                f"V {V}, {pattern}, {'compiled' if compiled else 'NumPy'}: {with_it:,.0f} "
                f"characters a second, {without:,.0f} without a pattern ({with_it / without:.2f})"
            )


def _rate(lm: LanguageModel, length: int, **asked: object) -> float:
    samples = lm.samples(64, length, seed=0, **asked)  # type: ignore[arg-type]
    begun = time.perf_counter()
    made = sum(len(sample) for sample in samples)
    return made / (time.perf_counter() - begun)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("matches", "speed"))
    parser.add_argument("run", nargs="?", help="a model of words or names, for matches")
    parser.add_argument("--count", type=int, default=SAMPLES)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--length", type=int, default=100)
    asked = parser.parse_args()
    if asked.what == "matches":
        matches(asked.run, asked.count)
    else:
        speed(asked.hidden, asked.length)
