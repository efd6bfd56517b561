from collections.abc import Iterator
from typing import Any

import pytest

from grucli.charts import Curve
from grucli.config import Data, Model, Settings
from grucli.run.verdict import Losses, Verdict, about_dropout, judge, uncertain


def settings(dropout: float = 0.3, **data: Any) -> Settings:
    return Settings(data=Data(**data), model=Model(dropout=dropout, hidden=64))


def said(train: float, val: list[float], copied: float = 0.0, **more: Any) -> Verdict:
    return judge(Losses(train, val, uniform=4.0, unigram=3.0, **more), settings(), copied)


@pytest.mark.parametrize(
    ("train", "val", "expected", "longer"),
    [
        (1.4, [2.0, 1.5, 1.53], "lowest at evaluation 2 of 3 and has risen by 0.030", False),
        (1.49, [2.0, 1.5, 1.55], "Underfitting", True),  # what has risen is noise, or the rate
        (1.4, [2.0, 1.6, 1.5], "Still learning", True),
        (1.0, [1.505, 1.5], "Overfitting begins: the loss is 0.500 nats per character", False),
        (1.49, [1.5, 1.5], "Underfitting", True),
        (1.49, [1.6, *[1.5] * 6], "and has not fallen in the last 5 evaluations", False),
        (1.4, [1.5, 1.5], "A good fit", True),
        (1.4, [1.5], "A good fit", True),
        (1.4, [1.6, *[1.5] * 6], "A good fit", False),
        (3.0, [3.1, 2.999], "by their frequency gives the same loss", True),
        (3.7, [4.0, 3.8], "by their frequency gives a lower loss", True),
        (4.02, [4.02], "gives a lower loss. Train longer.", True),
        (9.0, [9.5, 9.0], "Worse than guessing: the loss is 6.000 nats per character above", False),
        (12.0, [9.0] * 9, "train a new run with --set optim.lr=0.01.", False),
        (0.5, [9.0, 9.5], "The loss has risen: lower optim.lr, or use more text", False),
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
    assert "Underfitting" in judge(Losses(1.49, losses, 4.0, 3.0), settings()).text
    assert losses.read < 30


def test_a_model_that_recites_its_text_is_not_called_too_small() -> None:
    assert "Underfitting" in said(1.49, [1.5, 1.5], copied=0.2).text
    recites = said(1.49, [1.5, 1.5], copied=0.89)
    assert recites.text.startswith("Memorized: 89% of a sample is one passage")
    assert "The validation text seems to repeat it" in recites.text
    assert "repeat" not in said(1.0, [1.5, 1.5], copied=0.89).text
    assert not recites.longer


def test_the_advice_moves_settings_in_the_right_direction() -> None:
    losses = Losses(1.0, [1.4, 1.5], 4.0, 3.0)
    assert "model.dropout=0.5" in judge(losses, settings(0.3)).text
    assert "model.dropout=0.8" in judge(losses, settings(0.8)).text
    narrow = Losses(1.5, [1.5, 1.5], 4.0, 3.0)
    assert "model.hidden=128" in judge(narrow, settings()).text


@pytest.mark.parametrize("val", [[2.0, 2.5], [2.9, 2.95], [2.0, 2.0], [2.9, 2.8]])
def test_a_validation_text_of_another_kind_calls_for_no_dropout(val: list[float]) -> None:
    verdict = said(1.0, val, unlike=True)
    assert "is of another kind than the training text" in verdict.text
    assert "dropout" not in verdict.text
    assert verdict.longer is (val == [2.9, 2.8])


def test_a_model_of_bytes_is_judged_by_bytes() -> None:
    for train, val in ((1.0, 1.5), (2.8, 2.8), (9.0, 9.0)):
        text = judge(Losses(train, [val] * 2, 4.0, 3.0), settings(level="byte")).text
        assert "byte" in text
        assert "character" not in text


def test_any_loss_is_told_in_words() -> None:
    assert "among 2.7 equally" in uncertain(1.0, "byte")
    assert "among 10^869 equally" in uncertain(2000.0, "byte")


def test_a_training_loss_above_the_validation_loss_is_explained_by_dropout() -> None:
    higher = [Curve("training", [1, 2], [3.0, 2.0]), Curve("validation", [2], [1.5])]
    (sentence,) = about_dropout(Model(dropout=0.3), higher)
    assert "it is measured with dropout" in sentence
    assert about_dropout(Model(dropout=0.0, weight_dropout=0.1), higher)
    assert not about_dropout(Model(dropout=0.0), higher)
    assert not about_dropout(Model(dropout=0.3), higher[:1])
    assert not about_dropout(Model(dropout=0.3), [higher[0], Curve("validation", [2], [2.5])])
