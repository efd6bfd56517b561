r"""Conditions on samples: an automaton over a model's symbols, and the lengths a sample may have.

A pattern is a regular expression of Python's ``re``. It describes the whole text: ``re.fullmatch``.
``re`` also says which symbols a part such as ``[a-z]`` or ``\w`` matches, so that both agree.

A sample ends with an end text, which is no part of it: the line end of a document, or a stop text.
Without end texts, it ends where it matches the pattern, once the model draws a symbol that leads to
no longer match.
"""

import re
import reprlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from grucli.data.vocabulary import UNK, Vocabulary
from grucli.errors import ArgumentError
from grucli.nn.params import Array, Bools, Counts, Ids, Indices

OPTIONS = ("pattern", "only", "without", "min_length", "max_length", "exact")  # of ``sample``
MOST_STEPS = 2 * 10**6  # from terms by classes of symbols, and parts of the terms after them
MOST_EARLY = 2**28  # bytes for the lengths before the least one, if not all are alike
EACH_EARLY = 2**11  # bytes that one of them counts, at least
NEVER = 2**40  # symbols to the end of a text that has no end; samples are shorter
LOWEST = -1e30  # instead of the logit -inf of a symbol that never began a text
ENDED, FAILED = -1, -2  # instead of ids, after the end of a sample


TOKEN = re.compile(
    r"""(?P<nothing> \(\?\# [^)]* \) | \(\? [a-zA-Z]+ \) )
      | (?P<open> \( (?: (?!\?) | \?: | \?P<\w+> ) )
      | (?P<close> \) )
      | (?P<either> \| )
      | (?P<repeat> (?: [*+?] | \{ (?: \d+ (?:,\d*)? | ,\d* ) \} ) (?!\+) \?? )
      | (?P<start> \^ | \\A )
      | (?P<end> \$ | \\[Zz] )
      | (?P<set> \[ \^? \]? (?: \\. | [^]\\] )* \] | \\N\{ [^}]* \} | \\x.. | \\u.{4} | \\U.{8}
               | \\0[0-7]{0,2} | \\[1-3][0-7]{2} | \\[^bB1-9] | [^(\\*+?{]
               | \{ (?! \d+,?\d*\} | ,\d*\} ) )
    """,
    re.VERBOSE | re.DOTALL,
)
"""What an automaton can follow; in a correct expression, all else is refused."""


def encoded(name: str, text: str, errors: str) -> bytes:
    """An argument in UTF-8, or the error that it has half of a surrogate pair."""
    try:
        return text.encode(errors=errors)
    except UnicodeEncodeError:
        problem = f"{reprlib.repr(text)} has half of a surrogate pair, which no text has"
        raise ArgumentError(name, problem) from None


# ---- regular expressions -----------------------------------------------------------------------

# ("set", source), ("start",), ("end",), ("sequence", *terms), ("either", *terms),
# ("repeat", term, least, most), and ("first", term) for a whole text that has not begun
Term = tuple[Any, ...]


class _Parser:
    """Reads a regular expression of characters, or of bytes, each written as a character."""

    def __init__(self, name: str, source: str, level: str) -> None:
        self.name, self.of_bytes, self.at = name, level == "byte", 0
        self.sets: set[str] = set()  # the sources of all sets of the expression
        self.source = source
        if self.of_bytes:
            self.source = encoded(name, source, "surrogateescape").decode("latin-1")
        self.flags = self._compiled(self.source).flags & ~re.UNICODE
        if self.flags & (re.LOCALE | re.MULTILINE | re.VERBOSE):
            raise self._refused()

    def _compiled(self, source: str, flags: int = 0) -> re.Pattern[Any]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return re.compile(source.encode("latin-1") if self.of_bytes else source, flags)
        except re.error as error:
            raise ArgumentError(self.name, f"{reprlib.repr(source)} is wrong: {error}") from None
        except (RecursionError, OverflowError):
            raise ArgumentError(self.name, "is too large; shorten it") from None

    def _refused(self) -> ArgumentError:
        return ArgumentError(
            self.name,
            f"{reprlib.repr(self.source)} has at position {self.at} what no automaton can follow: "
            "lookaround, a word boundary, a reference to a group, an atomic group or repeat, or "
            "a flag other than (?i), (?s) and (?a) at the start",
        )

    def matches(self, source: str, symbols: Ids) -> Bools:
        """Which symbols a set matches, as ``re`` says."""
        match = self._compiled(source, self.flags).fullmatch
        convert = (lambda symbol: bytes([symbol])) if self.of_bytes else chr
        return np.array([match(convert(symbol)) is not None for symbol in symbols.tolist()], bool)

    def term(self) -> Term:
        """The term up to a closing parenthesis, or to the end."""
        options: list[Term] = []
        parts: list[Term] = []
        while self.at < len(self.source):
            if (token := TOKEN.match(self.source, self.at)) is None:
                raise self._refused()
            self.at, kind = token.end(), token.lastgroup
            if kind == "close":
                break
            if kind == "either":
                options.append(("sequence", *parts))
                parts = []
            elif kind == "open":
                parts.append(self.term())
            elif kind == "repeat":
                parts[-1] = ("repeat", parts[-1], *_times(token[0]))
            elif kind == "set":
                self.sets.add(token[0])
                parts.append(("set", token[0]))
            elif kind != "nothing":
                parts.append((kind,))
        return ("either", *options, ("sequence", *parts)) if options else ("sequence", *parts)


