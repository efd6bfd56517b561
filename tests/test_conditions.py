import math
import re
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest

from grucli.errors import ArgumentError, RunError
from grucli.language_model import LanguageModel
from grucli.nn.functional import log_softmax
from grucli.sampling import Piece, Sample, Samples, read_prompt
from tests.test_language_model import make, of_list

SYMBOLS = "\n !()*-.0123456789@ABMXYZ[]_abcdefghijklmnopqrstuvwxyz{}éÉß٣中文"
PATTERNS = r"""
[A-Z][a-z]+
\w+ \w+
\d{3}-\d{4}
(?i)mar.*
^abc$
(a|b)*c{2,5}
[^\W\d_]{3,8}
a*?b
(?P<n>x)y|
é+
(?i)é{2,}ß
.*(ing|ed)
[\w.]+@[\w.]+\.(com|org)
(a?){20}a{3}
(?:[a-z]{1,5} ){1,3}[a-z]+
[一-龥]{2,3}
\x41\u00e9|\u4e2d\Z
(?s).{3}
(|a)b{,3}
{}x|x{y|x{,y}
[]a]+|[^]a]{2}
(?a)\w{5}
(?#a comment)ab\.c
\t|\n|x
((a*)*)*b
(a|ab)(c|bcd)(d*)
[a-c\-_]*\052{2}
(^a|b)c|[a^]\$|$
(?:ab|cd){2,}?e
""".strip("\n").splitlines()


@pytest.fixture(scope="module")
def texts() -> LanguageModel:
    return make(SYMBOLS)


@pytest.fixture(scope="module")
def lines() -> LanguageModel:
    return of_list(symbols=SYMBOLS)


def made(lm: LanguageModel, count: int = 20, length: int = 16, **asked: Any) -> list[str]:
    return [sample.text for sample in lm.samples(count, length, **{"seed": 1, **asked})]


# ---- every sample matches


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_sample_matches_as_python_says(
    pattern: str, texts: LanguageModel, lines: LanguageModel
) -> None:
    for lm, stop in ((texts, ()), (texts, ["b", "xy"]), (lines, ())):
        try:
            samples = lm.samples(20, 16, pattern=pattern, stop=stop, seed=1)
        except ArgumentError:
            assert stop  # no text that matches is without a stop text
            continue
        for sample in samples:
            assert re.fullmatch(pattern, sample.text), (pattern, sample.text)
            assert len(sample) <= 16
            assert not any(text in sample.text for text in stop)
            assert lm is texts or sample.end_log_prob is not None


# ---- distributions


def share(lm: LanguageModel, samples: Samples, text: str, temperature: float) -> np.ndarray:
    """The probabilities of what follows a prompt and a text, (V,)."""
    ids = np.concatenate([samples.prompt, lm.encode(text)]).astype(np.intp)
    if lm.model.separator is not None:
        ids = np.append(lm.model.separator, ids)
    logits, _ = read_prompt(lm.model, ids)
    p = np.exp(log_softmax(logits[0].astype(np.float64)) / temperature)
    return np.asarray(p / p.sum())


def enumerated(
    lm: LanguageModel, samples: Samples, texts: set[str], ends: list[str], asked: dict[str, Any]
) -> dict[str, float]:
    """What docs/conditions.md says about the probability of each of the texts that match."""
    symbols = [chr(symbol) for symbol in lm.vocabulary.symbols.tolist()]
    whole = {text + end: text for text in texts for end in ends} if ends else {t: t for t in texts}
    if ends:  # the first stop text ends a sample
        firsts = {s: min(s.find(end) + len(end) for end in ends if end in s) for s in whole}
        whole = {stream: text for stream, text in whole.items() if firsts[stream] == len(stream)}
    begun = {stream[:n] for stream in whole for n in range(len(stream) + 1)}
    found = dict.fromkeys(texts, 0.0)

    def follow(stream: str, weight: float) -> None:
        if ends and stream in whole:
            found[whole[stream]] += weight
            return
        p = share(lm, samples, stream, asked["temperature"])
        fine = {one: q for one, q in zip(symbols, p.tolist(), strict=True) if stream + one in begun}
        mass = sum(fine.values())
        if stream in whole:
            found[stream] += weight * (1 - mass)
        else:
            weight /= 1 if asked.get("exact") else mass
        for one, q in fine.items():
            follow(stream + one, weight * q)

    follow("", 1.0)
    total = sum(found.values())
    return {text: weight / total for text, weight in found.items() if weight}


