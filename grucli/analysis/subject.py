"""The subject of an analysis: a model, trained or untrained, and the text that it reads."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from grucli.arguments import FilePath, Several, checked
from grucli.config import Data
from grucli.data import builtin
from grucli.data.corpus import read
from grucli.data.vocabulary import Vocabulary
from grucli.errors import CheckpointError, UsageError
from grucli.language_model import LanguageModel
from grucli.nn.cells import basic, in_words
from grucli.nn.model import Model
from grucli.nn.params import Ids
from grucli.run import checkpoint as checkpoints
from grucli.run.records import NOT_TRAINED
from grucli.run.run import Run

UNITS = 64  # of an untrained model
UNTRAINED = ", untrained"  # the end of the name of a model that is
REFERENCE = "python-reference"  # the built-in corpus that untrained models read


@dataclass(frozen=True)
class Subject:
    """A model and the text that it reads."""

    name: str  # in tables and plots
    lm: LanguageModel  # the model, with its vocabulary and its rules for reading a text
    ids: Ids  # the text, (N,)
    trained: bool = False
    run: Run | None = None  # of which it is the model

    @property
    def words(self) -> str:
        """What a figure calls the model."""
        return f"{in_words(self.lm.model.cell)}, {'' if self.trained else 'un'}trained"


@checked
def of_run(path: FilePath, text: str | None = None) -> Subject:
    """Load a checkpoint, or the best one of a run, and a text file or the run's validation text."""
    run = Run.open(path)
    if text is not None:
        return Subject(path.name, run.lm, run.ids(text), trained=True, run=run)
    lm = replace(run.lm, unseen=())  # the held-out text may have symbols of its own
    return Subject(path.name, lm, run.judged, trained=True, run=run)


@checked
def untrained(cells: Several[str], text: str | None = None, hidden: int = UNITS) -> list[Subject]:
    """Make a model of each cell with initial weights, to read a text file or Python's reference."""
    check_cells(cells)
    if text is not None:
        corpus = read([text], Data())
        ids, vocabulary = corpus.ids, corpus.vocabulary
    else:
        points = list(map(ord, chain.from_iterable(builtin.chunks(REFERENCE))))
        symbols, ids = np.unique(points, return_inverse=True)
        vocabulary = Vocabulary(symbols)
    counts = np.bincount(ids, minlength=len(vocabulary))
    subjects = []
    for cell in cells:
        model = Model(len(vocabulary), hidden, 1, cell=cell)
        model.initialize(np.random.default_rng(0))
        name = f"{in_words(cell)}, {hidden} units{UNTRAINED}"
        subjects.append(Subject(name, LanguageModel(model, vocabulary, counts), ids))
    return subjects


def before_training(subject: Subject) -> Subject:
    """The same network on the same text, before training."""
    lm = replace(subject.lm, model=initial_model(subject.lm.model, subject.run))
    return Subject(f"{subject.name}{UNTRAINED}", lm, subject.ids)


def initial_model(old: Model, run: Run | None) -> Model:
    """The same network with the weights of step 0, if the run has them, or with random ones."""
    with suppress(CheckpointError):
        if run and run.info.status not in NOT_TRAINED and not run.info.init_from:
            return checkpoints.read(run.checkpoints.file_of(0)).model
    model = Model(old.V, old.H, old.L, cell=old.cell, separator=old.separator)
    model.initialize(np.random.default_rng(0))
    return model


def check_same_vocabulary(subjects: Sequence[Subject]) -> None:
    """Refuse to compare models whose ids stand for different characters."""
    first, *others = subjects
    symbols = first.lm.vocabulary.symbols
    for other in others:
        if not np.array_equal(other.lm.vocabulary.symbols, symbols):
            raise UsageError(
                f"{first.name} and {other.name} have different vocabularies "
                f"({len(symbols)} and {len(other.lm.vocabulary)} symbols): "
                "compare runs on the same text"
            )


def cell_names(words: str) -> list[str]:
    """The cell names of a list separated by commas, without duplicates."""
    names = list(dict.fromkeys(name.strip() for name in words.split(",")))
    check_cells(names)
    return names


def check_cells(names: Sequence[str]) -> None:
    for name in names:
        if name not in basic():
            raise UsageError(f"there is no cell {name!r}; there are {', '.join(basic())}")