def _times(repeat: str) -> tuple[int, float]:
    """The least and the greatest number of repetitions."""
    if repeat[0] != "{":
        return {"*": (0, np.inf), "+": (1, np.inf), "?": (0, 1)}[repeat[0]]
    least, comma, most = repeat.strip("{}?").partition(",")
    return int(least or 0), float(most or np.inf) if comma else int(least)


def _may_be_empty(term: Term, *passed: str) -> bool:
    """Whether a term matches an empty text, at the places that are ``passed``: "start", "end"."""
    kind, *parts = term
    if kind == "first":
        return _may_be_empty(parts[0], "start", *passed)
    if kind == "repeat":
        return parts[1] == 0 or _may_be_empty(parts[0], *passed)
    if kind in ("sequence", "either"):
        return (all if kind == "sequence" else any)(_may_be_empty(part, *passed) for part in parts)
    return kind in passed


@lru_cache(2**16)
def _heads(term: Term, *passed: str) -> tuple[tuple[str, Term], ...]:
    """The sets that can match the next symbol, with the terms for the rest (Antimirov 1996)."""
    kind, *parts = term
    if kind == "set":
        return ((parts[0], ("sequence",)),)
    if kind == "first":
        return _heads(parts[0], "start")
    heads: list[tuple[str, Term]] = []
    if kind == "repeat":
        part, least, most = parts
        rest = (("repeat", part, max(0, least - 1), most - 1),) if most > 1 else ()
        heads = [(source, (*after, *rest)) for source, after in _heads(part, *passed) if most]
    for number, part in enumerate(parts if kind in ("sequence", "either") else ()):
        others = parts[number + 1 :] if kind == "sequence" else ()
        heads += [(source, (*after, *others)) for source, after in _heads(part, *passed)]
        if kind == "sequence" and not _may_be_empty(part, *passed):
            break
    return tuple(heads)


# ---- automata ----------------------------------------------------------------------------------

Terms = frozenset[Term]  # some of them match the rest of the text
End = tuple[int, ...]  # the symbols of an end text
# The last symbols, if they may begin an end text, and the terms before each of them and now. After
# an end text, its symbols and nothing.
State = tuple[End, tuple[Terms, ...]]