@pytest.mark.parametrize("exact", [False, True], ids=["plain", "exact"])
@pytest.mark.parametrize(
    ("asked", "documents"),
    [
        ({"pattern": "a?b{1,2}|ba*"}, True),
        ({"pattern": "(ab|b)*", "min_length": 2}, True),
        ({"pattern": "b.*", "prompt": "ba", "temperature": 0.7}, True),
        ({"min_length": 2, "only": "ab"}, True),
        ({"pattern": "(a|b)*"}, False),
        ({"pattern": "(ab)*|bb?a", "min_length": 1}, False),
        ({"pattern": r"(?s)[^a]*", "stop": "a"}, False),
        ({"pattern": r"(?s).*", "stop": ["ab", "b\n"], "temperature": 1.5}, False),
        ({"without": "a"}, False),
    ],
    ids=str,
)
def test_samples_follow_the_distribution_that_is_stated(
    asked: dict[str, Any], documents: bool, exact: bool
) -> None:
    lm, N, count = (of_list if documents else make)(symbols="\nab", layers=1), 4, 4_000
    asked = {"temperature": 1.0, "exact": exact, "seed": 5, **asked}
    samples = lm.samples(count, N, **asked)
    stops = ["\n"] if documents else [*np.atleast_1d(asked.get("stop", []))]
    begun, least = asked.get("prompt", ""), asked.get("min_length", 0)
    if "pattern" not in asked and not stops:
        least = N
    letters = asked.get("only") or ("\nb" if "without" in asked else "\nab")
    every = {"".join(text) for n in range(least, N + 1) for text in product(letters, repeat=n)}
    fits = re.compile(asked.get("pattern", "(?s:.*)")).fullmatch
    texts = {text for text in every if fits(begun + text)}
    expected = enumerated(lm, samples, texts, stops, asked)
    drawn = Counter(sample.text for sample in samples)
    assert drawn.keys() <= expected.keys()
    counts = np.array([drawn[text] for text in expected])
    wanted = np.array([*expected.values()]) * count
    freedom = max(1, len(expected) - 1)
    assert len(expected) > 1
    assert ((counts - wanted) ** 2 / wanted).sum() < freedom + 4 * math.sqrt(2 * freedom) + 4
    assert samples.tally.accepted == exact * count


# ---- what the text is


def test_the_prompt_begins_the_text_of_a_document_alone(
    texts: LanguageModel, lines: LanguageModel
) -> None:
    asked = {"pattern": "M[a-z]+", "prompt": "Ma"}
    assert all(re.fullmatch("[a-z]*", text) for text in made(lines, **asked))
    assert all(re.fullmatch("M[a-z]+", text) for text in made(texts, **asked))
    assert all(re.fullmatch("a+", text) for text in made(lines, pattern="ba+", prompt="M.\nb"))
    with pytest.raises(ArgumentError, match=r"by a text that begins with the prompt"):
        lines.samples(1, pattern="[A-Z]+", prompt="Ma")
    # of a character that the model does not know, too
    assert made(lines, pattern="ü?b", prompt="ü", unknown="skip", count=1) in ([""], ["b"])


def test_only_and_without_leave_characters_out(texts: LanguageModel, lines: LanguageModel) -> None:
    for lm in (texts, lines):
        assert set("".join(made(lm, only="a-z^"))) <= set("abcdefghijklmnopqrstuvwxyz^")
        assert set("".join(made(lm, only="^a]".replace("]", r"\]")))) <= set("^a]")
        assert not set("".join(made(lm, without=r"\w"))) & set("abc_ABM123")
        assert set("".join(made(lm, only="a-f", without="a-c", pattern=".*"))) <= set("def")
    assert {len(text) for text in made(texts, only="a-c", length=7)} == {7}
    assert all("a" not in text for text in made(texts, without="a", prompt="aaa"))


def test_lengths_are_kept(texts: LanguageModel, lines: LanguageModel) -> None:
    assert {
        len(text) for text in made(lines, min_length=3, max_length=5, count=200, temperature=2)
    } == {3, 4, 5}
    assert {len(text) for text in made(lines, min_length=4, max_length=4, prompt="MM")} == {4}
    stopped = made(texts, min_length=2, max_length=9, stop=["a", "b", "\n"], count=100)
    assert all(2 <= len(text) <= 9 and not set(text) & set("ab\n") for text in stopped)
    words = made(texts, pattern=r"[\w ]+", min_length=5, count=100)
    assert min(map(len, words)) == 5
    assert {len(text) for text in made(texts, max_length=3)} == {3}
    assert made(lines, max_length=0, count=2) == ["", ""]
    assert set(made(lines, pattern="(ab)*", min_length=5, max_length=7)) == {"ababab"}


