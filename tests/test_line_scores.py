import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grucli import line_scores
from grucli.errors import ArgumentError, CorpusError, UnknownCharacterError, UsageError
from grucli.language_model import LanguageModel
from grucli.nn.cells import CELLS
from grucli.nn.functional import log_softmax
from grucli.nn.model import Model
from grucli.sampling import read_prompt
from tests.test_language_model import LETTERS, make, of_list

KINDS = [make, of_list, lambda **named: make(level="byte", **named)]
LENGTHS = [*range(0, 40, 2), 31, 33, 65, 200, 2000, 0, 1, *[20] * 70]
LINES = ["".join("abcdeé "[(n * n + i * i // 3) % 7] for i in range(n)) for n in LENGTHS]


def double(lm: LanguageModel) -> LanguageModel:
    return replace(lm, model=lm.model.astype(np.float64))


def shifted(lm: LanguageModel, by: float) -> LanguageModel:
    """Another model of the same symbols."""
    model = lm.model.astype(np.float32)
    model.params.flat[:] += by
    return replace(lm, model=model)


# ---- one model


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_line_has_the_figures_of_the_line_alone(
    kind: Callable[..., LanguageModel], cell: str
) -> None:
    for lm, nats, log_prob in (
        (kind(cell=cell), 1e-4, 1e-5),
        (double(kind(cell=cell)), 1e-10, 1e-11),
    ):
        scores = list(lm.line_scores(LINES))
        assert [score.line for score in scores] == LINES
        for line, score in zip(LINES, scores, strict=True):
            alone = lm.score(line + "\n" * lm.documents)
            assert score.nats == pytest.approx(alone.nats, abs=nats)
            np.testing.assert_allclose(score.log_probs, alone.log_probs, atol=log_prob)
            assert score.nats == pytest.approx(-score.log_probs.sum())
            assert (score.chars, score.skipped) == (len(alone), 0)
        np.testing.assert_array_equal(lm.score_lines(LINES), [score.nats for score in scores])


def test_a_line_without_symbols() -> None:
    (empty,) = make().line_scores([""])
    assert (empty.nats, empty.chars) == (0.0, 0)
    assert math.isnan(empty.nats_per_char)
    (of_a_list,) = of_list().line_scores([""])
    assert of_a_list.nats_per_char == of_a_list.nats > 0
    assert list(make().line_scores([])) == []


def test_long_lines_do_not_lengthen_short_ones() -> None:
    steps = np.array([5, 100_000, 0, 7, 6, 99_999, *[30] * 20])
    order = np.argsort(-steps, kind="stable")
    batches = list(line_scores._batches(steps, order[steps[order] > 0], 16))
    assert [steps[batch].tolist() for batch in batches] == [
        [100_000, 99_999], [30] * 16, [30] * 4, [7, 6, 5],
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_does_not_change_a_bit(
    monkeypatch: pytest.MonkeyPatch, kind: Callable[..., LanguageModel]
) -> None:
    monkeypatch.setattr(line_scores, "BATCH", 6 * 16)
    expected = list(kind().line_scores(LINES))
    for cores in (1, 2, 3):
        monkeypatch.setattr(line_scores, "available_cores", lambda n=cores: n)
        for score, same in zip(kind().line_scores(LINES), expected, strict=True):
            assert score.log_probs.tobytes() == same.log_probs.tobytes()


@pytest.mark.parametrize(("name", "most"), [("LINES_AT_ONCE", 7), ("SYMBOLS_AT_ONCE", 100)])
def test_only_some_lines_are_held(monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    expected = of_list().score_lines(LINES)
    monkeypatch.setattr(line_scores, name, most)
    np.testing.assert_allclose(of_list().score_lines(LINES), expected, rtol=1e-5)
    taken = []

    def lines() -> Iterator[str]:
        for number in range(10**9):
            taken.append(number)
            yield "abcd"

    assert next(of_list().line_scores(lines())).chars == 5
    assert len(taken) <= most


def test_an_error_in_a_thread_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, own = [], Model.run

    def run(model: Model, *args: Any, **named: Any) -> Any:
        calls.append(threading.get_ident())
        time.sleep(0.005)
        if calls[0] == threading.get_ident():
            raise MemoryError
        return own(model, *args, **named)

    monkeypatch.setattr(line_scores, "available_cores", lambda: 3)
    monkeypatch.setattr(line_scores, "BATCH", 6)
    monkeypatch.setattr(Model, "run", run)
    with pytest.raises(MemoryError):
        make().score_lines(["abc"] * 500)
    assert len(calls) < 250


def test_what_is_no_line_is_placed() -> None:
    lm: Any = make()
    with pytest.raises(UnknownCharacterError, match=r"^line 3: the model never saw .*'x'.*'y'"):
        list(lm.line_scores(["a", "b", "xay", "z"]))
    with pytest.raises(CorpusError, match=r"^line 2: byte 0xff"):
        list(lm.line_scores(["a", b"\xff"]))
    with pytest.raises(CorpusError, match=r"^line 2: a text is a string or bytes, not nan"):
        list(lm.line_scores(["a", math.nan]))


# ---- several models


def test_lines_are_compared_by_likelihood() -> None:
    lm = of_list()
    others = [shifted(lm, 0.1), shifted(lm, -0.2)]
    nats = np.array([model.score_lines(LINES) for model in (lm, *others)])
    prior = np.array([1.0, 2.0, 5.0])
    joint = np.log(prior / 8)[:, None] - nats
    posteriors = np.exp(joint - np.logaddexp.reduce(joint, axis=0))
    scores = list(lm.line_scores(LINES, against=others, prior=prior.tolist()))
    for number, score in enumerate(scores):
        np.testing.assert_allclose(score.ratios, nats[1:, number] - nats[0, number], atol=1e-9)
        np.testing.assert_allclose(score.posteriors, posteriors[:, number], rtol=1e-6)
        assert score.posteriors.sum() == pytest.approx(1)
    (own,) = lm.line_scores("abc")
    assert (own.ratios.tolist(), own.posteriors.tolist()) == ([], [1.0])
    (even,) = lm.line_scores("abc", against=[lm])
    assert (even.ratios.tolist(), even.posteriors.tolist()) == ([0.0], [0.5, 0.5])
    (certain,) = lm.line_scores("ab" * 3000, against=[shifted(lm, 3.0)])
    assert abs(certain.ratios[0]) > 1000  # exp of it is no number
    assert sorted(certain.posteriors.tolist()) == [0.0, 1.0]


def test_new_characters_of_several_models() -> None:
    lm, other = make("\n abcde"), make("\n abcdé")
    (skipped,) = lm.line_scores("aébec", unknown="skip", against=[other])
    assert (skipped.chars, skipped.skipped) == (3, 2)
    assert skipped.nats == pytest.approx(lm.score("abc").nats)
    assert skipped.ratios[0] == pytest.approx(
        other.score("abc").nats - lm.score("abc").nats, abs=1e-5
    )
    (charged,) = lm.line_scores("aébec", unknown="floor", against=[other])
    nats = [model.score("aébec", unknown="floor").nats for model in (lm, other)]
    assert (charged.nats, charged.chars) == (pytest.approx(nats[0]), 5)
    assert charged.ratios[0] == pytest.approx(nats[1] - nats[0], abs=1e-5)
    with pytest.raises(
        UnknownCharacterError, match=r"line 2: other.npz: the model never saw .*'e'"
    ):
        list(lm.line_scores(["ab", "be"], against=[replace(other, path="other.npz")]))


@pytest.mark.parametrize(
    "other", [make(level="byte"), of_list(), make(level="byte", documents="line")]
)
def test_models_of_other_symbols_cannot_be_compared(other: LanguageModel) -> None:
    with pytest.raises(UsageError, match=r"do not predict the same symbols .* compare models with"):
        make().line_scores(["a"], against=[other])


@pytest.mark.parametrize("prior", [[], [1.0], [1.0, 0.0], [1.0, -1.0], [1.0, math.inf], [1, 1, 1]])
def test_a_prior_is_a_positive_number_for_each_model(prior: list[float]) -> None:
    with pytest.raises(ArgumentError, match="prior takes a positive number for each model, so 2"):
        make().line_scores(["a"], against=[make()], prior=prior)


# ---- what follows


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_is_the_ratio_of_two_scores(kind: Callable[..., LanguageModel]) -> None:
    lm = replace(kind(), counts=np.arange(1, kind().model.V + 1))
    for prompt, found in zip(LINES[::5], lm.next(LINES[::5]), strict=True):
        ids = lm.encode(prompt)
        order = np.argsort(lm.vocabulary.symbols.searchsorted(list(map(_number, found.symbols))))
        pairs = [np.append(ids, symbol) for symbol in range(lm.model.V)]
        ratios = [lm.score(pair).log_probs[-1] for pair in pairs] if len(ids) < 40 else None
        if ratios is not None:
            np.testing.assert_allclose(found.log_probs[order], ratios, atol=1e-6)
        assert found.probabilities.sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_array_equal(found.probabilities, np.exp(found.log_probs))
        assert (np.diff(found.log_probs) <= 0).all()


def _number(symbol: str | int) -> int:
    return symbol if isinstance(symbol, int) else ord(symbol)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_prompt(kind: Callable[..., LanguageModel]) -> None:
    lm, prompt = kind(), "abc de" * 2000
    ids = lm.encode(prompt)
    if lm.model.separator is not None:
        ids = np.append(lm.model.separator, ids)
    logits, _ = read_prompt(lm.model, ids)
    expected = np.sort(log_softmax(logits[0]))[::-1]
    np.testing.assert_allclose(lm.next(prompt).log_probs, expected, atol=1e-5)


def test_what_follows_an_empty_prompt() -> None:
    running = make().next("")  # by frequency; the first symbol never occurred
    counts = np.maximum(make().counts, 0.5)
    np.testing.assert_allclose(running.probabilities, np.sort(counts / counts.sum())[::-1])
    assert running.symbols == LETTERS[::-1]
    document = of_list().next("")  # the beginning of a document
    first = document.symbols[0]
    assert isinstance(first, str)
    (score,) = of_list().line_scores([first])
    assert document.log_probs[0] == pytest.approx(score.log_probs[0], abs=1e-6)


def test_a_list_of_prompts_has_a_list_of_distributions() -> None:
    lm = make()
    assert lm.next([]) == []
    (one,) = lm.next(["ab"])
    assert one.symbols == lm.next("ab").symbols == lm.next(b"ab").symbols
    assert lm.next("xaxb", unknown="skip").symbols == one.symbols
    with pytest.raises(UnknownCharacterError, match=r"^the model never saw"):
        lm.next("x")
    with pytest.raises(UnknownCharacterError, match=r"^prompt 2: the model never saw"):
        lm.next(["a", "x"])
    with pytest.raises(ArgumentError, match=r"prompts must be a string or bytes"):
        lm.next(5)
    rare = make("ab\ufffd", min_count=2).next("a")
    assert "\ufffd" in rare.symbols


def test_the_next_symbols_of_a_model_of_bytes_are_bytes() -> None:
    found = make(level="byte").next("aé")
    assert isinstance(found.symbols, bytes)
    assert sorted(found.symbols) == sorted(set(LETTERS.encode()))