class _Automaton:
    """Follows a text; those of its N symbols that a condition treats alike are one of C classes."""

    def __init__(self, parser: _Parser, symbols: Ids, allowed: Bools, ends: Sequence[End]) -> None:
        term, self.ends, self.steps = parser.term(), ends, 0
        sources, letters = sorted(parser.sets), sorted({one for end in ends for one in end})
        rows = [allowed, *(parser.matches(source, symbols) for source in sources)]
        rows += [symbols == letter for letter in letters]
        classes, of = np.unique(np.array(rows), axis=1, return_inverse=True)
        self.class_of = dict(zip(symbols.tolist(), of.reshape(-1).tolist(), strict=True))
        self.allowed: list[bool] = classes[0].tolist()  # whether a text may have it, (C,)
        members = [np.flatnonzero(row).tolist() for row in classes[1:]]
        self.matched = dict(zip(sources, members, strict=False))  # the classes of each set
        self.letters = {members[n - len(letters)][0]: one for n, one in enumerate(letters)}
        self.prefixes = {end[:n] for end in ends for n in range(len(end))} | {()}
        self.read = cache(self._read)
        self.first: Terms = frozenset([("first", term)])

    def _read(self, terms: Terms) -> dict[int, Terms]:
        """The terms after a symbol of each class, if there are any."""
        after: dict[int, set[Term]] = {}
        for source, rest in (head for term in terms for head in _heads(term)):
            self.steps += len(self.matched[source]) + len(rest)
            if self.steps > MOST_STEPS:
                raise ArgumentError("pattern", "needs too large an automaton; make it simpler")
            for class_ in self.matched[source]:
                after.setdefault(class_, set()).add(rest)
        return {class_: frozenset(rests) for class_, rests in after.items()}

    def _may_end(self, terms: Terms) -> bool:
        return any(_may_be_empty(term, "end") for term in terms)

    def _follow(self, state: State) -> Iterator[tuple[int, State]]:
        """The classes that lead on, and the states after them: the first end text ends a text."""
        begun, sets = state
        after = self.read(sets[-1]) if sets else {}
        for class_ in sorted({*after, *self.letters} if sets else ()):
            new: Terms = after.get(class_, frozenset()) if self.allowed[class_] else frozenset()
            symbols, every = (*begun, self.letters.get(class_, -1)), (*sets, new)
            tails = [symbols[n:] for n in range(len(symbols) + 1)]  # the longest first
            ended = next((tail for tail in tails if tail in self.ends), None)
            kept = ended or next(tail for tail in tails if tail in self.prefixes)
            terms = every[-1 - len(kept) :]
            if ended is None and any(terms):
                yield class_, (kept, terms)
            elif ended and self._may_end(terms[0]):
                yield class_, (ended, ())

    def table(self, first: Terms) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """``Condition.after`` and ``tails``; the last state leads nowhere."""
        queue: list[State] = [((), (first,))]
        numbers, edges, tails = {queue[0]: 0}, [], []
        for number, (begun, sets) in enumerate(queue):
            free = bool(sets) and not self.ends and self._may_end(sets[-1])
            tails.append(0 if free else -1 if sets else len(begun))
            for class_, after in self._follow((begun, sets)):
                if after not in numbers:
                    numbers[after] = len(queue)
                    queue.append(after)
                edges.append((number, class_, numbers[after]))
        table = np.full((len(queue) + 1, len(self.allowed)), len(queue), np.int32)
        for number, class_, new in edges:
            table[number, class_] = new
        return table, np.array([*tails, -1], np.int32)


# ---- conditions --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Condition:
    """What a sample must be, as an automaton with S states."""

    class_of: Indices  # the class of each id, (V,)
    after: npt.NDArray[np.int32]  # the state after each state and class, (S, C)
    tails: npt.NDArray[np.int32]  # the length of the end text, (S,); 0: ends without; -1: no end
    least: int  # symbols of the text, without the end text
    most: int
    exact: bool  # draw from the model as it is, and reject

    @property
    def length(self) -> int:
        """Symbols of a sample with its end text, at most."""
        return self.most + int(self.tails.max(initial=0))

    @cached_property
    def shortest(self) -> Counts:
        """The least number of symbols of the text that follow each state, (S,)."""
        least = np.where(self.tails < 0, NEVER, -self.tails.astype(np.int64))
        while True:
            before = least.copy()
            for state in reversed(range(len(least))):  # most symbols lead to later states
                least[state] = min(least[state], 1 + least[self.after[state]].min())
            if np.array_equal(before, least):
                return least

    @cached_property
    def late(self) -> int:
        """Symbols after which no end comes too early."""
        return self.least + self.length - self.most

    @cached_property
    def early(self) -> Sequence[Bools]:
        """What is ``possible`` after ``late`` symbols, and after 1, 2, ... fewer."""
        rows: list[Bools] = [self.shortest + self.late <= self.most]
        for t in range(self.late - 1, -1, -1):
            length = t - self.tails.astype(np.int64)
            ends = (self.tails >= 0) & (length >= self.least) & (length <= self.most)
            rows.append(ends | rows[-1][self.after].any(axis=1))
            if t < self.least and np.array_equal(rows[-1], rows[-2]):
                break  # so are all others
            if len(rows) * max(EACH_EARLY, len(self.tails)) > MOST_EARLY:
                raise ArgumentError("min_length", "is too large for this pattern")
        return rows

    def possible(self, t: int) -> Bools:
        """The states that lead to a match after t symbols, (S,)."""
        if t < self.late:
            return self.early[min(self.late - t, len(self.early) - 1)]
        return self.shortest + t <= self.most


class Walk:
    """Follows some samples, (B,), while they are drawn."""

    def __init__(self, condition: Condition, samples: int) -> None:
        self.condition, self.t = condition, 0
        self.states = np.zeros(samples, np.intp)
        self.over = np.zeros(samples, np.int64)  # ENDED or FAILED; 0 before

    def mask(self, logits: Array) -> Array:
        """The logits (B, V), -inf for symbols that lead to no match, unless these end the text."""
        of = self.condition
        self.allowed = of.possible(self.t + 1)[of.after[self.states]]  # (B, C)
        self.may_end = (of.tails[self.states] == 0) & (self.t >= of.least)
        if of.exact:
            return logits
        free = self.may_end | (self.over < 0)
        allowed = self.allowed[:, of.class_of] | free[:, None]
        return np.where(allowed, np.maximum(logits, np.float32(LOWEST)), np.float32(-np.inf))

    def read(self, ids: Ids) -> Ids:
        """Go on with ids (B,); those after a sample has ended become ``ENDED`` or ``FAILED``."""
        of, classes = self.condition, self.condition.class_of[ids]
        fits = np.take_along_axis(self.allowed, classes[:, None], axis=1)[:, 0]
        stops = np.where(self.may_end, ENDED, FAILED)
        self.over = np.where((self.over < 0) | fits, self.over, stops)
        drawn: Ids = np.where(self.over < 0, self.over, ids)
        self.states = np.where(self.over < 0, self.states, of.after[self.states, classes])
        self.over[(self.over == 0) & (of.tails[self.states] > 0)] = ENDED
        self.t += 1
        return drawn


