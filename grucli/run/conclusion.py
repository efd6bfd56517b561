"""Summarize a finished run: its losses, what to change, and how much a sample copies."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import InstanceOf

from grucli.arguments import FilePath, checked
from grucli.data.corpus import Corpus
from grucli.data.windows import Splits
from grucli.evaluation import baselines, differ_in_kind, evaluate
from grucli.nn.params import Ids
from grucli.run.checkpoint import Checkpoint
from grucli.run.copied_text import longest_copy
from grucli.run.known_words import KnownWords, known_words
from grucli.run.run import Run
from grucli.run.verdict import Losses, Verdict, choices, judge, uncertain
from grucli.threads import available_cores, blas_limited_to

SAMPLED = 1000
"""Number of characters of the sample that is examined."""

SEARCHED = 10**8
"""Maximum number of characters that are searched for copies. The search takes seconds."""

WORDS_OF = 3 * 10**6
"""Maximum number of characters of the training text whose words are collected."""

HELD_OUT = 10**5
"""Maximum number of characters of the held-out text whose words are looked up."""


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

    @property
    def share(self) -> float:
        """The passage as a fraction of the sample."""
        return self.chars / self.sample_chars if self.sample_chars else 0.0


@dataclass(frozen=True)
class Conclusion:
    """The summary of a finished run; losses are in nats per symbol.

    Attributes:
        stopped_early: number of evaluations without a better loss that ended the run; None if it
            ended for another reason.
        uniform: loss of guessing all symbols with equal probability.
        unigram: loss of guessing by the frequencies in the training text; as the best loss, it is
            of the validation text, if there is any.
        best_step: step of the best evaluation.
        best_loss: its validation loss; None without validation text.
        train_loss: loss of the same weights on training text, without dropout.
        verdict: whether the model overfits or underfits, and what to do.
        copied: what a sample copies; None if the settings turn samples off.
        words: how many words of that sample are words of the text; None if this says nothing.
    """

    stopped_early: int | None
    uniform: float
    unigram: float
    best_step: int | None = None
    best_loss: float | None = None
    train_loss: float | None = None
    verdict: Verdict | None = None
    copied: Copied | None = None
    words: KnownWords | None = None


@checked
def conclude_run(
    path: FilePath, text: InstanceOf[Corpus] | None = None, stop: Callable[[], bool] = lambda: False
) -> Conclusion:
    """Evaluate the best weights of a run on training text, and sample from them.

    Args:
        path: the run directory.
        text: the text of the run; None reads it again.
        stop: called repeatedly; if it returns true, nothing is concluded.

    Raises:
        CheckpointError: the run has no checkpoint, or a checkpoint or the metrics are damaged.
        CorpusError: the text is not there, or has changed.
        Stopped: ``stop`` returned true.
    """
    run = Run(path)
    last, best = run.checkpoints.read("last"), run.checkpoint
    where, settings = last.progress, last.settings
    splits = last.splits((run.text if text is None else text).ids)
    uniform, unigram = baselines(last.counts, splits.judged)
    copied = words = train = said = None
    if settings.sample.length:
        copied, words = _examine_sample(best, settings.train.seed, splits, stop)
    val = run.validation_losses()
    if val and where.best_loss is not None:
        seen = splits.train[-max(2, len(splits.val)) :]
        train = evaluate(best.model_to_use(), seen, available_cores(), stop, begins=False).loss
        losses = Losses(train, val, uniform, unigram, differ_in_kind(last.counts, splits.val))
        said = judge(losses, settings, copied.share if copied else 0.0)
    out_of_patience = where.out_of_patience(settings.train.patience)
    return Conclusion(
        where.evaluations_since_best if out_of_patience else None,
        uniform,
        unigram,
        None if said is None else where.best_step,
        None if said is None else where.best_loss,
        train,
        said,
        copied,
        words,
    )


def _examine_sample(
    best: Checkpoint, seed: int, splits: Splits, stop: Callable[[], bool]
) -> tuple[Copied, KnownWords | None]:
    """Sample from the best weights; find what the sample copies, and which words it knows."""
    asked = best.settings.sample
    with blas_limited_to(1):  # as while training
        ids = best.language_model().sample_ids(
            SAMPLED, prompt=asked.prompt, temperature=asked.temperature, seed=seed, stop=stop
        )
    texts = ids, splits.train[-WORDS_OF:], splits.val[:HELD_OUT]
    words = known_words(*(best.vocabulary.decode(part).decode(errors="replace") for part in texts))
    return _copied(ids, best, splits.train), words


def _copied(ids: Ids, best: Checkpoint, train: Ids) -> Copied:
    """Find the longest passage that a sample copies from the training text."""
    searched = train[-SEARCHED:]
    length, start = longest_copy(ids, searched)
    text = best.vocabulary.decode(ids[start : start + length]).decode(errors="replace")
    return Copied(len(ids), length, text, len(searched), len(searched) == len(train))


def sentences(conclusion: Conclusion, symbol: str) -> list[str]:
    """What a conclusion says in words.

    Args:
        conclusion: the conclusion.
        symbol: what the model predicts: character or byte.
    """
    said = []
    if conclusion.verdict is not None and conclusion.best_loss is not None:
        said.append(
            f"{uncertain(conclusion.best_loss, symbol)} Guessing by frequency: among "
            f"{choices(conclusion.unigram)} ({conclusion.unigram / math.log(2):.3f} bits per "
            f"{symbol})."
        )
        said.append(conclusion.verdict.text)
    if conclusion.words is not None:
        said.append(_known(conclusion.words))
    if conclusion.copied is not None:
        said.append(_copies(conclusion.copied, symbol))
    return said


def _known(words: KnownWords) -> str:
    return (
        f"Of the words of a sample, {words.known / words.words:.0%} occur in the training text "
        f"({words.known:,} of {words.words:,}); of the words of the validation text, "
        f"{words.held_out:.0%}."
    )


def _copies(copied: Copied, symbol: str) -> str:
    """Say how much a sample copies from the training text."""
    where = "the corpus"
    if not copied.whole:
        where = f"the last {copied.searched:,} {symbol}s of the text"
    if not copied.chars:
        return (
            f"A sample of {copied.sample_chars} {symbol}s copies no passage of 8 or more "
            f"{symbol}s from {where}."
        )
    return (
        f"The longest passage that a sample of {copied.sample_chars} {symbol}s copies from "
        f"{where} has {copied.chars} {symbol}s: {copied.text!r}."
    )
