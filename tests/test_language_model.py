import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import grucli as library
from grucli.config import Data
from grucli.data import cache
from grucli.data.corpus import read
from grucli.data.documents import end_of
from grucli.data.vocabulary import Vocabulary
from grucli.errors import ArgumentError, CheckpointError, CorpusError, UnknownCharacterError
from grucli.language_model import LanguageModel
from grucli.nn.cells import CELLS
from grucli.nn.functional import log_softmax
from grucli.nn.model import Model
from grucli.run.run import Run
from grucli.sampling import read_prompt
from tests.conftest import Grucli

LETTERS = "\n abcdeé"

Make = Callable[..., LanguageModel]


def make(
    symbols: str = LETTERS, cell: str = "gru", layers: int = 2, **data: object
) -> LanguageModel:
    """A model with weights of some size, whose first symbol never occurred."""
    settings = Data.model_validate(data)
    points = sorted(set(symbols.encode() if settings.level == "byte" else map(ord, symbols)))
    vocabulary = Vocabulary(np.array(points), settings)
    end = end_of(settings)
    separator = None if end is None else points.index(end)
    model, rng = (
        Model(len(points), 6, layers, cell=cell, separator=separator),
        np.random.default_rng(0),
    )
    model.initialize(rng)
    model.params.flat += rng.normal(0, 0.4, model.params.flat.shape).astype(np.float32)
    return LanguageModel(model, vocabulary, np.arange(len(points)) * 3, settings)


def of_list(**named: object) -> LanguageModel:
    return make(documents="line", **named)


@pytest.mark.parametrize(
    ("data", "prompt"),
    [
        ({"documents": "paragraph"}, "ab\n\nc"),
        ({"documents": "paragraph"}, "ab\n\n"),
        ({"separator": "<>"}, "ab<>c"),
        ({"documents": "file"}, "ab\nc"),
        ({}, "a\x1eb"),
    ],
)
def test_a_prompt_is_shown_as_it_was_written(data: dict[str, str], prompt: str) -> None:
    lm = make("abc\n<>\x1e", **data)
    assert lm.sample(3, prompt=prompt, seed=1).startswith(prompt)


# ---- line ends


def test_texts_have_the_line_ends_of_the_training_text() -> None:
    lm, texts = make(), ("ab\ncd\n\na", "ab\r\ncd\r\n\r\na", "ab\rcd\r\ra")
    for text in (*texts, *(text.encode() for text in texts)):
        score = lm.score(text)
        assert score.symbols == texts[0]
        np.testing.assert_array_equal(score.log_probs, lm.score(texts[0]).log_probs)
        np.testing.assert_array_equal(lm.score_lines([text]), lm.score_lines([texts[0]]))
        assert lm.evaluate(text) == lm.evaluate(texts[0])
        assert lm.sample(9, prompt=text, seed=1) == lm.sample(9, prompt=texts[0], seed=1)
        np.testing.assert_array_equal(lm.states(text)["h"], lm.states(texts[0])["h"])
    whole = lm.sample(50, seed=1)
    assert "\n" in whole
    assert lm.sample(50, seed=1, stop=["\r\n"]) == whole[: whole.index("\n")]
    np.testing.assert_array_equal(
        of_list().score_lines(["ab\r\n", "cd\r", "d\r\n"]), of_list().score_lines(["ab", "cd", "d"])
    )


def test_line_ends_that_are_kept_are_characters() -> None:
    lm = make("\n\r ab", newlines="keep")
    assert lm.score("a\r\nb\r").symbols == "a\r\nb\r"
    with pytest.raises(UnknownCharacterError, match="CARRIAGE RETURN"):
        make(newlines="keep").encode("a\r\n")
    assert make("\n\r ab", level="byte").score("a\r\nb").symbols == b"a\r\nb"


# ---- what is loaded


