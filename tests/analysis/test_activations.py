from pathlib import Path

import numpy as np
import pytest

from grucli.analysis import activations
from grucli.analysis.subject import of_run
from grucli.errors import UsageError
from grucli.text_score import TextScore


def values(feature: str, text: str) -> list[float]:
    return list(activations.follow(activations.FEATURES[feature], text))


def test_structures_of_a_text() -> None:
    assert values("inside quotes", 'a "b" c') == [0, 0, 1, 1, 0, 0, 0]
    assert values("inside quotes", '"a\n\nb') == [1, 1, 1, 0, 0]
    assert values("inside quotes", "\u201ca\u201d.") == [1, 1, 0, 0]
    assert values("inside brackets", "a(b[c])d)e(") == [0, 1, 1, 2, 2, 1, 0, 0, 0, 0, 1]
    assert values("position in line", "ab\nc") == [1, 2, 0, 1]
    assert values("position in word", "ab, c") == [1, 2, 0, 0, 1]
    assert values("after a capital", "aBc d") == [0, 1, 1, 0, 0]
    assert values("indentation", "  a b\n\tc") == [1, 2, 2, 2, 2, 0, 1, 1]
    assert values("line in paragraph", "a\nb\n\nc") == [0, 1, 1, 2, 0, 0]


def test_the_unit_that_follows_a_structure_is_found() -> None:
    text = "x(yz)w" * 30
    rng = np.random.default_rng(0)
    h = rng.normal(size=(len(text), 8))
    h[:, 3] = -np.array(values("inside brackets", text)) + 0.1 * rng.normal(size=len(text))
    h[:, 5] = 0.25  # a unit that does nothing
    score = TextScore(text, -np.ones(len(text)))
    found = activations.Reading("", 1, score, h).correlations(top=2)
    best = next(tie for tie in found if tie.feature == "inside brackets")
    assert best.unit == 3
    assert best.correlation < -0.95
    assert all(np.isfinite(tie.correlation) for tie in found)
    assert "inside quotes" not in {tie.feature for tie in found}  # the text has none


def test_a_reading_is_coloured_by_a_unit_or_by_surprisal(trained: Path) -> None:
    subject = of_run(trained)
    reading = activations.read(subject, length=50)
    text = subject.lm.decode(subject.ids[:50])
    assert (reading.layer, "".join(reading.score.characters)) == (1, text)
    unit, surprisal = reading.unit(3), reading.surprisal()
    np.testing.assert_array_equal(unit.values, subject.lm.states(text)["h"][:, 3])
    np.testing.assert_array_equal(surprisal.values, subject.lm.score(text).bits)
    assert unit.full == max(map(abs, unit.values))
    assert len({one.feature for one in reading.correlations(top=1)}) >= 2
    for ask, message in (
        (lambda: reading.unit(12), "units are numbered 0 to 11"),
        (lambda: activations.read(subject, layer=2), "layers are numbered 1 to 1"),
        (lambda: activations.read(subject, length=1), "too short"),
    ):
        with pytest.raises(UsageError, match=message):
            ask()


def test_a_byte_is_one_character_of_a_reading() -> None:
    h = np.array([[0.5], [-1.0], [0.25]])
    reading = activations.Reading("bytes", 1, TextScore("a\u00e9".encode(), -np.ones(3)), h)
    assert reading.score.characters == ["a", "\u00c3", "\u00a9"]
    assert reading.unit(0).values == [0.5, -1.0, 0.25]
