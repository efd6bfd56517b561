"""Summarize a finished run: its losses, what to change, and how much a sample copies."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import InstanceOf

from grucli.arguments import FilePath, checked
from grucli.data.corpus import Corpus
from grucli.data.windows import Splits
from grucli.evaluation import baselines, differ_in_kind, evaluate
from grucli.run import overlap
from grucli.run.checkpoint import Checkpoint
from grucli.run.overlap import Copied, KnownDocuments, KnownWords
from grucli.run.run import Run
from grucli.run.verdict import Losses, Verdict, choices, judge, uncertain
from grucli.threads import available_cores, blas_limited_to

SAMPLED = 1000  # symbols of the sample that is examined
WORDS_OF = 3 * 10**6  # symbols of the training text whose words are collected, at most
HELD_OUT = 10**5  # symbols of the held-out text whose words are looked up, at most


@dataclass(frozen=True)
class Conclusion:
    """The summary of a finished run."""

    stopped_early: int | None  # evaluations without a better loss, if they have ended the run
    copied: Copied | None = None  # what a sample copies; None if the settings turn samples off
    documents: KnownDocuments | None = None  # of that sample, for a model of documents
    words: KnownWords | None = None  # words of that sample; None if they say nothing
    # of the best evaluation, in nats per symbol; None without validation text
    best_step: int | None = None
    best_loss: float | None = None
    losses: Losses | None = None
    verdict: Verdict | None = None


@checked
def conclude_run(
    path: FilePath, text: InstanceOf[Corpus] | None = None, stop: Callable[[], bool] = lambda: False
) -> Conclusion:
    """Evaluate the best weights of a run on training text, and sample from them.

    ``text`` None reads it again. If ``stop`` returns true, ``Stopped`` is raised.
    """
    run = Run(path)
    last, best = run.checkpoints.read("last"), run.checkpoint
    progress, settings = last.progress, last.settings
    splits = last.splits(run.text if text is None else text)
    examined: tuple[Copied | None, KnownDocuments | None, KnownWords | None] = (None, None, None)
    if settings.sample.length:
        examined = _examine_sample(best, splits, stop)
    is_early = progress.out_of_patience(settings.train.patience)
    stopped_early = progress.evaluations_since_best if is_early else None
    val = run.validation_losses()
    if not val or progress.best_loss is None:
        return Conclusion(stopped_early, *examined)
    seen = splits.train[-max(2, len(splits.val)) :]
    train = evaluate(best.calibrated.model, seen, available_cores(), stop, begins=False).loss
    unlike = differ_in_kind(last.counts, splits.val)
    losses = Losses(train, val, *baselines(last.counts, splits.val), unlike)
    copied = examined[0]
    verdict = judge(losses, settings, copied.share if copied else 0.0)
    best_of = progress.best_step, progress.best_loss
    return Conclusion(stopped_early, *examined, *best_of, losses, verdict)


def _examine_sample(
    best: Checkpoint, splits: Splits, stop: Callable[[], bool]
) -> tuple[Copied, KnownDocuments | None, KnownWords | None]:
    """Sample from the best weights; find what the sample copies, and what of it is known."""
    train, seed = splits.train, best.settings.train.seed
    prompt, temperature = best.settings.sample.prompt, best.settings.sample.temperature
    with blas_limited_to(1):  # as while training
        lm = best.language_model()
        ids = lm.samples(1, SAMPLED, prompt=prompt, temperature=temperature, seed=seed).ids(stop)
    parts = ids, train[-WORDS_OF:], splits.val[:HELD_OUT]
    texts = (lm.vocabulary.decode(part).decode(errors="replace") for part in parts)
    words = overlap.known_words(*texts)
    copied, documents = overlap.find_copy(ids, train, lm.vocabulary), None
    if lm.model.separator is not None and not prompt:
        kind = best.settings.data.document or "document"
        documents = overlap.known_documents(ids, train, lm.vocabulary, lm.model.separator, kind)
    return copied, documents, words


def sentences(conclusion: Conclusion, symbol: str) -> list[str]:
    """What a conclusion says in words; the model predicts a ``symbol``, character or byte."""
    said = []
    if conclusion.losses and conclusion.verdict and conclusion.best_loss is not None:
        unigram = conclusion.losses.unigram
        guess = f"{choices(unigram)} ({unigram / math.log(2):.3f} bits per {symbol})"
        model = uncertain(conclusion.best_loss, symbol)
        said += [f"{model} Guessing by frequency: among {guess}.", conclusion.verdict.text]
    if words := conclusion.words:
        said.append(
            f"Of the words of a sample, {words.known / words.words:.0%} occur in the training text "
            f"({words.known:,} of {words.words:,}); of the words of the validation text, "
            f"{words.held_out:.0%}."
        )
    documents, copied = conclusion.documents, conclusion.copied
    if documents is not None and documents.documents:
        share, kind = documents.known / documents.documents, documents.document
        said.append(
            f"Of the {documents.documents:,} {kind}s of a sample, {share:.0%} are in the training "
            "text; `grucli sample --new` makes others."
        )
    if copied is not None and (documents is None or documents.document != "line"):
        said.append(_describe_copy(copied, symbol))
    return said


def _describe_copy(copied: Copied, symbol: str) -> str:
    sample = f"sample of {copied.sample_chars} {symbol}s"
    last = f"the last {copied.searched:,} {symbol}s of the text"
    source = "the corpus" if copied.whole else last
    if not copied.chars:
        return f"A {sample} copies no passage of 8 or more {symbol}s from {source}."
    found = f"has {copied.chars} {symbol}s: {copied.text!r}"
    return f"The longest passage that a {sample} copies from {source} {found}."
