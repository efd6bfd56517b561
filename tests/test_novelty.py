"""Samples that are new and distinct, against plain searches in strings."""

import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grucli import novelty, sampling
from grucli.data.corpus import read
from grucli.errors import ArgumentError, CorpusError, RunError
from grucli.language_model import LanguageModel
from grucli.novelty import ChosenSamples, candidates, keys
from tests.test_language_model import LETTERS, make, of_list

WARM: dict[str, Any] = {"seed": 1, "temperature": 1.0}


def points(text: str) -> np.ndarray:
    return np.array(list(map(ord, text)), np.uint32)


def texts_of(lm: LanguageModel, count: int, length: int = 12, **options: Any) -> list[str]:
    return [sample.text for sample in lm.samples(count, length, **WARM | options)]


# ---- hashes


@given(st.text("abc", min_size=1, max_size=30), st.integers(1, 9))
def test_equal_passages_and_no_others_have_equal_keys(text: str, k: int) -> None:
    found = keys(points(text), min(k, len(text))).tolist()
    passages = [text[i : i + min(k, len(text))] for i in range(len(found))]
    assert len(found) == len(text) - min(k, len(text)) + 1
    assert len(set(found)) == len(set(passages)) == len(set(zip(found, passages, strict=True)))


@given(st.text("ab", min_size=3, max_size=40), st.sets(st.text("ab", min_size=3, max_size=3)))
def test_candidates_are_all_places_of_the_wanted_keys(text: str, wanted: set[str]) -> None:
    sought = np.array([keys(points(one), 3)[0] for one in wanted], np.uint64)
    found = list(candidates(sought, points(text), 3, chunk=8))
    places = {place for some, there in found for place in some[np.isin(there, sought)].tolist()}
    assert places == {i for i in range(len(text) - 2) if text[i : i + 3] in wanted}


# ---- which samples are kept


def test_a_prompt_is_read_once_for_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    read_prompt, prompts = sampling.read_prompt, list[str]()

    def counted(model: Any, prompt: Any, *more: Any) -> Any:
        prompts.append("".join(LETTERS[i] for i in prompt))
        return read_prompt(model, prompt, *more)

    monkeypatch.setattr(sampling, "read_prompt", counted)
    assert len(texts_of(make(), 400, 4, prompt="abc", distinct=True)) == 400
    assert prompts == ["abc"]


def kept(
    made: Iterable[str], is_new: Callable[[str], bool], *, distinct: bool
) -> Iterator[tuple[int, str]]:
    """What is kept of some samples, with their numbers from 1, one after the other."""
    some: set[str] = set()
    for number, text in enumerate(made, 1):
        if is_new(text) and not (distinct and text in some):
            some.add(text)
            yield number, text


@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("prompt", ["", "a", "a\nb"])
def test_samples_of_a_list_are_none_of_its_lines(prompt: str, *, distinct: bool) -> None:
    lm = of_list()
    every = texts_of(lm, 400, 3, prompt=prompt)
    begun = prompt.rpartition("\n")[2]
    new = set(every) - set(every[:9]) - {"" if begun else begun}
    known = ["x", *(begun + text for text in set(every) - new)]
    expected = list(islice(kept(every, new.__contains__, distinct=distinct), 20))
    samples = lm.samples(20, 3, prompt=prompt, distinct=distinct, not_in=known, **WARM)
    assert [sample.text for sample in samples] == [text for _, text in expected]
    made, tally = expected[-1][0], samples.tally
    assert (tally.made, tally.kept) == (made, 20)
    assert tally.new == sum(text in new for text in every[:made])
    assert made > tally.new >= 20


def test_texts_are_searched_across_the_edges_of_their_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lm = of_list()
    every = texts_of(lm, 300, 3)
    known = sorted({text for text in every[:40] if text})
    expected = [text for text in every if text and text not in known]
    assert expected
    for chunk in range(1, 9):
        monkeypatch.setattr("grucli.data.windows.CHUNK", chunk)
        assert texts_of(lm, len(expected), 3, not_in=known) == expected


