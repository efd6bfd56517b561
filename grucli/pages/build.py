"""Gather what a page shows of a run, and make the page."""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grucli import __version__
from grucli.arguments import PathLike, checked
from grucli.data.text_files import STANDARD_INPUT
from grucli.errors import ArgumentError, CheckpointError, CorpusError, UsageError
from grucli.html import WebPage
from grucli.nn.params import Ids
from grucli.pages.assembly import About, html
from grucli.pages.payload import LARGEST_HALF, Type, payload, suited_type
from grucli.run.overlap import find_copy
from grucli.run.run import Run

PROVEN = 200
"""Symbols of the text whose numbers the page checks."""

SHOWN = 600
"""Characters of the text that the page shows first."""

SAMPLED = 2000
"""Symbols of the sample that is searched for copies of the training text."""

SEED = 0
"""Seed of the samples that are examined and shown."""

NETWORKS = {"gru": "GRU", "gru-after": "GRU, reset after the product", "lstm": "LSTM", "rnn": "RNN"}
"""Names of the cells that the page's script computes."""


@dataclass(frozen=True)
class Page(WebPage):
    """A page, and what its author should know before sharing it.

    Attributes:
        type: the type of its weights.
        copied: the longest passage of a sample that is also in the training text; None if the
            training text is not there.
    """

    type: Type
    copied: str | None


@checked
def page(run: PathLike, *, passage: str | None = None, weights: Type | None = None) -> Page:
    """Make a page that holds the model of a run and runs it in a browser.

    Args:
        run: the run directory or the checkpoint file.
        passage: the text that the page shows first; None for a sample of the model, so that the
            page holds no text of the user.
        weights: the type of the weights; None for float16 above a million parameters.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
        UnknownCharacterError: the text has characters that the model never saw.
        ArgumentError: a weight is too large for float16.
        UsageError: the page does not know the cell.
    """
    opened = Run.open(run)
    lm = opened.lm
    if lm.model.cell not in NETWORKS:
        raise UsageError(f"a page computes {', '.join(NETWORKS)}, and not {lm.model.cell}")
    type_ = weights or suited_type(lm.model)
    if type_ == "float16" and abs(lm.model.params.flat).max() > LARGEST_HALF:
        raise ArgumentError("weights", "must be float32: a weight is too large for float16")
    sample = lm.sample_ids(SAMPLED, seed=SEED)
    copied = _copied(opened, sample)
    # without bytes that are no text: U+FFFD for them would be text that the model never saw
    shown = lm.vocabulary.decode(sample[:SHOWN]).decode(errors="ignore")
    shown = shown if passage is None else passage
    held = payload(lm, sample[:PROVEN], type_)
    if passage is not None:
        lm.encode(passage)  # a character that the model never saw is an error here, not in the page
    return Page(html(held, _about(opened, type_, copied, shown)), type_, copied)


def _copied(run: Run, sample: Ids) -> str | None:
    """The longest passage of a sample that is also in the training text, if that is there."""
    with suppress(CheckpointError, CorpusError):
        return find_copy(sample, run.splits.train, run.lm.vocabulary).text
    return None


def _about(run: Run, type_: Type, copied: str | None, passage: str) -> About:
    name, length = _name(run), f"{run.checkpoint.corpus['chars']:,} {run.lm.vocabulary.noun}s"
    return About(
        title=f"A model that writes like {name}",
        subtitle=f"Trained on a text of {length}, it predicts the next one. It needs nothing but "
        "this page.",
        passage=passage,
        facts=tuple(_facts(run, type_, copied, f"{name}, {length}")),
    )


def _facts(run: Run, type_: Type, copied: str | None, text: str) -> list[tuple[str, str]]:
    lm, checkpoint = run.lm, run.checkpoint
    model, where = lm.model, checkpoint.progress
    steps = f"{where.step:,} step{'s' * (where.step != 1)}"
    noun = lm.vocabulary.noun
    facts = [
        ("Text", f"{text}, {model.V:,} different"),
        (
            "Network",
            f"{NETWORKS[model.cell]}, {model.L} x {model.H:,} units, {lm.parameters:,} parameters "
            f"({type_} here)",
        ),
        ("Training", f"{steps} of {checkpoint.batch} x {checkpoint.window} {noun}s"),
    ]
    if where.best_loss is not None:
        held_out = "Held-out text" if checkpoint.settings.data.val else "Training text"
        bits = where.best_loss / math.log(2)
        facts.append((held_out, f"{where.best_loss:.4f} nats = {bits:.4f} bits per {noun}"))
    if copied is not None:
        found = f"{len(copied):,} characters" if copied else f"shorter than 8 {noun}s"
        facts.append(
            ("Recitation", f"longest passage of a sample that is in the training text: {found}")
        )
    return [*facts, ("Made with", f"grucli {__version__}")]


def _name(run: Run) -> str:
    """The name of the training text, or of the checkpoint without a run."""
    if run.path == run.file:
        return run.file.stem
    names = [Path(path).stem for path in run.info.corpus.paths or [] if path != STANDARD_INPUT]
    if not names:
        return "its training text"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
