"""What the commands that look inside look at: a model and a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grucli.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from grucli.data.vocabulary import Vocabulary
    from grucli.nn.model import Model
    from grucli.nn.params import Ids
    from grucli.storage.checkpoint import Checkpoint

Text = Annotated[
    str | None,
    typer.Option(
        "--text",
        help="Text to read; else the run's validation text, or the Python reference.",
        metavar="FILE",
    ),
]
UNITS = 64
"""Units of a model that nobody has trained."""

Hidden = Annotated[
    int | None,
    typer.Option(
        "--hidden", min=1, max=4096, help="Units of an untrained model [64].", metavar="N"
    ),
]
Positions = Annotated[
    int,
    typer.Option(
        "--positions", min=1, max=100_000, help="Places of the text to average over.", metavar="N"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Subject:
    """A model, trained or not, and the text that it reads."""

    name: str
    model: "Model"
    ids: "Ids"
    vocabulary: "Vocabulary"


def of_run(path: Path, text: str | None) -> Subject:
    """The best checkpoint of a run, and a text or the run's own validation text."""
    from grucli.data.windows import split
    from grucli.storage.directory import open_checkpoint

    file, checkpoint = open_checkpoint(path)
    ids = text_of(file, checkpoint, text)
    if text is None:
        parts = split(ids, checkpoint.settings.data)
        ids = parts.val if len(parts.val) else parts.train
    return Subject(path.name, checkpoint.model_to_use(), ids, checkpoint.vocabulary)


def untrained(cells: Sequence[str], text: str | None, hidden: int) -> list[Subject]:
    """Models before training, one of each cell, all of the same width."""
    import numpy as np

    from grucli.config import Data
    from grucli.data.builtin import pieces
    from grucli.data.corpus import read
    from grucli.data.vocabulary import Vocabulary
    from grucli.nn.model import Model

    if text is not None:
        corpus = read([text], Data())
        ids, vocabulary = corpus.ids, corpus.vocabulary
    else:
        reference = "".join(pieces("python-reference"))
        vocabulary = Vocabulary("char", np.unique(np.array(list(map(ord, reference)))))
        ids = vocabulary.encode(reference)
    subjects = []
    for cell in cells:
        model = Model(len(vocabulary), hidden, 1, cell=cell)
        model.initialize(np.random.default_rng(0))
        subjects.append(
            Subject(f"{cell.upper()}, {hidden} units, untrained", model, ids, vocabulary)
        )
    return subjects


def text_of(file: Path, checkpoint: "Checkpoint", text: str | None) -> "Ids":
    """The text given, or the run's own if it is still the same."""
    from grucli.data.corpus import read
    from grucli.storage.directory import own_corpus

    if text is None:
        return own_corpus(file, checkpoint).ids
    ids = read([text], checkpoint.settings.data, checkpoint.vocabulary).ids
    if len(ids) < 2:
        raise CorpusError(f"{text}: too short; it takes two characters")
    return ids


def check_same_vocabulary(subjects: Sequence[Subject]) -> None:
    """Refuse to compare what cannot be compared.

    Raises:
        UsageError: two subjects number different characters.
    """
    import numpy as np

    first = subjects[0]
    for other in subjects[1:]:
        if not np.array_equal(other.vocabulary.symbols, first.vocabulary.symbols):
            raise UsageError(
                f"{first.name} and {other.name} have different vocabularies "
                f"({len(first.vocabulary)} and {len(other.vocabulary)} symbols): "
                "compare runs on the same text"
            )


def units(run: object, hidden: int | None) -> int:
    """Units of an untrained model.

    Raises:
        UsageError: there is a run, or there are some, which have their own.
    """
    if run and hidden is not None:
        raise UsageError("--hidden is for a model without a run; a run has its units; keep one")
    return UNITS if hidden is None else hidden


def one(run: Path | None, cell: str | None, text: str | None, hidden: int | None) -> Subject:
    """A run, or else an untrained model.

    Raises:
        UsageError: both are given.
    """
    if run is not None and cell is not None:
        raise UsageError("--cell is for a model without a run; a run has its cell; keep one")
    H = units(run, hidden)
    if run is not None:
        return of_run(run, text)
    names = cell_names("gru" if cell is None else cell)
    if len(names) > 1:
        raise UsageError(f"--cell {cell}: routes are shown of one cell; name one")
    return untrained(names, text, H)[0]


def distances_shown(last: int) -> list[int]:
    """The powers of two below the last distance, and that."""
    return [*(2**i for i in range(last.bit_length()) if 2**i < last), last]


def cell_names(words: str) -> list[str]:
    """Names of cells, as ``--cells`` takes them.

    Raises:
        UsageError: there is no such cell.
    """
    from grucli.nn.cells import basic

    names = [name.strip() for name in words.split(",")]
    for name in names:
        if name not in basic():
            raise UsageError(f"there is no cell {name!r}; there are {', '.join(basic())}")
    return list(dict.fromkeys(names))
