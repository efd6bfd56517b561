"""The plan of a run and its initial state: all that is known before the first step."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grucli import __version__, evaluation, threads
from grucli.config import Settings, Train
from grucli.data.corpus import Corpus
from grucli.data.vocabulary import unified
from grucli.data.windows import (
    Splits,
    Windows,
    count_symbols,
    fit_windows,
    split,
)
from grucli.errors import (
    CheckpointError,
    CorpusError,
    SettingsError,
    UnknownCharacterError,
    UsageError,
)
from grucli.nn.model import LOGITS_AT_ONCE, ROWS_AT_ONCE, Model, shapes, workspace_size
from grucli.nn.onednn.library import Unavailable
from grucli.nn.optim import Moments
from grucli.nn.params import Array, Ids, count
from grucli.nn.products import NUMPY, Products, choose, described
from grucli.run.checkpoint import Checkpoint, model_for, same_text
from grucli.run.progress import Progress
from grucli.threads import blas_limited_to
from grucli.training.processes import choose_workers
from grucli.training.ranks import ALONE, Ranks
from grucli.training.schedules import (
    Budget,
    early_evaluation,
    evaluation_interval,
    is_early_evaluation,
)

WEIGHTS, DROPOUT, SAMPLES = range(3)
"""Purposes of random numbers."""


MANY_SYMBOLS, FREQUENT = 1000, 10
"""Vocabulary size from which a higher ``data.min_count`` is advised, and the advised value."""

PROCESS_BYTES = 50 * 2**20
"""Bytes of memory of a process that has loaded Python, NumPy and grucli."""


def random_stream(seed: int, purpose: int, step: int = 0) -> np.random.Generator:
    """The random number generator for one purpose at one step."""
    return np.random.default_rng([seed, purpose, step])


@dataclass(frozen=True)
class Plan:
    """The plan of a run, which is complete before any file is written.

    Attributes:
        settings: resolved settings.
        corpus: the text.
        splits: its training, validation and test parts.
        windows: the windows of the training part.
        counts: how often each symbol occurs in the training part, (V,).
        workers: number of processes.
        budget: the amount of training.
        eval_every: number of steps between evaluations.
        early: step of the first evaluation, if ``eval_every`` is much later.
        products: how matrix products are computed.
        ranks: number of ranks; ``workers`` are those of this one.
        mpi: name and version of the MPI that joins them; empty for one rank.
        unseen: ids of symbols that occur in held-out text alone.
    """

    settings: Settings
    corpus: Corpus
    splits: Splits
    windows: Windows
    counts: npt.NDArray[np.int64]
    workers: int
    budget: Budget
    eval_every: int
    early: int = 1
    products: Products = NUMPY
    ranks: int = 1
    mpi: str = ""
    unseen: Sequence[int] = ()

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        model = self.settings.model
        return count(shapes(len(self.corpus.vocabulary), model.hidden, model.layers, model.variant))

    def evaluates(self, step: int, waited: float, early: float) -> bool:
        """Whether an evaluation is due at ``step``.

        The first evaluations come early, each after twice the time of the one before. If the budget
        is a number of steps, they depend on the step alone.

        Args:
            step: the step.
            waited: seconds since the last evaluation.
            early: seconds after which an early evaluation is due.
        """
        on_time = step % self.eval_every == 0
        if self.settings.train.eval_every is not None:
            return on_time
        if self.budget.seconds is None:
            return on_time or is_early_evaluation(step, self.early, self.eval_every)
        return waited >= early or (on_time and waited >= self.budget.seconds_per_evaluation)

    @property
    def memory(self) -> int:
        """Estimated memory that training needs on the machine of one rank, in bytes."""
        model, windows = self.settings.model, self.windows
        # parameters, packed weights (two), m, v; gradients per process, ema; masked copy and masks
        buffers = 5 + self.workers + bool(self.settings.optim.ema)
        buffers += 2 * bool(model.weight_dropout)
        H, L = model.hidden, model.layers
        size = partial(
            workspace_size,
            H=H,
            L=L,
            cell=model.variant,
            resets=self.settings.data.documents is not None,
        )
        workspaces = size(windows.T, -(-windows.B // self.ranks), dropout=bool(model.dropout))
        workspaces += size(evaluation.WINDOW, evaluation.STREAMS)
        logits = min(LOGITS_AT_ONCE, ROWS_AT_ONCE * len(self.corpus.vocabulary))
        numbers = buffers * self.parameters + workspaces + 2 * self.workers * logits
        text = 0 if self.corpus.cached_ids else self.corpus.ids.nbytes
        return PROCESS_BYTES * self.workers + text + 4 * numbers


def make_plan(
    settings: Settings, corpus: Corpus, ranks: Ranks = ALONE, old: Checkpoint | None = None
) -> Plan:
    """Split the corpus and make the plan of a run.

    Args:
        settings: resolved settings.
        corpus: the text.
        ranks: the ranks that share each batch; the plan is that of one of them.
        old: the run whose weights it starts from or continues, if there is one.

    Raises:
        UsageError: there are more ranks than streams.
        CorpusError: the corpus is too small.
        UnknownCharacterError: the prompt of the samples has symbols that are not in the corpus.
        SettingsError: training needs more memory than the machine has.
    """
    check_prompt(settings, corpus)
    train, splits = settings.train, split(corpus.ids, settings.data, corpus.vocabulary.line_end)
    counts = count_symbols(splits.train, len(corpus.vocabulary))
    _check_symbols(settings, corpus, counts)
    windows = fit_windows(splits.train, train.batch, train.window)
    budget, step_chars = Budget.of(train, windows.per_epoch), windows.B * windows.T
    plan = Plan(
        settings=settings,
        corpus=corpus,
        splits=splits,
        windows=windows,
        counts=counts,
        workers=_workers(train, windows.B, ranks),
        budget=budget,
        eval_every=evaluation_interval(
            train,
            budget,
            step_chars=step_chars,
            val_chars=len(splits.val),
        ),
        products=_products(train),
        ranks=ranks.size,
        mpi=ranks.library,
        unseen=_unseen(counts, corpus, old),
    )
    _check_memory(plan)
    return replace(plan, early=early_evaluation(plan.parameters, step_chars, len(splits.val)))


def _check_memory(plan: Plan) -> None:
    machine = physical_memory()
    if machine is not None and plan.memory > machine:
        raise SettingsError(
            f"training would need {plan.memory / 2**30:,.1f} GB of memory and this machine has "
            f"{machine / 2**30:,.1f}: lower model.hidden, train.batch or train.window"
            f"{_fewer_symbols(plan.counts)}"
        )


def _workers(train: Train, B: int, ranks: Ranks) -> int:
    """The number of processes of this rank.

    Raises:
        UsageError: there are more ranks than streams.
    """
    if ranks.size > B:
        raise UsageError(
            f"{ranks.size} ranks cannot share {B} streams: start at most {B}, or raise train.batch"
        )
    wanted = None if train.workers == "auto" else train.workers
    return choose_workers(wanted, len(ranks.share(B)), ranks.local)


def _products(train: Train) -> Products:
    """The products that the settings ask for.

    Raises:
        SettingsError: they are not to be had here.
    """
    try:
        return choose(train.products, train.precision)
    except Unavailable as reason:
        raise SettingsError(
            f"train.products={train.products} with train.precision={train.precision}: {reason}; "
            'oneDNN is installed by `pip install ".[fast]"` (Linux on x86-64); --set '
            "train.products=auto --set train.precision=auto takes what is there"
        ) from None


def _unseen(counts: npt.NDArray[np.int64], corpus: Corpus, old: Checkpoint | None) -> list[int]:
    """Ids of symbols that neither the training text nor that of the old weights has."""
    unseen = np.flatnonzero(counts == 0)
    if old is not None:
        seen = corpus.vocabulary.find(np.delete(old.vocabulary.symbols, old.unseen))
        unseen = np.setdiff1d(unseen, seen)
    return unseen.tolist()


def check_prompt(settings: Settings, corpus: Corpus, unseen: Sequence[int] = ()) -> None:
    """Refuse a prompt of the samples that has unknown or ``unseen`` symbols.

    Raises:
        UnknownCharacterError: it has such symbols, which the message names.
    """
    try:
        corpus.vocabulary.encode(unified(settings.sample.prompt, settings.data), unseen=unseen)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"sample.prompt: {error}") from None


def _check_symbols(settings: Settings, corpus: Corpus, counts: npt.NDArray[np.int64]) -> None:
    """Refuse a text without line ends for documents, or a text of rare characters only."""
    vocabulary = corpus.vocabulary
    if settings.data.documents and vocabulary.line_end is None:
        raise CorpusError(
            "data.documents=line: the text has no line ends, so it is a single document: omit the "
            "setting, or put each document on its own line"
        )
    if vocabulary.unknown_id is not None and not np.delete(counts, vocabulary.unknown_id).any():
        raise CorpusError(
            "the training text has only characters that are too rare: lower data.min_count"
        )


def _fewer_symbols(counts: npt.NDArray[np.int64]) -> str:
    """Advice on how to reduce a large vocabulary; empty if the vocabulary is small."""
    left = int((counts >= FREQUENT).sum())
    if len(counts) < MANY_SYMBOLS or not left:
        return ""
    return (
        f"; or set data.min_count={FREQUENT}: {left:,} of {len(counts):,} different characters "
        "occur at least that often, and the others become one unknown character"
    )


def physical_memory() -> int | None:
    """Bytes of memory of this machine; None if the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def start(plan: Plan, old: Checkpoint | None = None) -> Checkpoint:
    """The state before the first step, with random weights or the weights of another run.

    The vocabulary must contain all characters of the other run. Weights of characters that are not
    in the other run are initialized anew.
    """
    settings = plan.settings
    model = model_for(settings, plan.corpus.vocabulary)
    model.initialize(random_stream(settings.train.seed, WEIGHTS))
    frequencies = np.maximum(plan.counts, 0.5) / plan.counts.sum()
    if model.L > 1:  # to learn the frequencies, upper layers would saturate
        model.output(model.params).b_c[:] = np.log(frequencies)
    if old is not None:
        known = plan.corpus.vocabulary.find(old.vocabulary.symbols)
        model.copy_from(old.model_to_use(), known)
        new = np.setdiff1d(np.arange(model.V), known)
        if len(new):
            _set_biases_of_new(model, new, frequencies[new], plan.windows.window(0)[0])
    ema = None
    if settings.optim.ema:
        ema = model.params.astype(np.float32)
    return Checkpoint(
        settings=settings,
        vocabulary=plan.corpus.vocabulary,
        counts=plan.counts,
        model=model,
        moments=Moments.like(model.params.flat),
        ema=ema,
        state=model.zero_state(plan.windows.B),
        window=plan.windows.T,
        corpus={
            "sha256": plan.corpus.sha256,
            "chars": len(plan.corpus.ids),
            "skipped": plan.corpus.skipped,
            "unseen": plan.unseen,
        },
        progress=Progress(seconds=None if plan.budget.seconds is None else 0.0),
    )