def test_a_pattern_of_a_model_of_bytes_is_one_of_bytes() -> None:
    symbols = "aé中\n"
    for lm in (make(symbols, level="byte"), of_list(symbols=symbols, level="byte")):
        for pattern in ("(é|中)+", r"\xc3.a?", r"[^\n]{3}", r"[\w]+"):
            for sample in lm.samples(20, 12, pattern=pattern, seed=1):
                assert re.fullmatch(pattern.encode(), sample.symbols), (pattern, sample.symbols)


def test_the_unknown_character_is_never_drawn() -> None:
    lm = make("\n ab\ufffd", min_count=2)
    assert lm.vocabulary.unknown_id is not None
    assert "\ufffd" not in "".join(made(lm, pattern=".*", count=200, min_length=16))
    with pytest.raises(ArgumentError, match="none is matched by \ufffd"):
        lm.samples(1, pattern="\ufffd")


def test_a_first_character_that_never_began_a_text_can_be_drawn() -> None:
    lm = make(" abc")  # the space has never occurred
    assert lm.counts[0] == 0
    assert set(made(lm, pattern=" b")) == {" b"}


@pytest.mark.parametrize("exact", [False, True])
def test_no_symbols_fulfil_a_condition_that_allows_it(exact: bool) -> None:
    assert make("abc").sample(0, pattern="a*", exact=exact, seed=1) == ""


# ---- how they are drawn


@pytest.mark.parametrize("exact", [False, True])
def test_samples_depend_neither_on_their_number_nor_on_threads(
    lines: LanguageModel, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"pattern": "[a-z]{2}.*", "max_length": 20, "exact": exact}
    whole = [sample.symbols for sample in lines.samples(50, seed=4, **asked)]
    for _ in range(2):
        assert [sample.symbols for sample in lines.samples(50, seed=4, **asked)] == whole
    assert [sample.symbols for sample in lines.samples(20, seed=4, **asked)] == whole[:20]
    monkeypatch.setattr("grucli.sampling.SIDE_BY_SIDE", 17)
    monkeypatch.setattr("grucli.sampling.choose_threads", lambda samples, model: min(3, samples))
    samples = lines.samples(50, seed=4, **asked)
    assert [sample.symbols for sample in samples] == whole
    pieces = ["" for _ in whole]
    for number, data in samples.pieces():
        pieces[number] += data.decode()
    assert pieces == whole
    assert lines.sample(seed=4, **asked) == whole[0]


def test_log_probabilities_are_those_of_the_model_without_the_condition(
    texts: LanguageModel, lines: LanguageModel
) -> None:
    for lm in (texts, lines):
        for exact in (False, True):
            for sample in lm.samples(3, 12, pattern="[a-zA-Z]+", prompt="M", seed=1, exact=exact):
                scored = lm.score("M" + sample.text + "\n" * lm.documents).log_probs[1:]
                N = len(sample)
                np.testing.assert_allclose(sample.log_probs, scored[:N], rtol=1e-4)
                if lm.documents:
                    assert sample.end_log_prob == pytest.approx(scored[N], rel=1e-4)


def test_conditions_go_with_temperature_top_k_top_p_and_distinct(lines: LanguageModel) -> None:
    asked = {"pattern": "[a-c]{1,2}", "count": 12, "length": 5}
    assert len(set(made(lines, temperature=0, **asked))) == 1
    for cut in ({"top_k": 1}, {"top_p": 0.01}):
        assert made(lines, **cut, **asked) == made(lines, temperature=0, **asked)
    every = {*"abc", *map("".join, product("abc", repeat=2))}
    assert set(made(lines, distinct=True, **asked)) == every
    assert not set(made(lines, not_in=["ab\nc\n"], **asked)) & {"ab", "c"}


