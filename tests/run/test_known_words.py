from grucli.run.known_words import KnownWords, known_words
from tests.texts import prose


def test_words_of_a_sample_are_looked_up_in_the_training_text() -> None:
    text = "The quiet river doesn\u2019t stop, and the old boat is on it. " * 9
    sample = "xx " + "the river doesn\u2019t blorp. " * 6 + "yy"
    assert known_words(sample, text, text) == KnownWords(18, 24, 1.0)


def test_nothing_is_said_of_few_words_or_of_writing_without_spaces() -> None:
    text = prose(4000)
    assert known_words(text[:200], text, text) is not None
    assert known_words(text[:40], text, text) is None
    lines = ["".join(chr(0x4E00 + (7 * i * j) % 5000) for j in range(12)) for i in range(90)]
    assert (
        known_words("\n".join(lines[:30]), "\n".join(lines[30:60]), "\n".join(lines[60:])) is None
    )
