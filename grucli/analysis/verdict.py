"""What a finished run says in plain words."""

from collections.abc import Sequence

WORTH_MENTIONING = 0.01
"""Nats a character below which two losses are called equal."""

WIDE_GAP = 0.3
"""Nats a character between training and validation loss from which a model over-fits."""

NARROW_GAP = 0.03
"""Nats a character between them below which a model has learned all it can hold."""


def verdict(train: float, val: Sequence[float], unigram: float, dropout: float, hidden: int) -> str:
    """Over- or under-fitting, and the setting to change.

    Args:
        train: loss of the best weights on training text, without dropout, nats a character.
        val: validation losses in the order of the evaluations, one at least.
        unigram: what guessing by frequency costs, nats a character.
        dropout: of the model.
        hidden: units of its layers.
    """
    best = min(val)
    if best > unigram - WORTH_MENTIONING:
        return (
            "Nothing learned yet: guessing characters by their frequency does as well. "
            "Train longer (--epochs or --minutes); if the loss rose, lower optim.lr."
        )
    risen, gap = val[-1] - best, best - train
    more_dropout = f"--set model.dropout={max(dropout, min(0.7, round(dropout + 0.2, 2))):g}"
    if risen > WORTH_MENTIONING:
        return (
            f"Over-fitting: the validation loss was lowest at evaluation {val.index(best) + 1} of "
            f"{len(val)} and has risen by {risen:.3f} since. The best checkpoint is from there; "
            f"train on more text, or with {more_dropout}."
        )
    if len(val) > 1 and val[-2] - val[-1] > WORTH_MENTIONING:
        return (
            "Still learning: the validation loss was falling to the end. "
            "Train longer (--epochs or --minutes)."
        )
    if gap > WIDE_GAP:
        return (
            f"Over-fitting begins: it predicts text it was trained on {gap:.3f} nats better than "
            f"new text. More text helps most; {more_dropout} with more --epochs may help."
        )
    if gap < NARROW_GAP:
        return (
            "Under-fitting: it predicts new text as well as the text it was trained on. "
            f"A larger model can learn more: --set model.hidden={2 * hidden}."
        )
    return "A good fit: neither over- nor under-fitting stands out."