# ---- bad conditions


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"pattern": "[a-z"},
            r"pattern '\[a-z' is wrong: unterminated character set at position 0",
        ),
        ({"pattern": "a{3,2}"}, "min repeat greater than max repeat at position 2"),
        ({"pattern": "ab(?=c)d"}, r"'ab\(\?=c\)d' has at position 2 what no automaton can follow"),
        ({"pattern": r"a\b"}, "at position 1 what no automaton can follow: lookaround, a word"),
        ({"pattern": r"(a)\1"}, "at position 3"),
        ({"pattern": "(?i:a)b"}, "at position 0"),
        ({"pattern": "(?x) a"}, "at position 0"),
        ({"pattern": "ß+é"}, None),
        (
            {"pattern": "日ü"},
            "fulfilled by no text of the characters that the model may draw; none ",
        ),
        ({"pattern": "日|ü"}, "none is matched by ü, 日"),
        ({"pattern": "a", "only": "b-d"}, "none is matched by a"),
        ({"pattern": "a{17}"}, "no text of 0 to 16 characters; the shortest that matches has 17"),
        ({"pattern": "(ab)*", "min_length": 3, "max_length": 3}, "fulfilled by no text of 3 to 3"),
        ({"pattern": "(.{1,100}){1,100}"}, "needs too large an automaton; make it simpler"),
        ({"pattern": "(" * 3000 + ")" * 3000}, "is too large; shorten it"),
        ({"pattern": "(" * 400 + "a" + ")" * 400}, "is too large; shorten it"),
        ({"pattern": "a{99999999999}"}, "is too large; shorten it"),
        ({"pattern": "(ab)*", "max_length": 10**9, "min_length": 10**9}, "min_length is too large"),
        ({"pattern": ".{20000}"}, "the shortest that matches has 20,000"),
        ({"only": ""}, "only needs characters and ranges, such as a-z"),
        ({"only": "a]b["}, "only needs characters and ranges, such as a-z"),
        ({"without": "z-a"}, "without .* is wrong: bad character range z-a at position 2"),
        ({"only": "ü"}, "only leaves no character that the model may draw"),
        ({"min_length": -1}, "min_length must be 0 or above"),
        ({"max_length": -1}, "max_length must be 0 or above"),
        ({"pattern": "\ud800"}, "fulfilled by no text of the characters that the model may draw"),
        ({"min_length": 17}, "min_length is 17, above the greatest length, 16"),
        ({"exact": True}, "exact needs a condition, such as a pattern"),
        ({"exact": True, "only": "a", "temperature": 0}, "exact cannot go with temperature 0"),
        ({"exact": True, "only": "a", "max_length": 10**9}, "exact takes at most 131,072 char"),
        ({"pattern": 3}, "pattern must be a string"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_condition_that_cannot_be_fulfilled_is_an_error_at_once(
    texts: LanguageModel, asked: dict[str, Any], message: str | None
) -> None:
    if message is None:
        assert made(texts, **asked)
        return
    with pytest.raises(ArgumentError, match=message):
        texts.samples(1, 16, **asked)


def test_a_sample_without_end_fulfils_its_condition(texts: LanguageModel) -> None:
    for length in (10**18, 10**30):
        assert texts.sample(length, seed=1, pattern="a{3}") == "aaa"
        assert set(of_list().sample(length, seed=1, only="a-b")) <= {"a", "b"}
    assert set("".join(map(str, take(texts.stream(10**30, only="a-c", seed=1))))) <= {*"abc"}
    with pytest.raises(ArgumentError, match="length must be 0 or above, not -5"):
        texts.sample(-5, only="a")


def take(parts: Any) -> list[Any]:
    return [one for one, _ in zip(parts, range(20), strict=False)]


def test_the_memory_for_a_long_least_length_is_bounded(
    texts: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"pattern": "(.{3000})*", "min_length": 9000, "max_length": 9000}
    assert made(texts, **asked)
    monkeypatch.setattr("grucli.conditions.MOST_EARLY", 2**24)
    with pytest.raises(ArgumentError, match="min_length is too large for this pattern"):
        texts.samples(1, 16, **asked)


def test_tallies_are_those_of_the_last_iteration(texts: LanguageModel) -> None:
    samples = texts.samples(3, 5, pattern="[a-z]+", exact=True, seed=1)
    for _ in range(2):
        assert len(list(samples)) == samples.tally.accepted == 3
    tried = samples.tally.tried
    assert len({piece.number for piece in samples.pieces()}) == samples.tally.accepted == 3
    assert samples.tally.tried == tried


def test_tries_without_end_are_given_up(
    lines: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grucli.sampling.MOST_TRIES", 200)
    with pytest.raises(RunError, match=r"200 tries made no sample .* or sample without exact"):
        list(lines.samples(1, 50, pattern="(zq){20}", exact=True, seed=1))


@pytest.mark.parametrize("distinct", [False, True])
def test_samples_before_one_that_is_given_up_are_not_lost(
    texts: LanguageModel, monkeypatch: pytest.MonkeyPatch, *, distinct: bool
) -> None:
    asked: dict[str, Any] = {"pattern": "[a-c].{2}", "exact": True, "seed": 1} | {
        "distinct": distinct
    }
    every = list(texts.samples(40, 3, **asked))
    monkeypatch.setattr("grucli.sampling.MOST_TRIES", 30)
    found, pieces, samples = list[Sample](), list[Piece](), texts.samples(40, 3, **asked)
    for into, made in ((found, samples), (pieces, samples.pieces())):
        with pytest.raises(RunError, match="30 tries"):
            into.extend(made)  # type: ignore[arg-type]
    assert 0 < len(found) < 40
    assert [one.text for one in found] == [one.text for one in every[: len(found)]]
    assert b"".join(piece.data for piece in pieces).decode() == "".join(one.text for one in found)
    assert samples.tally.tried > 30
