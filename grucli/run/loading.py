"""Functions that load models from run directories and checkpoint files."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grucli.arguments import PathLike, checked
from grucli.data.corpus import Corpus
from grucli.data.text_files import STANDARD_INPUT
from grucli.errors import ArgumentError, CheckpointError, UsageError
from grucli.language_model import LanguageModel
from grucli.nn.params import Ids
from grucli.run.directory import open_checkpoint, own_corpus, run_of

SPLITS = ("train", "val", "test")
"""Names of the parts of a text."""


@checked
def load(path: PathLike) -> LanguageModel:
    """Load the model of a checkpoint file, or of the best checkpoint of a run.

    Args:
        path: a run directory or a checkpoint file.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
    """
    file, checkpoint = open_checkpoint(Path(path))
    return checkpoint.language_model(file)


@dataclass(frozen=True)
class OwnText:
    """What tells whether a text is the one that a model was trained on.

    Attributes:
        sha256: hash of the bytes of the training text.
        paths: its files and directories, if the run records them.
    """

    sha256: str
    paths: Sequence[Path]

    def includes(self, text: Corpus) -> bool:
        """Whether a text has the content of the training text, or is one of its files."""
        files = [Path(file).resolve() for file in text.sources if file != STANDARD_INPUT]
        own = any(path in (file, *file.parents) for file in files for path in self.paths)
        return own or text.sha256 == self.sha256


def load_with_own_text(path: PathLike) -> tuple[LanguageModel, OwnText]:
    """Load a model as ``load`` does, and the identity of its training text."""
    file, checkpoint = open_checkpoint(Path(path))
    run, paths = run_of(file), list[str]()
    if run is not None:
        with suppress(CheckpointError):
            paths = [path for path in run.info.corpus.paths or [] if path != STANDARD_INPUT]
    own = OwnText(checkpoint.corpus["sha256"], [Path(path) for path in paths])
    return checkpoint.language_model(file), own


def load_with_split(path: PathLike, split: str) -> tuple[LanguageModel, Ids]:
    """Load a model as ``load`` does, and the ids of a part of its training text, (N,).

    Args:
        path: a run directory, or a checkpoint file in a run directory.
        split: "train", "val" or "test".

    Raises:
        ArgumentError: there is no part with this name.
        CheckpointError: there is no checkpoint, or its run does not record the text.
        CorpusError: the text has changed since training.
        UsageError: the run did not hold out this part.
    """
    file, checkpoint = open_checkpoint(Path(path))
    if split not in SPLITS:
        raise ArgumentError("split", f"must be train, val or test, not {split}")
    ids: Ids = getattr(checkpoint.splits(own_corpus(file, checkpoint).ids), split)
    if len(ids) < 2:
        raise UsageError(f"the run did not hold out {split} text: data.{split} was 0")
    return checkpoint.language_model(file), ids
