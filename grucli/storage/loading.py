"""Models from run directories and checkpoint files."""

import os
from pathlib import Path

from grucli.data.windows import split as cut
from grucli.errors import ArgumentError, UsageError
from grucli.language_model import LanguageModel
from grucli.nn.params import Ids
from grucli.storage.directory import open_checkpoint, own_corpus

SPLITS = ("train", "val", "test")
"""Parts of the text of a run."""


def load(path: str | os.PathLike[str]) -> LanguageModel:
    """The model of a run, from its best checkpoint, or of a checkpoint file.

    Args:
        path: a run directory or a checkpoint file.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    file, checkpoint = open_checkpoint(Path(path))
    return checkpoint.language_model(file)


def load_with_split(path: str | os.PathLike[str], split: str) -> tuple[LanguageModel, Ids]:
    """A model as of ``load``, and a part of the text that its run was trained on, (N,).

    Args:
        path: a run directory or a checkpoint file in one.
        split: "train", "val" or "test".

    Raises:
        ArgumentError: there is no part of that name.
        CheckpointError: there is no checkpoint, or its run does not know the text.
        CorpusError: the text has changed since training.
        UsageError: the run held out no such part.
    """
    file, checkpoint = open_checkpoint(Path(path))
    if split not in SPLITS:
        raise ArgumentError("split", f"must be train, val or test, not {split}")
    data = checkpoint.settings.data
    ids: Ids = getattr(cut(own_corpus(file, checkpoint).ids, data), split)
    if len(ids) < 2:
        raise UsageError(f"the run held out no {split} text: data.{split} was 0")
    return checkpoint.language_model(file), ids