@pytest.mark.parametrize("longest", [2, 3, 4])
def test_samples_of_running_text_have_no_long_passage_of_it(longest: int) -> None:
    lm, text = make(), "abcd dcba\n a bé cé" + "".join(texts_of(make(), 9, seed=2))
    every = texts_of(lm, 500)

    def is_new(sample: str) -> bool:
        return all(sample[i : i + longest + 1] not in text for i in range(12 - longest))

    expected = [text for text in every if is_new(text)]
    found = lm.samples(len(expected), 12, not_in=[text[:20], text], longest_copy=longest, **WARM)
    assert 0 < len(expected) < 490
    assert [sample.text for sample in found] == expected
    # the prompt may be a quotation
    quoted = texts_of(lm, 3, prompt=text, not_in=text, longest_copy=longest)
    assert len(quoted) == 3


def test_a_passage_does_not_go_on_in_the_next_text_or_sample() -> None:
    lm = make("ab")
    apart = lm.samples(2, 2, not_in=["b", "a", "b", "bb"], longest_copy=1, temperature=1.0)
    assert [sample.text for sample in apart] == ["ba", "ba"]
    assert len(list(lm.samples(1, 3, not_in="ababab", longest_copy=7))) == 1


def test_a_list_has_no_long_passages_either_if_that_is_asked_for() -> None:
    found = texts_of(of_list(), 60, not_in=["xabxcdx", "é"], longest_copy=1)
    assert not [text for text in found if text == "é" or "ab" in text or "cd" in text]


def test_the_first_samples_do_not_depend_on_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = of_list()
    asked: dict[str, Any] = {"distinct": True, "not_in": ["a", "ab"], "length": 3}
    every = texts_of(lm, 100, **asked)
    assert len(set(every)) == 100
    for count in (1, 10, 99):
        assert texts_of(lm, count, **asked) == every[:count]
    samples = lm.samples(100, **asked | WARM)
    assert isinstance(samples, ChosenSamples)
    data = [b"", *(piece.data for piece in samples.pieces())]
    assert [text.decode() for text in data[2::2]] == every
    assert not any(data[1::2])
    made = samples.tally.made
    assert sum(1 for _ in samples.pieces()) == 200
    assert samples.tally.made == made  # counted anew
    assert (
        lm.sample(3, seed=1, temperature=1.0, not_in=["a"]) == texts_of(lm, 1, 3, not_in=["a"])[0]
    )
    monkeypatch.setattr(sampling, "available_cores", lambda: 3)
    monkeypatch.setattr(sampling, "SMALLEST_PART", 1)
    monkeypatch.setattr(sampling, "SIDE_BY_SIDE", 31)
    assert texts_of(lm, 100, **asked) == every


def test_it_gives_up_when_none_of_many_samples_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "IN_A_ROW", 50)
    samples = of_list().samples(5, temperature=0, distinct=True, not_in=["x"])
    made = iter(samples)
    got = next(made).text
    with pytest.raises(RunError, match="1 of 5 samples were found, and none of the next 50 could"):
        next(made)
    assert (samples.tally.made, samples.tally.new, samples.tally.kept) == (51, 51, 1)
    with pytest.raises(RunError, match=r"0 of 1 samples .* be taken: raise the temperature"):
        of_list().sample(not_in=got, temperature=0)
    with pytest.raises(RunError, match="1 of 2 samples"):
        list(make().samples(2, 3, temperature=0, distinct=True))


# ---- texts


def test_texts_come_in_many_forms(tmp_path: Path) -> None:
    lm, file = of_list(), tmp_path / "lines.txt"
    every = texts_of(lm, 300, 2)
    known = sorted(set(every[:8]))
    file.write_bytes("\r\n".join(known).encode())
    expected = [text for text in every if text and text not in known][:50]
    for not_in in (
        known,
        iter(known),
        "\n".join(known),
        "\r\n".join(known).encode(),
        file,
        [file, known[0]],
        lm.read(file),
        read([str(file)], lm.data),
        dict.fromkeys(known, 1),
    ):
        assert texts_of(lm, 50, 2, not_in=not_in) == expected
    assert texts_of(lm, 50, 2, not_in=[]) == [text for text in every if text][:50]


