"""Judge a finished run in plain words."""

from collections.abc import Sequence

WORTH_MENTIONING = 0.01
"""If two losses differ by less, in nats per character, they count as equal."""

WIDE_GAP = 0.3
"""If validation minus training loss, in nats per character, is larger, the model overfits."""

NARROW_GAP = 0.03
"""If validation minus training loss, in nats per character, is smaller, the model underfits."""


def verdict(train: float, val: Sequence[float], unigram: float, dropout: float, hidden: int) -> str:
    """Say whether a model overfits or underfits, and which setting to change.

    Args:
        train: loss of the best weights on training text, without dropout, nats per character.
        val: validation losses in the order of the evaluations, at least one.
        unigram: loss of guessing characters by their frequency, nats per character.
        dropout: the dropout of the model.
        hidden: the number of units of a layer.
    """
    best = min(val)
    if best > unigram - WORTH_MENTIONING:
        return (
            "Nothing learned yet: guessing characters by their frequency gives the same loss. "
            "Train longer (--epochs or --minutes); if the loss rose, lower optim.lr."
        )
    risen, gap = val[-1] - best, best - train
    more_dropout = f"--set model.dropout={max(dropout, min(0.7, round(dropout + 0.2, 2))):g}"
    if risen > WORTH_MENTIONING:
        return (
            f"Overfitting: the validation loss was lowest at evaluation {val.index(best) + 1} of "
            f"{len(val)} and has risen by {risen:.3f} since. The best checkpoint is from that "
            f"evaluation. Train on more text, or with {more_dropout}."
        )
    if len(val) > 1 and val[-2] - val[-1] > WORTH_MENTIONING:
        return (
            "Still learning: the validation loss was falling to the end. "
            "Train longer (--epochs or --minutes)."
        )
    if gap > WIDE_GAP:
        return (
            f"Overfitting begins: the loss is {gap:.3f} nats per character lower on training text "
            f"than on new text. More text helps most; {more_dropout} with more --epochs may help."
        )
    if gap < NARROW_GAP:
        return (
            "Underfitting: the loss is as low on new text as on training text. "
            f"A larger model can learn more: --set model.hidden={2 * hidden}."
        )
    return "A good fit: there are no clear signs of overfitting or underfitting."