def condition(
    vocabulary: Vocabulary, ends: Sequence[bytes], before: Ids, length: int, asked: dict[str, Any]
) -> Condition | None:
    """The condition that ``sample`` asks, for a document that begins with ``before``, or None."""
    given = [name for name in OPTIONS if asked[name] is not None and asked[name] is not False]
    if not given:
        return None
    if given == ["exact"]:
        raise ArgumentError("exact", "needs a condition, such as a pattern")
    level, known, pattern = vocabulary.level, set(vocabulary.symbols.tolist()), asked["pattern"]
    endings = [tuple(end) if level == "byte" else tuple(map(ord, end.decode())) for end in ends]
    endings = [end for end in endings if known.issuperset(end)]  # others are never drawn
    least, most = _lengths(asked, length)
    if pattern is None and not endings:
        least = most  # nothing else ends the text
    symbols = np.union1d(vocabulary.symbols, before)
    allowed = np.isin(symbols, vocabulary.symbols)
    if vocabulary.unknown_id is not None:
        allowed &= symbols != UNK
    for name in {"only", "without"}.intersection(given):
        allowed &= _in_set(name, asked[name], level, symbols)
    parser = _Parser("pattern", "(?s).*" if pattern is None else pattern, level)
    try:
        automaton = _Automaton(parser, symbols, allowed, endings)
        first = automaton.first
        for symbol in before.tolist():
            first = automaton.read(first).get(automaton.class_of[symbol], frozenset())
        table = automaton.table(first)
    except RecursionError:  # deeply nested groups
        raise ArgumentError("pattern", "is too large; shorten it") from None
    class_of = np.array([automaton.class_of[symbol] for symbol in vocabulary.symbols.tolist()])
    made = Condition(class_of, *table, least, most, asked["exact"])
    if not made.possible(0)[0]:
        sets = [name for name in ("only", "without") if name in given]
        name = (given if any(automaton.allowed) else sets or given)[0]
        raise ArgumentError(name, _why_impossible(made, automaton, first, vocabulary.noun))
    return made


def _lengths(asked: dict[str, Any], length: int) -> tuple[int, int]:
    """The least and the greatest length of a sample."""
    least, most = asked["min_length"] or 0, asked["max_length"]
    greatest = "length" if most is None else "max_length"
    most = length if most is None else most
    for name, one in (("min_length", least), (greatest, most)):
        if one < 0:
            raise ArgumentError(name, f"must be 0 or above, not {one}")
    most = min(most, NEVER - 1)
    if least > most:
        raise ArgumentError("min_length", f"is {least:,}, above the greatest length, {most:,}")
    return least, most


def _in_set(name: str, listed: str, level: str, symbols: Ids) -> Bools:
    """Which symbols ``only`` or ``without`` some characters leaves."""
    start = ("[^" if name == "without" else "[") + "\\" * listed.startswith("^")
    source = f"{start}{listed}]"
    token = TOKEN.fullmatch(source)
    if not listed or token is None or token.lastgroup != "set":
        raise ArgumentError(name, "needs characters and ranges, such as a-z; write \\] for ]")
    parser = _Parser(name, source, level)
    return parser.matches(parser.source, symbols)


def _why_impossible(of: Condition, automaton: _Automaton, first: Terms, noun: str) -> str:
    usable = automaton.allowed.__getitem__
    if not any(automaton.allowed):
        return f"leaves no {noun} that the model may draw"
    if not first:
        return "cannot be fulfilled by a text that begins with the prompt"
    if of.shortest[0] < NEVER:
        shortest = f"; the shortest that matches has {of.shortest[0]:,}"
        return f"is fulfilled by no text of {of.least:,} to {of.most:,} {noun}s{shortest}"
    missing = [one for one, classes in automaton.matched.items() if not any(map(usable, classes))]
    lacking = f"; none is matched by {', '.join(missing)}" if missing else ""
    return f"is fulfilled by no text of the {noun}s that the model may draw{lacking}"
