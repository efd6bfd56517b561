"""Texts that tests train on: made here, so that nothing has to be shipped or downloaded."""

import numpy as np

WORDS = tuple(
    "the a some each no river stone light night garden winter morning letter window small old "
    "quiet green early slow keeps finds loses carries hears opens and but when because under "
    "over".split(" ")
)


def prose(chars: int, seed: int = 0) -> str:
    """Sentences of common words, cut to ``chars`` characters."""
    rng = np.random.default_rng(seed)
    sentences: list[str] = []
    while sum(map(len, sentences)) < chars:
        words = rng.choice(WORDS, rng.integers(4, 10))
        sentences.append(" ".join(words).capitalize() + (".\n" if rng.random() < 0.3 else ". "))
    return "".join(sentences)[:chars]