def _set_biases_of_new(model: Model, new: npt.NDArray[np.intp], frequencies: Array, x: Ids) -> None:
    """Set output biases so that new characters are predicted with their frequencies, on average.

    Args:
        model: the model; it knows all other characters.
        new: ids of the new characters, (N,).
        frequencies: shares of the new characters of the text, (N,).
        x: a part of the text, (T, B).
    """
    share = min(frequencies.sum(), 0.99)  # of all new characters; a model always keeps some others
    b_c = model.output(model.params).b_c
    b_c[new], b_c[new[0]] = -np.inf, 0.0
    log_p, _, _ = model.score(
        x, np.full_like(x, new[0]), model.zero_state(x.shape[1]), model.workspace(*x.shape)
    )
    others = -np.log(np.expm1(np.maximum(-log_p.astype(np.float64), 1e-9)))  # new / known, log
    low, high = -700.0, 700.0
    for _ in range(60):
        level = (low + high) / 2
        too_much = (1 / (1 + np.exp(-(level + others).clip(-700, 700)))).mean() > share
        low, high = (low, level) if too_much else (level, high)
    b_c[new] = level + np.log(frequencies / frequencies.sum())


def resume(plan: Plan, checkpoint: Checkpoint, *, done: bool = True) -> Checkpoint:
    """The state from which a resumed run continues.

    Args:
        plan: the plan of the run.
        checkpoint: the state of the run; its settings become those of the plan.
        done: whether the run has ended. A run that was killed after its last checkpoint has not,
            and always has something left to do.

    Raises:
        CorpusError: the checkpoint was made with another corpus.
        CheckpointError: the state of the checkpoint does not fit the plan.
        SettingsError: the run has nothing left to do.
    """
    if not same_text(plan.corpus, checkpoint):
        raise CorpusError(
            f"{', '.join(plan.corpus.sources)}: the corpus has changed since the run began "
            f"({len(plan.corpus.ids):,} {plan.settings.data.noun}s now, "
            f"{checkpoint.corpus['chars']:,} then); "
            "give the old text, or start a new run from these weights with --init-from"
        )
    if checkpoint.state.shape[1] != plan.windows.B or checkpoint.window != plan.windows.T:
        raise CheckpointError("the checkpoint's hidden states do not fit its settings")
    checkpoint.settings = plan.settings
    progress = checkpoint.progress
    if plan.budget.seconds is None:
        progress.seconds = None
    if done:
        _check_something_is_left(plan, progress)
    return checkpoint


