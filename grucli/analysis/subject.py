"""What an analysis looks at: a model, trained or not, and the text that it reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grucli.config import Data
from grucli.data import builtin
from grucli.data.corpus import read
from grucli.data.vocabulary import Vocabulary
from grucli.data.windows import split
from grucli.errors import CorpusError, UsageError
from grucli.nn.cells import basic
from grucli.nn.model import Model
from grucli.nn.params import Ids
from grucli.storage.checkpoint import Checkpoint
from grucli.storage.directory import open_checkpoint, own_corpus

UNITS = 64
"""Units of an untrained model."""

REFERENCE = "python-reference"
"""The built-in corpus that untrained models read."""


@dataclass(frozen=True)
class Subject:
    """A model and the text that it reads.

    Attributes:
        name: for tables and plots.
        model: the model.
        ids: the text, (N,).
        vocabulary: what the ids stand for.
    """

    name: str
    model: Model
    ids: Ids
    vocabulary: Vocabulary


def of_run(path: Path, text: str | None = None) -> Subject:
    """The best checkpoint of a run, with a text.

    Args:
        path: a run directory or a checkpoint.
        text: a text file; None for the run's own validation text.

    Raises:
        CheckpointError: there is no such run, or its text is not known.
        CorpusError: the text cannot be read, is too short or has changed.
        UnknownCharacterError: the text has characters that the model never saw.
    """
    file, checkpoint = open_checkpoint(path)
    ids = text_of(file, checkpoint, text)
    if text is None:
        parts = split(ids, checkpoint.settings.data)
        ids = parts.val if len(parts.val) else parts.train
    return Subject(path.name, checkpoint.model_to_use(), ids, checkpoint.vocabulary)


def untrained(cells: Sequence[str], text: str | None = None, hidden: int = UNITS) -> list[Subject]:
    """Models with initial weights, one of each cell, all with one layer of the same width.

    Args:
        cells: their names.
        text: a text file; None for the Python reference.
        hidden: units of each model.

    Raises:
        UsageError: there is no such cell.
        CorpusError: the text cannot be read.
    """
    check_cells(cells)
    ids, vocabulary = _own_vocabulary(text)
    subjects = []
    for cell in cells:
        model = Model(len(vocabulary), hidden, 1, cell=cell)
        model.initialize(np.random.default_rng(0))
        name = f"{cell.upper()}, {hidden} units, untrained"
        subjects.append(Subject(name, model, ids, vocabulary))
    return subjects


def _own_vocabulary(text: str | None) -> tuple[Ids, Vocabulary]:
    """A text with the vocabulary of its own characters."""
    if text is not None:
        corpus = read([text], Data())
        return corpus.ids, corpus.vocabulary
    reference = "".join(builtin.chunks(REFERENCE))
    vocabulary = Vocabulary("char", np.unique(np.array(list(map(ord, reference)))))
    return vocabulary.encode(reference), vocabulary


def text_of(file: Path, checkpoint: Checkpoint, text: str | None) -> Ids:
    """The text that is named, or else the run's own if it has not changed.

    Raises:
        CheckpointError: the run's text is not known.
        CorpusError: the text cannot be read, is too short or has changed.
        UnknownCharacterError: the text has characters that the model never saw.
    """
    if text is None:
        return own_corpus(file, checkpoint).ids
    ids = read([text], checkpoint.settings.data, checkpoint.vocabulary).ids
    if len(ids) < 2:
        raise CorpusError(f"{text}: too short; it must have at least two characters")
    return ids


def check_same_vocabulary(subjects: Sequence[Subject]) -> None:
    """Refuse to compare models of different vocabularies.

    Raises:
        UsageError: the ids of two subjects stand for different characters.
    """
    first = subjects[0]
    for other in subjects[1:]:
        if not np.array_equal(other.vocabulary.symbols, first.vocabulary.symbols):
            raise UsageError(
                f"{first.name} and {other.name} have different vocabularies "
                f"({len(first.vocabulary)} and {len(other.vocabulary)} symbols): "
                "compare runs on the same text"
            )


def cell_names(words: str) -> list[str]:
    """The names of cells in a list with commas, each once.

    Raises:
        UsageError: there is no such cell.
    """
    names = [name.strip() for name in words.split(",")]
    check_cells(names)
    return list(dict.fromkeys(names))


def check_cells(names: Sequence[str]) -> None:
    """Refuse names that no cell has.

    Raises:
        UsageError: there is no such cell.
    """
    for name in names:
        if name not in basic():
            raise UsageError(f"there is no cell {name!r}; there are {', '.join(basic())}")
