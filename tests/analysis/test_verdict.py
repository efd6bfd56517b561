from collections.abc import Iterator

import pytest

from grucli.analysis.verdict import Losses, Verdict, judge


def said(train: float, val: list[float], copied: float = 0.0) -> Verdict:
    return judge(Losses(train, val, unigram=3.0), dropout=0.3, hidden=64, copied=copied)


@pytest.mark.parametrize(
    ("train", "val", "expected", "longer"),
    [
        (1.4, [2.0, 1.5, 1.53], "lowest at evaluation 2 of 3 and has risen by 0.030", False),
        (1.4, [2.0, 1.6, 1.5], "Still learning", True),
        (1.0, [1.505, 1.5], "Overfitting begins: the loss is 0.500 nats per character", False),
        (1.49, [1.5, 1.5], "Underfitting", True),
        (1.49, [1.6, *[1.5] * 6], "and has not fallen in the last 5 evaluations", False),
        (1.4, [1.5, 1.5], "A good fit", True),
        (1.4, [1.5], "A good fit", True),
        (1.4, [1.6, *[1.5] * 6], "A good fit", False),
        (3.0, [3.1, 2.999], "Nothing learned yet", True),
        (2.7, [3.1, 2.8], "Little learned: the loss is only 6.7% lower", True),
        (2.7, [2.8, 2.9], "The loss has risen: lower optim.lr", False),
        (2.7, [2.8] * 9, "random, compressed or encrypted", False),
        (0.2, [0.3, 0.21], "almost completely predictable", False),
    ],
)
def test_verdict(train: float, val: list[float], expected: str, longer: bool) -> None:
    verdict = said(train, val)
    assert expected in verdict.text
    assert verdict.longer is longer


def test_a_verdict_reads_the_losses_of_a_long_run_a_few_times() -> None:
    class Counted(list[float]):
        read = 0

        def __iter__(self) -> Iterator[float]:
            self.read += 1
            return super().__iter__()

    losses = Counted([1.6, *[1.5] * 999])
    assert "Underfitting" in judge(Losses(1.49, losses, 3.0), 0.3, 64).text
    assert losses.read < 30


def test_a_model_that_recites_its_text_is_not_called_too_small() -> None:
    assert "Underfitting" in said(1.49, [1.5, 1.5], copied=0.2).text
    recites = said(1.49, [1.5, 1.5], copied=0.89)
    assert recites.text.startswith("Memorized: 89% of a sample is one passage")
    assert "The validation text seems to repeat it" in recites.text
    assert "repeat" not in said(1.0, [1.5, 1.5], copied=0.89).text
    assert not recites.longer


def test_the_advice_moves_settings_in_the_right_direction() -> None:
    losses = Losses(1.0, [1.4, 1.5], 3.0)
    assert "model.dropout=0.5" in judge(losses, dropout=0.3, hidden=64).text
    assert "model.dropout=0.8" in judge(losses, dropout=0.8, hidden=64).text
    narrow = Losses(1.5, [1.5, 1.5], 3.0)
    assert "model.hidden=128" in judge(narrow, dropout=0.3, hidden=64).text