def test_load_takes_a_run_or_a_checkpoint(trained: Path) -> None:
    lm = library.load(trained)
    file = Run(trained).checkpoints.find("best")
    assert lm.path == file
    again = library.load(str(file))
    np.testing.assert_array_equal(lm.model.params.flat, again.model.params.flat)
    assert lm.vocabulary == again.vocabulary
    assert lm.parameters == lm.model.params.flat.size
    assert repr(lm) == (
        f"<LanguageModel {file}: gru, 1 x 12 units, {len(lm.vocabulary)} characters, "
        f"{lm.parameters:,} parameters>"
    )
    with pytest.raises(CheckpointError, match="no such run or checkpoint"):
        library.load("nothing")


# ---- sampling


@pytest.mark.parametrize("lm", [make(), of_list(), make(level="byte"), make(cell="lstm")])
@pytest.mark.parametrize("prompt", ["", "éab", "b"])
@pytest.mark.parametrize("echo", [True, False])
def test_a_stream_is_a_sample(lm: LanguageModel, prompt: str, echo: bool) -> None:
    options = {"prompt": prompt, "seed": 3, "temperature": 1.0, "echo": echo}
    whole = lm.sample(40, **options)
    assert "".join(lm.stream(40, **options)) == whole
    assert lm.sample(40, **options) == whole
    assert lm.sample(40, **(options | {"seed": 4})) != whole
    assert whole.startswith(prompt) or not echo
    if not lm.documents and lm.vocabulary.level == "char":
        assert len(whole) == 40 + len(prompt) * echo


def test_a_character_of_several_bytes_is_decoded_whole() -> None:
    lm = make("aé\u2600", level="byte")
    pieces = list(lm.stream(300, seed=1, prompt="é"))
    assert pieces[0] == "é"
    made = next(iter(lm.samples(1, 300, seed=1, prompt="é")))
    assert isinstance(made.symbols, bytes)
    assert "".join(pieces) == ("é".encode() + made.symbols).decode(errors="replace")
    assert {len(piece) for piece in pieces if "\ufffd" not in piece} == {1}


def test_a_model_of_a_list_ends_with_the_line() -> None:
    texts = [of_list().sample(200, seed=seed, temperature=1.0) for seed in range(20)]
    assert not any("\n" in text for text in texts)
    assert any(len(text) < 200 for text in texts)


def test_the_command_writes_the_same_sample(grucli: Grucli, trained: Path) -> None:
    shown = grucli("sample", trained, "-n", 40, "--seed", 5, "-p", "the ", "--top-k", 5).out
    assert library.load(trained).sample(40, seed=5, prompt="the ", top_k=5) + "\n" == shown


def test_a_stop_text_ends_a_sample() -> None:
    whole = make().sample(200, seed=1)
    assert make().sample(200, seed=1, stop=["b", "cc"]) == whole[: min(whole.find("b"), 200)]


def test_a_stop_text_that_begins_in_the_prompt_does_not_end_a_sample() -> None:
    rest = make().sample(50, seed=1, prompt="ab", echo=False)
    stops = ["b" + rest[:6], "ab" + rest[:4]]
    assert not any(stop in rest for stop in stops)
    assert make().sample(50, seed=1, prompt="ab", echo=False, stop=stops) == rest


def test_samples_are_the_same_in_any_company() -> None:
    lm = make()
    texts = [sample.text for sample in lm.samples(5, 30, seed=2)]
    assert texts[0] == lm.sample(30, seed=2) == lm.sample(30, seed=2, prompt="\n", echo=False)
    assert [sample.text for sample in lm.samples(3, 30, seed=2)] == texts[:3]
    pieces = [b""] * 5
    for number, data in lm.samples(5, 30, seed=2).pieces():
        pieces[number] += data
    assert [piece.decode() for piece in pieces] == texts


