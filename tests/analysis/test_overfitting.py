import pytest

from grucli.analysis.overfitting import verdict


@pytest.mark.parametrize(
    ("train", "val", "expected"),
    [
        (1.4, [2.0, 1.5, 1.53], "lowest at evaluation 2 of 3 and has risen by 0.030"),
        (1.4, [2.0, 1.6, 1.5], "Still learning"),
        (1.0, [1.505, 1.5], "Overfitting begins: the loss is 0.500 nats per character lower on"),
        (1.49, [1.5, 1.5], "Underfitting"),
        (1.4, [1.5, 1.5], "A good fit"),
        (1.4, [1.5], "A good fit"),
        (3.0, [3.1, 2.999], "Nothing learned yet"),
    ],
)
def test_verdict(train: float, val: list[float], expected: str) -> None:
    assert expected in verdict(train, val, unigram=3.0, dropout=0.3, hidden=64)


def test_the_advice_moves_settings_in_the_right_direction() -> None:
    assert "model.dropout=0.5" in verdict(1.0, [1.4, 1.5], 3.0, dropout=0.3, hidden=64)
    assert "model.dropout=0.8" in verdict(1.0, [1.4, 1.5], 3.0, dropout=0.8, hidden=64)
    assert "model.hidden=128" in verdict(1.5, [1.5, 1.5], 3.0, dropout=0.3, hidden=64)
