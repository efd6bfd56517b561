"""Summarize a finished run: its losses, what to change, and how much a sample copies."""

from dataclasses import dataclass
from pathlib import Path

from grucli.analysis.copied_text import longest_copy
from grucli.analysis.overfitting import verdict
from grucli.evaluation import baselines, evaluate
from grucli.storage import checkpoint as checkpoints
from grucli.storage.checkpoint import Checkpoint
from grucli.storage.checkpoint_progress import Progress
from grucli.storage.directory import RunDirectory, own_corpus
from grucli.threads import blas_limited_to
from grucli.training.plan import Plan, make_plan
from grucli.training.trainer import make_sample

SEARCHED = 10**8
"""Maximum number of characters that are searched for copies. The search takes seconds."""


@dataclass(frozen=True)
class Copied:
    """The longest passage that a sample has in common with the training text.

    Attributes:
        sample_chars: number of characters of the sample.
        chars: number of characters of the passage; 0 if it is shorter than 8.
        text: the passage.
        searched: number of characters at the end of the text that were searched.
        whole: whether the whole text was searched.
    """

    sample_chars: int
    chars: int
    text: str
    searched: int
    whole: bool


@dataclass(frozen=True)
class Conclusion:
    """The summary of a finished run; losses are in nats per character.

    Attributes:
        stopped_early: number of evaluations without a better loss that ended the run; None if it
            ended for another reason.
        uniform: loss of guessing all characters with equal probability.
        unigram: loss of guessing characters by their frequency.
        best_step: step of the best evaluation.
        best_loss: its validation loss; None without validation text.
        train_loss: loss of the same weights on training text, without dropout.
        verdict: whether the model overfits or underfits, and what to do.
        copied: what a sample copies; None if the settings turn samples off.
    """

    stopped_early: int | None
    uniform: float
    unigram: float
    best_step: int | None = None
    best_loss: float | None = None
    train_loss: float | None = None
    verdict: str | None = None
    copied: Copied | None = None


def conclude_run(path: Path) -> Conclusion:
    """Conclude a run from its directory; its text must still be there.

    Raises:
        CheckpointError: the run has no checkpoint, or the checkpoint is damaged.
        CorpusError: the text has changed.
    """
    run = RunDirectory(path)
    file = run.checkpoints.find("last")
    last = checkpoints.read(file)
    return conclude(make_plan(last.settings, own_corpus(file, last)), run, last.progress)


def conclude(plan: Plan, run: RunDirectory, where: Progress) -> Conclusion:
    """Evaluate the best weights of a run on training text, and sample from them.

    Args:
        plan: the plan of the run.
        run: the run directory.
        where: the progress of the run.
    """
    best, val = checkpoints.read(run.checkpoints.find("best")), run.validation_losses()
    uniform, unigram = baselines(plan.counts)
    out_of_patience = where.out_of_patience(plan.settings.train.patience)
    train = said = None
    if val and where.best_loss is not None:
        seen = plan.splits.train[-max(2, len(plan.splits.val)) :]
        train = evaluate(best.model_to_use(), seen, plan.workers).loss
        model = plan.settings.model
        said = verdict(train, val, unigram, model.dropout, model.hidden)
    return Conclusion(
        where.evaluations_since_best if out_of_patience else None,
        uniform,
        unigram,
        None if said is None else where.best_step,
        None if said is None else where.best_loss,
        train,
        said,
        _copied(best, plan) if plan.settings.sample.length else None,
    )


def _copied(best: Checkpoint, plan: Plan) -> Copied:
    """Find the longest passage that a sample copies from the training text."""
    with blas_limited_to(1):  # as while training
        ids, _ = make_sample(best, plan.settings.train.seed)
    searched = plan.splits.train[-SEARCHED:]
    length, start = longest_copy(ids, searched)
    text = best.vocabulary.decode(ids[start : start + length]).decode(errors="replace")
    whole = len(searched) == len(plan.splits.train)
    return Copied(len(ids), length, text, len(searched), whole)