def test_log_probabilities_of_a_sample_are_its_score_after_a_line_end() -> None:
    for lm, before in ((make(), "\n"), (of_list(), "")):
        for sample in lm.samples(4, 25, seed=3, temperature=0.5):
            scored = lm.score(before + sample.text).log_probs[len(before) :]
            np.testing.assert_allclose(sample.log_probs, scored, rtol=1e-4, atol=1e-6)
            if sample.end_log_prob is not None:
                ended = lm.score(sample.text + "\n").log_probs[-1]
                assert sample.end_log_prob == pytest.approx(ended, rel=1e-4)


def test_half_of_a_surrogate_pair_is_a_new_character() -> None:
    lm = make()
    with pytest.raises(UnknownCharacterError, match=r"never saw the character .*U\+D83D"):
        lm.score("a\ud83d b")
    assert lm.count_unknown("a\ud83d b") == 1
    first, second = lm.score_lines(["a\ud83d b", "a b"], unknown="skip")
    assert first == second


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0 or above"),
        ({"temperature": math.nan}, "temperature must be 0 or above"),
        ({"top_k": 0}, "top_k must be 1 or above, not 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1"),
        ({"length": -1}, "length must be 0 or above, not -1"),
        ({"seed": -1}, "seed must be 0 or above, not -1"),
        ({"stop": [""]}, "stop needs a text"),
        ({"stop": ["a" * 1001]}, "stop takes texts of at most 1,000 characters"),
        ({"stop": ["\ud800"]}, "has half of a surrogate pair, which no text has"),
    ],
)
def test_arguments_out_of_range_are_refused_at_once(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        make().stream(**options)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="count must be 1 or above"):
        make().samples(0)


@pytest.mark.parametrize("ids", [[8, 0, 1], [0, 8], [-1, 0]])
def test_ids_of_another_vocabulary_are_refused(ids: list[int]) -> None:
    lm = make()
    for ask in (lm.score, lm.evaluate, lm.adapt, lm.decode):
        with pytest.raises(ArgumentError, match="ids must be from 0 to 7"):
            ask(np.array(ids))


def test_unknown_characters_of_a_prompt() -> None:
    with pytest.raises(UnknownCharacterError, match="'x'"):
        make().stream(prompt="ax")
    assert make().sample(5, prompt="axb", unknown="skip", seed=1).startswith("ab")
    assert make("ab\ufffd", min_count=2).sample(5, prompt="axb", seed=1).startswith("axb")


# ---- scoring


def slowly(lm: LanguageModel, text: str) -> list[float]:
    """Log probabilities by reading the whole beginning anew for each symbol."""
    ids = lm.encode(text)
    begun = [] if lm.model.separator is None else [lm.model.separator]
    found = []
    for number, target in enumerate(ids):
        read_before = np.array([*begun, *ids[:number]], np.intp)
        if len(read_before):
            logits, _ = read_prompt(lm.model, read_before)
            found.append(float(log_softmax(logits)[0, target]))
        else:
            found.append(math.log(max(lm.counts[target], 0.5) / lm.counts.sum()))
    return found


@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize("kind", [make, of_list, lambda **named: make(level="byte", **named)])
@pytest.mark.parametrize("text", ["", "b", "\n", "abé\ndec", "abcde " * 8])
def test_score(kind: Make, cell: str, text: str) -> None:
    lm = kind(cell=cell)
    score = lm.score(text)
    assert len(score) == len(score.log_probs) == len(lm.encode(text))
    assert score.log_probs.dtype == np.float64
    np.testing.assert_allclose(score.log_probs, slowly(lm, text), rtol=2e-5, atol=1e-6)
    assert score.text == text
    assert score.nats == pytest.approx(-sum(slowly(lm, text)), rel=1e-5)


def test_the_first_character_costs_its_frequency() -> None:
    lm = make()
    total = lm.counts.sum()
    assert lm.counts[0] == 0
    assert lm.score("\n").nats == pytest.approx(-math.log(0.5 / total))
    assert lm.score("a").nats == pytest.approx(-math.log(lm.counts[2] / total))


