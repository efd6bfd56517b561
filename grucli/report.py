"""What a finished run says in plain words."""

from collections.abc import Sequence

WORTH_MENTIONING = 0.01
"""Nats a character below which two losses are called equal."""

WIDE_GAP = 0.15
"""Nats a character between training and validation loss from which a model over-fits."""

NARROW_GAP = 0.03
"""Nats a character between them below which a model has learned all it can hold."""


def verdict(
    train: Sequence[float], val: Sequence[float], unigram: float, dropout: float, hidden: int
) -> str:
    """Over- or under-fitting, and the setting to change.

    Args:
        train: mean training losses, in the order of the evaluations, nats a character.
        val: validation losses at the same steps, one at least.
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
    risen, gap = val[-1] - best, val[-1] - train[-1]
    more_dropout = f"--set model.dropout={min(0.6, round(dropout + 0.2, 2))}"
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
            f"Over-fitting begins: the validation loss is {gap:.3f} above the training loss. "
            f"More text helps most; {more_dropout} with more --epochs may help."
        )
    if gap < NARROW_GAP:
        return (
            "Under-fitting: it predicts new text as well as the text it was trained on. "
            f"A larger model can learn more: --set model.hidden={2 * hidden}."
        )
    return "A good fit: neither over- nor under-fitting stands out."
