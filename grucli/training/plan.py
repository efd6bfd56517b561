"""The plan of a run: all that is known before the first step, and the state before it."""

import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from grucli import __version__, compilation, evaluation, threads
from grucli.config import Data, Settings, to_scalar
from grucli.data.corpus import Corpus, all_of
from grucli.data.documents import end_of
from grucli.data.text_files import STANDARD_INPUT
from grucli.data.vocabulary import as_read
from grucli.data.windows import Splits, Windows, chunks, count_symbols, fit_windows, splits_of
from grucli.defaults import WIDTH
from grucli.errors import CheckpointError, CorpusError, SettingsError, UnknownCharacterError
from grucli.nn.backend import NUMPY, Backend, fingerprint, select
from grucli.nn.model import LOGITS_AT_ONCE, ROWS_AT_ONCE, Model, shapes, workspace_size
from grucli.nn.onednn import Unavailable
from grucli.nn.optim import Moments
from grucli.nn.params import Array, Ids, count
from grucli.run.checkpoint import Checkpoint, Progress, model_for
from grucli.run.records import KEPT_TEXT
from grucli.threads import blas_limited_to
from grucli.training import schedules
from grucli.training.processes import choose_workers
from grucli.training.ranks import ALONE, Ranks
from grucli.training.schedules import Budget

WEIGHTS, DROPOUT, SAMPLES = range(3)  # purposes of random numbers

MANY_SYMBOLS = 1000  # vocabulary size from which a higher data.min_count is advised
FREQUENT = 10  # the advised value

PROCESS_BYTES = 50 * 2**20  # memory of a process that has loaded Python, NumPy and grucli

# a rehearsal of training, which tells how fast this machine is
STREAMS, STEPS = 32, 16  # of one process; so few take less time than other programs leave it
SECONDS, SHARE = 0.5, 0.01  # the most that it takes, in seconds and of the budget
LEAST = 3  # repetitions, of which the fastest counts
REST = 0.75  # training also drops out, updates weights, waits for the slowest process and evaluates


def random_stream(seed: int, purpose: int, step: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, step])