def test_unknown_characters_of_a_score() -> None:
    lm = make()
    with pytest.raises(UnknownCharacterError, match="'x'"):
        lm.score("axb")
    skipped = lm.score("axb", unknown="skip")
    assert skipped.text == "ab"
    np.testing.assert_array_equal(skipped.log_probs, lm.score("ab").log_probs)
    rare = make("ab\ufffd", min_count=2)
    assert rare.score("axb").text == "axb"
    np.testing.assert_array_equal(rare.score("axb").log_probs, rare.score("a\ufffdb").log_probs)


@pytest.mark.parametrize("kind", [make, of_list, lambda: make(level="byte")])
def test_the_floor_charges_half_an_occurrence_for_each_unknown_character(kind: Make) -> None:
    lm, text, known = kind(), "xaéyb\u0663", "aéb"
    new = len(text.encode()) - len(known.encode()) if lm.data.level == "byte" else 3
    floor = math.log(0.5 / lm.counts.sum())
    score = lm.score(text, unknown="floor")
    places = [0, 3, 5] if new == 3 else [0, 4, 6, 7]
    assert (score.text, score.skipped) == (text, 0)
    assert score.log_probs[places].tolist() == [floor] * new
    np.testing.assert_array_equal(np.delete(score.log_probs, places), lm.score(known).log_probs)
    charged = lm.score_lines([text, known], unknown="floor")
    assert charged[0] == pytest.approx(charged[1] - new * floor)
    whole, part = lm.evaluate(text, unknown="floor"), lm.evaluate(known)
    assert (whole.chars, whole.correct, whole.skipped) == (part.chars + new, part.correct, 0)
    assert whole.nats == pytest.approx(part.nats - new * floor)
    assert lm.evaluate("xy", unknown="floor").nats == pytest.approx(-2 * floor)


def test_characters_that_are_skipped_are_counted(grucli: Grucli) -> None:
    lm, text = make(), "axb xx"
    score, whole = lm.score(text, unknown="skip"), lm.evaluate(text, unknown="skip")
    assert (score.skipped, whole.skipped, lm.count_unknown(text)) == (3, 3, 3)
    assert (whole + whole).skipped == 6
    assert (score[1:3].skipped, lm.score("ab").skipped) == (0, 0)
    assert "3 characters (and 3 left out, which the model never saw)" in repr(score)
    Path("text.txt").write_text(text, encoding="utf-8")
    read_skipping, read_charging = (lm.read(["text.txt"], unknown=how) for how in ("skip", "floor"))
    assert lm.evaluate(read_skipping, unknown="skip") == whole
    assert lm.evaluate(read_charging, unknown="floor") == lm.evaluate(text, unknown="floor")


def test_an_unknown_symbol_is_predicted_where_there_is_one() -> None:
    rare = make("ab\ufffd", min_count=2)
    assert rare.score("axb", unknown="floor").nats == rare.score("axb").nats
    assert rare.evaluate("axb", unknown="floor") == rare.evaluate("axb")
    assert rare.count_unknown("axb") == 1


@pytest.mark.parametrize("text", ["x", "\u0663\u0663"])
def test_a_line_of_unknown_characters_is_not_the_most_normal_one(text: str) -> None:
    lm = make()
    lines = ["abcde", "deed", "a cab", text + " a", text]
    assert lm.score_lines(lines, unknown="skip").argmin() == 4
    per_character = lm.score_lines(lines, unknown="floor") / [len(line) for line in lines]
    assert per_character.argmax() == 4


@pytest.mark.parametrize("ask", ["score", "score_lines", "evaluate", "sample"])
def test_there_is_no_other_way_with_unknown_characters(ask: str) -> None:
    lm = make()
    given = {"prompt": "ax"} if ask == "sample" else {}
    ways = ("floor", "guess") if ask == "sample" else ("guess",)
    for unknown in ways:
        with pytest.raises(ArgumentError, match=f"unknown must be 'error'.*, not '{unknown}'"):
            getattr(lm, ask)(*([] if given else ["ax"]), **given, unknown=unknown)


