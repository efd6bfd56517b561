"""Train, sample and inspect character-level GRU language models with NumPy."""

__version__ = "0.1.0"