@dataclass(frozen=True)
class Plan:
    """The plan of a run, which is complete before any file is written."""

    settings: Settings
    corpus: Corpus
    splits: Splits
    windows: Windows  # of the training part
    counts: npt.NDArray[np.int64]  # how often each symbol occurs in the training part, (V,)
    workers: int  # number of processes of this rank
    budget: Budget
    eval_every: int  # number of steps between evaluations
    early: int = 1  # step of the first evaluation, if `eval_every` is much later
    products: Backend = NUMPY  # how matrix products are computed
    ranks: Ranks = ALONE
    unseen: Sequence[int] = ()  # ids of symbols that occur in held-out text alone

    @property
    def parameters(self) -> int:
        model = self.settings.model
        return count(shapes(len(self.corpus.vocabulary), model.hidden, model.layers, model.variant))

    def evaluates(self, step: int, waited: float, early: float) -> bool:
        """Whether an evaluation is due at ``step``, ``waited`` seconds after the last one.

        The first evaluations come early: after ``early`` seconds, or by the step alone if the
        budget has a number of steps.
        """
        on_time = step % self.eval_every == 0
        if self.settings.train.eval_every is not None:
            return on_time
        if self.budget.steps is not None:
            on_time |= schedules.is_early_evaluation(step, self.early, self.eval_every)
            if on_time or self.budget.seconds is None:
                return on_time
            on_time = step % self.windows.per_epoch == 0  # the time may end before the steps
        least = (self.budget.seconds or 0.0) / schedules.MOST_EVALUATIONS
        return waited >= early or (on_time and waited >= least)

    @property
    def memory(self) -> int:
        """Estimated memory that training needs on the machine of one rank, in bytes."""
        model, windows = self.settings.model, self.windows
        # parameters, packed weights (two), m, v, scaled copy; gradients per process, and packed
        # weights of each when it evaluates; masked copy and masks
        buffers = 6 + 2 * self.workers + 2 * bool(model.weight_dropout)
        H, L = model.hidden, model.layers
        resets = self.settings.data.document is not None
        size = partial(workspace_size, H=H, L=L, cell=model.variant, resets=resets)
        workspaces = size(windows.T, -(-windows.B // self.ranks.size), dropout=bool(model.dropout))
        workspaces += size(evaluation.WINDOW, evaluation.STREAMS)
        logits = min(LOGITS_AT_ONCE, ROWS_AT_ONCE * len(self.corpus.vocabulary))
        numbers = buffers * self.parameters + workspaces + 2 * self.workers * logits
        text = sum(int(one.ids.nbytes) for one in all_of(self.corpus) if not one.cached_ids)
        return PROCESS_BYTES * self.workers + text + 4 * numbers


def make_plan(
    settings: Settings, corpus: Corpus, ranks: Ranks = ALONE, old: Checkpoint | None = None
) -> Plan:
    """The plan of a run on this rank. ``old`` are the weights that it starts from or continues."""
    train, end = settings.train, corpus.vocabulary.id_of(end_of(settings.data))
    _check_documents(settings.data, corpus, end)
    splits = splits_of(corpus, settings.data)
    counts = count_symbols(splits.train, len(corpus.vocabulary))
    rare = corpus.vocabulary.unknown_id
    if rare is not None and not np.delete(counts, rare).any():
        raise CorpusError(
            "the training text has only characters that are too rare: lower data.min_count"
        )
    unseen = _unseen(counts, corpus, old)
    if not ranks.rank:  # which knows what the old weights have seen
        _check_prompt(settings, corpus, unseen)
    windows = fit_windows(splits.train, train.batch, train.window)
    if ranks.size > windows.B:
        raise SettingsError(
            f"{ranks.size} ranks cannot share {windows.B} streams: start at most {windows.B}, or "
            "raise train.batch"
        )
    budget, step_chars = Budget.of(train, windows.per_epoch), windows.B * windows.T
    val_chars = len(splits.val)
    plan = Plan(
        settings=settings,
        corpus=corpus,
        splits=splits,
        windows=windows,
        counts=counts,
        workers=choose_workers(train.workers, len(ranks.share(windows.B)), ranks.local),
        budget=budget,
        eval_every=schedules.evaluation_interval(train, budget, step_chars, val_chars),
        products=products(settings),
        ranks=ranks,
        unseen=unseen,
    )
    _check_memory(plan)
    return replace(plan, early=schedules.early_evaluation(plan.parameters, step_chars, val_chars))


def _check_memory(plan: Plan) -> None:
    machine, counts = physical_memory(), plan.counts
    if machine is None or plan.memory <= machine:
        return
    less, frequent = "lower model.hidden, train.batch or train.window", (counts >= FREQUENT).sum()
    if len(counts) >= MANY_SYMBOLS and frequent:
        less += (
            f"; or set data.min_count={FREQUENT}: {frequent:,} of {len(counts):,} different "
            "characters occur at least that often, and the others become one unknown character"
        )
    raise SettingsError(
        f"training would need {plan.memory / 2**30:,.1f} GB of memory and this machine has "
        f"{machine / 2**30:,.1f}: {less}"
    )


def products(settings: Settings) -> Backend:
    """How matrix products are computed; SettingsError if they cannot be as the settings say."""
    train = settings.train
    try:
        backend = select(train.products, train.precision)
    except Unavailable as reason:
        raise SettingsError(
            f"train.products={train.products} with train.precision={train.precision}: {reason}; "
            'oneDNN is installed by `pip install ".[fast]"` (Linux on x86-64); --set '
            "train.products=auto --set train.precision=auto takes what is there"
        ) from None
    try:
        compiled = compilation.expected(train.compiled, settings.model.variant)
    except Unavailable as reason:
        raise SettingsError(
            f"train.compiled=true: {reason}; --set train.compiled=auto takes what is there"
        ) from None
    return backend._replace(compiled=compiled)


def measured_speed(settings: Settings, symbols: int, ranks: Ranks) -> float:
    """The characters that ``WIDTH`` units read in a second, with all processes and ranks."""
    train, backend = settings.train, products(settings)
    processes = choose_workers(train.workers, len(ranks.share(train.batch)), ranks.local)
    model = Model(symbols, WIDTH, 1, cell=settings.model.variant, backend=backend)
    rng = np.random.default_rng(0)
    model.initialize(rng)
    x = rng.integers(0, symbols, (STEPS, STREAMS))
    workspace, grads = model.workspace(STEPS, STREAMS), model.params.like()
    state, packed = model.zero_state(STREAMS), model.packed(STREAMS)
    if backend.compiled:
        with suppress(Unavailable):  # which training will report
            compilation.prepare(model.cell)
    end = time.perf_counter() + min(SECONDS, SHARE * 60 * (train.minutes or 0))
    took: list[float] = []
    with blas_limited_to(1):
        while len(took) < LEAST or time.perf_counter() < end:
            began = time.perf_counter()
            model.loss_and_gradients(x, x, state, workspace, grads, scale=1.0, packed=packed)
            took.append(time.perf_counter() - began)
    return REST * ranks.size * processes * x.size / min(took)


def _unseen(counts: npt.NDArray[np.int64], corpus: Corpus, old: Checkpoint | None) -> list[int]:
    """Ids of symbols that neither the training text nor that of the old weights has."""
    unseen = np.flatnonzero(counts == 0)
    if old is not None:
        seen = corpus.vocabulary.find(np.delete(old.vocabulary.symbols, old.unseen))
        unseen = np.setdiff1d(unseen, seen)
    return unseen.tolist()


def _check_prompt(settings: Settings, corpus: Corpus, unseen: Sequence[int]) -> None:
    """Refuse a prompt of the samples that has unknown or ``unseen`` symbols."""
    try:
        points = corpus.vocabulary.points(as_read(settings.sample.prompt, settings.data))
        corpus.vocabulary.find(points, unseen=unseen)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"sample.prompt: {error}") from None


def _check_documents(data: Data, corpus: Corpus, end: int | None) -> None:
    """Refuse a text that is a single document, if it should have several."""
    if data.document and not any((chunk == end).any() for chunk in chunks(corpus.ids[:-1])):
        key = "separator" if data.separator else "documents"
        ends = {"line": "second line", "paragraph": "empty lines", "file": "second file"}
        raise CorpusError(
            f"data.{key}={to_scalar(getattr(data, key))}: the text has no "
            f"{ends.get(data.document, 'such mark')}, so it is a single document: omit the "
            "setting, or give a text of several"
        )


def physical_memory() -> int | None:
    """Bytes; None if the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def describe(plan: Plan, *, kept: bool = False) -> dict[str, Any]:
    """The part of run.json that describes a plan; the run may have ``kept`` its text itself."""
    return {
        "versions": versions(plan),
        "seed": plan.settings.train.seed,
        "workers": plan.workers,
        "ranks": plan.ranks.size,
        "corpus": _describe_text(plan.corpus) | ({"paths": [KEPT_TEXT]} if kept else {}),
        "parameters": plan.parameters,
        "model": plan.settings.model.in_words,
        "budget": str(plan.budget),
        "lr": plan.settings.optim.lr,
        "dropout": plan.settings.model.dropout,
    }


def _describe_text(corpus: Corpus) -> dict[str, Any]:
    text, held_out = corpus.text_id, corpus.held_out.items()
    paths = [one if one == STANDARD_INPUT else os.path.realpath(one) for one in corpus.sources]
    return {
        "paths": paths,
        "bytes": text.bytes,
        "chars": text.chars,
        "level": corpus.vocabulary.level,
        "symbols": len(corpus.vocabulary),
        "skipped": text.skipped,
        "rare": corpus.rare,
        "sha256": text.sha256,
        **({"held_out": {name: _describe_text(one) for name, one in held_out}} if held_out else {}),
    }


def versions(plan: Plan) -> dict[str, str]:
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
        "products": fingerprint(plan.products),
        "loops": compilation.compiler() if plan.products.compiled else "not compiled",
        "machine": f"{platform.system()} {platform.machine()}",
        **({"mpi": plan.ranks.library} if plan.ranks.library else {}),
    }


# ---- the state before the first step, and that from which a run goes on


def start(plan: Plan, old: Checkpoint | None = None) -> Checkpoint:
    """The state before the first step; weights that ``old`` has are taken over from it."""
    settings = plan.settings
    model = model_for(settings, plan.corpus.vocabulary)
    model.initialize(random_stream(settings.train.seed, WEIGHTS))
    frequencies = np.maximum(plan.counts, 0.5) / plan.counts.sum()
    if model.L > 1:  # to learn the frequencies, upper layers would saturate
        model.output(model.params).b_c[:] = np.log(frequencies)
    if old is not None:
        known = plan.corpus.vocabulary.find(old.vocabulary.symbols)
        model.copy_from(old.model, known)
        new = np.setdiff1d(np.arange(model.V), known)
        if len(new):
            _set_biases_of_new(model, new, frequencies[new], plan.windows.window(0)[0])
    return Checkpoint(
        settings=settings,
        vocabulary=plan.corpus.vocabulary,
        counts=plan.counts,
        model=model,
        moments=Moments.like(model.params.flat),
        state=model.zero_state(plan.windows.B),
        window=plan.windows.T,
        text_id=plan.corpus.text_id,
        unseen=plan.unseen,
        progress=Progress(seconds=None if plan.budget.seconds is None else 0.0),
    )


def _set_biases_of_new(model: Model, new: npt.NDArray[np.intp], frequencies: Array, x: Ids) -> None:
    """Set output biases so that ``new`` ids (N,) are predicted with their frequencies in ``x``."""
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
    """The state from which a resumed run continues, which may have something left ``due``."""
    if checkpoint.state.shape[1] != plan.windows.B or checkpoint.window != plan.windows.T:
        raise CheckpointError("the checkpoint's hidden states do not fit its settings")
    checkpoint.settings = plan.settings
    progress, budget = checkpoint.progress, plan.budget
    if budget.seconds is None:
        progress.seconds = None
    step, seconds = progress.step, progress.seconds or 0.0
    if not done or progress.due:  # it was stopped or killed before its end
        return checkpoint
    if progress.out_of_patience(plan.settings.train.patience):
        raise SettingsError(
            "the run has stopped because its loss did not improve in "
            f"{progress.evaluations_since_best} evaluations (train.patience); to go on anyway, add "
            "--set train.patience=0"
        )
    if budget.progress(step, seconds) >= 1:
        why = f"--{budget.unit} counts from the start of the run, not from now"
        if (ended := budget.ended_by(step)) is not budget:
            why, budget = "train.most_epochs (null: no limit) ends it before its time", ended
        raise SettingsError(
            f"the run has used its budget: {budget.used(step, seconds):,.4g} of "
            f"{budget.amount:,.4g} {budget.unit}; {why}: give more, such as "
            f"{budget.doubled(step, seconds)}"
        )
    return checkpoint