def test_bytes_are_read_as_utf8_by_a_model_of_characters() -> None:
    assert make().score(b"\xef\xbb\xbfa\xc3\xa9").text == "aé"
    every_byte = "".join(map(chr, range(0x80))) + "\ufeff\u00e9"
    marked = make(every_byte, level="byte").score(b"\xef\xbb\xbfa\xc3\xa9")
    assert (marked.symbols, len(marked.log_probs)) == (b"\xef\xbb\xbfa\xc3\xa9", 6)
    with pytest.raises(CorpusError, match=r"byte 0xff at offset 4 of the text is not UTF-8"):
        make().score(b"\xef\xbb\xbfa\xff")


def test_evaluate_is_the_sum_of_a_score() -> None:
    text = "abcde \n" * 30
    whole = of_list().evaluate(text)
    assert whole.chars == len(text)
    assert whole.nats == pytest.approx(of_list().score(text).nats, rel=1e-5)
    rest = make().evaluate(text)
    assert rest.chars == len(text) - 1
    assert rest.nats == pytest.approx(make().score(text)[1:].nats, rel=1e-5)
    part = of_list().evaluate(text, begins=False)
    assert part.chars == len(text) - 1


@pytest.mark.parametrize(("kind", "shortest"), [(make, "ab"), (of_list, "a")])
def test_there_must_be_something_to_predict(kind: Make, shortest: str) -> None:
    assert kind().evaluate(shortest).chars == 1
    with pytest.raises(CorpusError, match="needs one to read and one to predict"):
        kind().evaluate(shortest[1:])


