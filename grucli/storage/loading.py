"""Functions that load models from run directories and checkpoint files."""

import os
from pathlib import Path

from grucli.data.windows import split as cut
from grucli.errors import ArgumentError, UsageError
from grucli.language_model import LanguageModel
from grucli.nn.params import Ids
from grucli.storage.directory import open_checkpoint, own_corpus

SPLITS = ("train", "val", "test")
"""Names of the parts of a text."""


def load(path: str | os.PathLike[str]) -> LanguageModel:
    """Load the model of a checkpoint file, or of the best checkpoint of a run.

    Args:
        path: a run directory or a checkpoint file.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
    """
    file, checkpoint = open_checkpoint(Path(path))
    return checkpoint.language_model(file)


def load_with_split(path: str | os.PathLike[str], split: str) -> tuple[LanguageModel, Ids]:
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
    data = checkpoint.settings.data
    ids: Ids = getattr(cut(own_corpus(file, checkpoint).ids, data), split)
    if len(ids) < 2:
        raise UsageError(f"the run did not hold out {split} text: data.{split} was 0")
    return checkpoint.language_model(file), ids