@pytest.mark.parametrize("documents", ["paragraph", "file"])
def test_documents_of_several_lines_are_compared_as_a_whole(documents: str, tmp_path: Path) -> None:
    lm = make(LETTERS + "\x1e", documents=documents)
    every = [text for text in texts_of(lm, 400, 4) if text.strip("\n")]
    known = next(text for text in every if text == text.strip() and "\n" in text)
    file = tmp_path / "text.txt"
    file.write_text(known if documents == "file" else f"x\n\n\n{known}\n\nx\n")
    for not_in in (known, file):
        found = texts_of(lm, 100, 4, not_in=not_in)
        expected = [text for text in every if text != known]
        assert [text for text in found if text.strip("\n")][:90] == expected[:90]


def test_characters_that_the_model_does_not_know_make_a_line_another_one(tmp_path: Path) -> None:
    lm, file = of_list(), tmp_path / "lines.txt"
    first = texts_of(lm, 1, 2)
    file.write_text(f"{first[0]}\N{SNOWMAN}\n")
    assert texts_of(lm, 1, 2, not_in=file) == texts_of(lm, 1, 2, not_in=file.read_text()) == first
    rare = make(LETTERS + "\N{REPLACEMENT CHARACTER}", documents="line", min_count=2)
    made = texts_of(rare, 9, 2, prompt="\N{SNOWMAN}")
    file.write_text(f"\N{SNOWMAN}{made[0]}\n")
    fresh = texts_of(rare, 3, 2, prompt="\N{SNOWMAN}", not_in=rare.read(file))
    assert fresh == [text for text in made if text != made[0]][:3]
    for form in (file, file.read_text()):
        assert texts_of(rare, 3, 2, prompt="\N{SNOWMAN}", not_in=form) == fresh


def test_models_of_bytes_compare_bytes(tmp_path: Path) -> None:
    lm = make("é\n abc", level="byte", documents="line")
    made = [sample.symbols for sample in lm.samples(200, 3, **WARM)]
    known = next(filter(None, made))
    file = tmp_path / "lines"
    file.write_bytes(known + b"\n")
    for not_in in (known, file):
        found = [sample.symbols for sample in lm.samples(20, 3, not_in=not_in, **WARM)]
        assert found == [text for text in made if text not in (b"", known)][:20]


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    lm = make()
    with pytest.raises(ArgumentError, match="not_in must be texts or paths, not 3"):
        lm.sample(not_in=3)
    with pytest.raises(ArgumentError, match="not_in must be texts or paths, not None"):
        lm.sample(not_in=["a", None])
    with pytest.raises(CorpusError, match="there is no such file"):
        lm.sample(not_in=tmp_path / "nothing.txt")
    with pytest.raises(ArgumentError, match="longest_copy must be 1 or above, not 0"):
        lm.sample(not_in="a", longest_copy=0)
    with pytest.raises(ArgumentError, match="longest_copy needs a text to compare with"):
        lm.sample(longest_copy=3)
    (tmp_path / "text.txt").write_text("abc")
    with pytest.raises(ArgumentError, match="must be texts of bytes, like the model"):
        make(level="byte").sample(not_in=lm.read(tmp_path / "text.txt"))


def test_a_long_text_is_searched_in_little_memory() -> None:
    lm, rng = make("".join(map(chr, range(97, 123)))), np.random.default_rng(0)
    text = bytes(rng.integers(97, 123, 4 * 10**6, np.uint8)).decode()
    corpus = read_in_memory(lm, text)
    tracemalloc.start()
    list(lm.samples(20, 100, not_in=corpus, longest_copy=8, **WARM))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


def read_in_memory(lm: LanguageModel, text: str) -> Any:
    Path("long.txt").write_text(text)
    return lm.read("long.txt")


def test_endless_samples_are_made_as_they_are_read() -> None:
    endless = of_list().samples(10**12, 5, not_in="a", **WARM)
    assert len(list(islice(endless, 3))) == 3