@pytest.mark.parametrize("lines", [3, 4000])
def test_a_mapped_text_of_a_list_is_scored_as_one_in_memory(
    lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("list.txt").write_text("bad\ncab\ndeed\n" * lines, encoding="utf-8")
    lm = of_list()
    in_memory = lm.read(["list.txt"])
    monkeypatch.setattr(cache, "IN_MEMORY", 10)
    mapped = lm.read(["list.txt"])
    assert in_memory.cached_ids is None
    assert mapped.cached_ids is not None
    assert lm.evaluate(mapped.ids) == lm.evaluate(in_memory.ids)
    assert lm.evaluate(mapped.ids).chars == len(mapped.ids)
    begun = np.concatenate([[lm.model.separator], in_memory.ids]).astype(np.uint8)
    assert lm.evaluate(begun, begins=False) == lm.evaluate(mapped.ids)


def test_files_are_read_as_the_training_text_was() -> None:
    Path("one.txt").write_text("cab", encoding="utf-16")
    lm = of_list(encoding="utf-16")
    assert lm.decode(lm.read(["one.txt", Path("one.txt")]).ids) == "cab\ncab"
    Path("latin.txt").write_bytes(b"caf\xe9")
    skipped = lm.read(["latin.txt"], encoding="latin-1", unknown="skip")
    assert lm.decode(skipped.ids) == "caé"
    assert skipped.text_id.skipped == 1
    assert read(["one.txt"], lm.data).vocabulary.level == "char"


def test_a_text_is_not_scored_by_the_ids_of_another_vocabulary() -> None:
    Path("one.txt").write_text("cab")
    text, other = make("abc").read("one.txt"), make("bcad\n")
    for evaluated in (other.evaluate, other.adapt):
        with pytest.raises(CorpusError, match=r"one\.txt: was read for a model with another voc"):
            evaluated(text)
    assert other.evaluate(other.read("one.txt")) == other.evaluate("cab")


@pytest.mark.parametrize("level", ["char", "byte"])
def test_no_file_is_no_text(level: str) -> None:
    with pytest.raises(CorpusError, match="no text is named; name a file or a directory"):
        make(level=level).read([])


def test_a_byte_that_is_not_utf8_may_come_in_a_string() -> None:
    """The lines of ``score --jsonl`` have them."""
    lm = make("".join(map(chr, range(1, 128))) + "é", level="byte")
    assert lm.score("caf\udcc3").log_probs.tolist() == lm.score(b"caf\xc3").log_probs.tolist()
    assert [sample.symbols for sample in lm.samples(2, 1, pattern="\udcc3")] == [b"\xc3"] * 2
    plain, stopped = (list(lm.samples(1, 400, seed=1, stop=stop)) for stop in ([], "\udcc3"))
    assert stopped[0].symbols == plain[0].symbols.partition(b"\xc3")[0] != plain[0].symbols
    for option in ({"pattern": "a\ud800"}, {"only": "a\ud800"}, {"stop": "a\ud800"}):
        with pytest.raises(ArgumentError, match="has half of a surrogate pair, which no text has"):
            lm.samples(1, 1, **option)


def test_new_characters_are_left_out_only_if_that_is_asked_for() -> None:
    for wrong in ("floor", "eror"):
        with pytest.raises(ArgumentError, match="unknown must be 'error' or 'skip'"):
            make().encode("a\N{SNOWMAN}", unknown=wrong)  # type: ignore[arg-type]


# ---- states


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("gru", ["h", "n", "r", "z"]),
        ("gru-after", ["h", "n", "r", "u", "z"]),
        ("lstm", ["c", "f", "g", "h", "i", "o", "u"]),
        ("rnn", ["h"]),
    ],
)
@pytest.mark.parametrize("kind", [make, of_list])
@pytest.mark.parametrize("layer", [1, 2])
def test_states(kind: Make, cell: str, names: list[str], layer: int) -> None:
    lm, text = kind(cell=cell), "abcde\n" * 50
    states = lm.states(text, layer=layer)
    assert sorted(states) == names
    assert all(array.shape == (300, 6) for array in states.values())
    begun = [] if lm.model.separator is None else [lm.model.separator]
    _, state = read_prompt(lm.model, np.array([*begun, *lm.encode(text)]))
    parts = np.split(state[layer - 1, 0], len(CELLS[cell].STATE))
    for name, part in zip(CELLS[cell].STATE, parts, strict=True):
        np.testing.assert_allclose(states[name][-1], part, atol=1e-5)
    assert all(array.shape == (0, 6) for array in lm.states("", layer=layer).values())


def test_the_gates_are_those_of_the_equations() -> None:
    states = make(cell="gru").states("abcde")
    h_prev = np.concatenate([np.zeros((1, 6), np.float32), states["h"][:-1]])
    h = (1 - states["z"]) * h_prev + states["z"] * states["n"]
    np.testing.assert_allclose(states["h"], h, atol=1e-6)
    states = make(cell="lstm").states("abcde")
    c_prev = np.concatenate([np.zeros((1, 6), np.float32), states["c"][:-1]])
    np.testing.assert_allclose(
        states["c"], states["f"] * c_prev + states["i"] * states["g"], atol=1e-6
    )
    np.testing.assert_allclose(states["h"], states["o"] * states["u"], atol=1e-6)
    np.testing.assert_allclose(states["u"], np.tanh(states["c"]), atol=1e-6)


@pytest.mark.parametrize("layer", [0, 3])
def test_there_is_no_such_layer(layer: int) -> None:
    with pytest.raises(ArgumentError, match=f"layer must be from 1 to 2, not {layer}"):
        make().states("a", layer=layer)


def test_a_sample_starts_after_a_line_end_or_else_after_a_blank() -> None:
    for symbols, first in (("\n abc", "\n"), (" abc", " ")):
        lm = make(symbols)
        begun = lm.sample(30, seed=1)
        assert begun == lm.sample(30, seed=1, prompt=first, echo=False)
    assert len(make("abcd").sample(30, seed=1)) == 30