def _check_something_is_left(plan: Plan, progress: Progress) -> None:
    without_best = progress.evaluations_since_best
    if progress.out_of_patience(plan.settings.train.patience) and not progress.due:
        raise SettingsError(
            f"the run has stopped because its loss did not improve in {without_best} evaluations "
            "(train.patience); to go on anyway, add --set train.patience=0"
        )
    if plan.budget.progress(progress.step, progress.seconds or 0.0) >= 1 and not progress.due:
        raise SettingsError(f"the run has used its budget: {_used(plan, progress)}")


def _used(plan: Plan, progress: Progress) -> str:
    """What a run has used, in the unit of its budget, and how to give it more."""
    budget, step, seconds = plan.budget, progress.step, progress.seconds or 0.0
    used = budget.used(step, seconds)
    return (
        f"{used:,.4g} of {budget.amount:,.4g} {budget.unit}; --{budget.unit} counts from the start "
        f"of the run, not from now: give more, such as {budget.doubled(step, seconds)}"
    )


def describe(plan: Plan) -> dict[str, Any]:
    """The part of run.json that describes a plan and the software versions."""
    corpus = plan.corpus
    paths = [source if source == "-" else str(Path(source).resolve()) for source in corpus.sources]
    return {
        "versions": versions(plan.products) | ({"mpi": plan.mpi} if plan.mpi else {}),
        "seed": plan.settings.train.seed,
        "workers": plan.workers,
        "ranks": plan.ranks,
        "corpus": {
            "paths": paths,
            "bytes": corpus.size,
            "chars": len(corpus.ids),
            "level": plan.settings.data.level,
            "symbols": len(corpus.vocabulary),
            "skipped": corpus.skipped,
            "rare": corpus.rare,
            "sha256": corpus.sha256,
        },
        "parameters": plan.parameters,
        "budget": str(plan.budget),
        "lr": plan.settings.optim.lr,
        "dropout": plan.settings.model.dropout,
    }


def versions(products: Products = NUMPY) -> dict[str, str]:
    """The software and the machine, which determine how results are rounded."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    with blas_limited_to(1):  # the same number of threads as in training
        loaded = threads.blas()
    return {
        "grucli": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "blas kernel": str(loaded.get("architecture", "unknown")),
        "blas threads": str(loaded.get("num_threads", "unknown")),
        "products": described(products),
        "machine": f"{platform.system()} {platform.machine()}",
    }
