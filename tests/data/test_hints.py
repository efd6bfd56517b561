import numpy as np

from grucli.data.hints import empty_share, looks_like_list, looks_sorted, repeated_share
from grucli.data.vocabulary import Vocabulary
from grucli.data.windows import Splits
from tests.texts import prose

VOCABULARY = Vocabulary(np.arange(128))
LINE_END = 10


def ids(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("ascii"), np.uint8)


def splits(train: str, val: str) -> Splits:
    return Splits(ids(train), ids(val), ids(""))


def test_short_lines_without_an_empty_one_look_like_a_list() -> None:
    names = "\n".join(f"name{number}" for number in range(60)) + "\n"
    assert looks_like_list(ids(names), LINE_END) == 60
    assert not looks_like_list(ids(names + "\n"), LINE_END)  # verse
    assert not looks_like_list(ids(names[:300]), LINE_END)  # too few to tell
    assert not looks_like_list(ids(names.replace("name", "n" * 40)), LINE_END)
    assert not looks_like_list(ids(names), None)
    assert not looks_like_list(ids(names + 2 * ("x" * 300 + "\n")), LINE_END)


def test_a_sorted_list_begins_with_other_characters_than_it_ends() -> None:
    first, last = ("\n".join(f"{letter}{n}" for n in range(99)) for letter in "ab")
    assert looks_sorted(splits(first, last), LINE_END, 128)
    assert not looks_sorted(splits(first, first), LINE_END, 128)
    assert not looks_sorted(splits(first, last[:40]), LINE_END, 128)


def test_the_share_of_empty_lines() -> None:
    assert empty_share(ids("a\n\nb\n\nc\n"), LINE_END, 128) == 0.5
    assert empty_share(ids("abc"), LINE_END, 128) == 0


def test_the_share_of_the_validation_text_that_stands_in_the_training_text() -> None:
    text = prose(4000)
    assert repeated_share(splits(text, text), VOCABULARY, 20) > 0.9
    assert repeated_share(splits(text, text.upper()), VOCABULARY, 20) == 0
    short = splits("ab\n" * 99, "ab\n" * 99)
    assert [repeated_share(short, VOCABULARY, n) for n in (2, 3)] == [1, 0]
