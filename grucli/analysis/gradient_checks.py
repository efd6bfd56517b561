"""Check the gradients of a model given by settings, or of a trained model on a text."""

from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from grucli import compilation, config
from grucli.analysis.mistakes import find_mistake, make_mistake
from grucli.analysis.subject import initial_model
from grucli.arguments import FilePath, checked
from grucli.data.windows import fit_windows
from grucli.errors import UsageError
from grucli.html import as_html
from grucli.nn import gradcheck
from grucli.nn.backend import Backend, LibraryName, select
from grucli.nn.dropout import Dropout
from grucli.nn.gradcheck import SAMPLES, TOLERANCE, Row, Sections, Window, sizes
from grucli.nn.model import Model
from grucli.nn.onednn import Unavailable
from grucli.nn.params import Array, Ids
from grucli.nn.rounding import ROUNDING
from grucli.run.checkpoint import Checkpoint
from grucli.run.run import Run
from grucli.threads import blas_limited_to
from grucli.training.processes import Shards, choose_workers
from grucli.training.step import dropout_of

ENTRIES = 24  # entries compared in each array of a large or a trained model
EVERY_ENTRY_UP_TO = 16  # hidden units up to which every entry of every array is compared
BASE = config.Model(hidden=5, layers=2, dropout=0.25)  # the model to check
# The settings that have an effect on the check.
CHECKED = ["data.documents", *(key for key in config.INFLUENCES if key.startswith("model."))]
NAMED = 6  # wrong gradients that the verdict names
FIGURES = ("compared", "error", "allowed", "explained", "passed")  # of a row, for JSON
VERDICTS = {"right": "", "undecided": "  cannot be decided here", "WRONG": "  WRONG"}
LETTERS = (
    "V characters in the vocabulary, H units, L layers, T steps, B streams of text; D inputs of "
    "one layer"
)
# Sizes of a step of training without a run: large enough for all that is computed in parts.
V, H, T, B, PROCESSES = 100, 256, 24, 48, 2
STEPS, STREAMS = 12, 3  # largest window of a run's text that is checked


@dataclass(frozen=True)
class Report:
    """The results of the checks of all arrays."""

    rows: Sequence[tuple[str, Row]]  # each with the title of its section

    @property
    def wrong(self) -> list[str]:
        return [row.name for _, row in self.rows if row.verdict == "WRONG"]

    @property
    def undecided(self) -> list[str]:
        return [row.name for _, row in self.rows if row.verdict == "undecided"]

    @property
    def passed(self) -> bool:
        return not self.wrong

    @property
    def worst(self) -> float:
        """The largest relative error in float64; nan if an error is not a number."""
        return worst([row for _, row in self.rows if row.allowed == TOLERANCE])

    @property
    def sections(self) -> dict[str, list[Row]]:
        sections: dict[str, list[Row]] = {}
        for title, row in self.rows:
            sections.setdefault(title, []).append(row)
        return sections

    def to_dict(self) -> dict[str, Any]:
        checks = [
            {"section": section, "array": row.name, "shape": list(row.shape)}
            | {name: getattr(row, name) for name in FIGURES}
            | {"verdict": row.verdict.lower()}
            for section, row in self.rows
        ]
        answer = {"passed": self.passed, "undecided": len(self.undecided)}
        return answer | {"tolerance": TOLERANCE, "worst": self.worst, "checks": checks}

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        """HTML for notebooks: the lines."""
        return f"<pre>{as_html(str(self))}</pre>"

    def lines(self, *, brief: bool = False) -> Iterator[str]:
        """The verdict, and the results array by array, or in ``brief`` section by section."""
        yield from self._verdict()
        in_float64 = sum(row.allowed == TOLERANCE for _, row in self.rows)
        yield (
            f"{in_float64} checks of NumPy's products against derivatives in float64: the "
            f"worst relative error is {self.worst:.1e}, {TOLERANCE:.0e} is allowed"
        )
        yield ""
        for title, rows in self.sections.items():
            yield title
            yield from _summary(rows) if brief else _row_lines(rows)
        yield LETTERS
        if not brief:
            yield ""
            yield from self._verdict()  # what a projector still shows

    def _verdict(self) -> Iterator[str]:
        total = len(self.rows)
        if self.wrong:
            yield f"WRONG: {len(self.wrong)} of {total} gradients ({_named(self.wrong)})"
        elif not self.undecided:
            yield "all gradients are right"
        if self.undecided:
            yield (
                f"cannot be decided here: {len(self.undecided)} of {total} gradients "
                f"({_named(self.undecided)}); on these weights they vanish, or rounding explains "
                "errors as large as those of a mistake"
            )


def _named(arrays: Sequence[str]) -> str:
    names = list(dict.fromkeys(arrays))
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _summary(rows: Sequence[Row]) -> Iterator[str]:
    right, allowed = sum(row.verdict == "right" for row in rows), max(row.allowed for row in rows)
    yield f"  {right} of {len(rows)} right, worst error {worst(rows):.1e}, allowed {allowed:.1e}"


def _row_lines(rows: Sequence[Row]) -> Iterator[str]:
    yield f"  {'array':<13} {'shape':<13} {'compared':<11} {'error':>8} {'allowed':>8}"
    for row in rows:
        shape, verdict = " x ".join(map(str, row.shape)), VERDICTS[row.verdict]
        yield (
            f"  {row.name:<13} {shape:<13} {row.compared:<11} {row.error:8.1e} {row.allowed:8.1e}"
            f"{verdict}"
        )
    yield ""


def worst(rows: Sequence[Row]) -> float:
    return float(np.max([row.error for row in rows]))  # ``max`` would ignore nan


# ---- a small model with random weights


@np.errstate(all="ignore")  # an error that is not finite is a wrong gradient
@blas_limited_to(1)  # the products are small
@checked
def check_settings(
    values: config.Values, mistake: str | None = None, products: LibraryName | None = None
) -> Report:
    """Check the gradients of a small model with random weights and with these settings.

    ``mistake`` of ``mistakes.txt`` is made in the backward pass. With ``products``, a step of
    training is checked, too.
    """
    settings = settings_of(values)
    variant = settings.model.variant
    backends = precisions(products, variant)
    wrong = None if mistake is None else find_mistake(variant, mistake)
    with nullcontext() if wrong is None else make_mistake(wrong):
        rows = list(_of_settings(settings, compiled=wrong is None))
        if backends:
            rows += check_training(_toy_step(settings), backends)
    report = Report(rows)
    if wrong is not None and report.passed:
        raise UsageError(
            f"--break {mistake}: no check sees this mistake in this model; it concerns what the "
            "model does not have, such as dropout"
        )
    return report


def settings_of(values: config.Values) -> config.Settings:
    unused = sorted(config.INFLUENCES.keys() & values.keys() - {*CHECKED})
    if unused:
        raise UsageError(
            f"{unused[0]} has no effect on a gradient check; "
            f"these settings have an effect: {', '.join(sorted(CHECKED))}"
        )
    return config.resolve([("--set", values)], config.Settings(model=BASE))


def _of_settings(settings: config.Settings, *, compiled: bool) -> Sections:
    model, kind = settings.model, _kind(settings)
    yield from gradcheck.check_all(
        hidden=model.hidden,
        layers=model.layers,
        dropout=model.dropout,
        recurrent=model.weight_dropout,
        entries=None if model.hidden <= EVERY_ENTRY_UP_TO else ENTRIES,
        **kind,
    )
    if compiled and compilation.select("auto", model.variant, dtype="float64"):
        yield from gradcheck.check_compiled(
            *gradcheck.toy(V, H, model.layers, T, B, model.dropout, seed=0, **kind)
        )


def _kind(settings: config.Settings) -> dict[str, Any]:
    documents = settings.data.document is not None
    return {"cell": settings.model.variant, "documents": documents}


# ---- a trained model


@np.errstate(all="ignore")
@blas_limited_to(1)  # the products are small
@checked
def check_run(
    path: FilePath, text: str | None = None, products: LibraryName | None = None
) -> Report:
    """Check a checkpoint, or the best one of a run, on a text file or on the run's own text."""
    run = Run.open(path)
    checkpoint, ids = run.checkpoint, run.ids(text)
    backends = precisions(products, checkpoint.model.cell)
    train = run.part("train") if text is None else None
    report = Report(list(_of_checkpoint(checkpoint, ids, backends, train)))
    if not report.undecided:
        return report
    model = initial_model(checkpoint.model, run)
    first = replace(checkpoint, model=model, state=np.zeros_like(checkpoint.state))
    before = _of_checkpoint(first, ids, backends)
    return Report([*report.rows, *((f"before training, {title}", row) for title, row in before)])


def _of_checkpoint(
    checkpoint: Checkpoint, ids: Ids, backends: Sequence[Backend], own: Ids | None = None
) -> Sections:
    model = checkpoint.model.astype(np.float64)
    window = window_of(ids, checkpoint.state)
    yield from gradcheck.check_trained(model, window, ENTRIES)
    if compilation.select("auto", model.cell, dtype="float64"):
        yield from gradcheck.check_compiled(model, window)
    if backends:
        text, resumes = (ids, False) if own is None else (own, True)
        yield from check_training(next_step(checkpoint, text, resumes=resumes), backends)


def window_of(ids: Ids, state: Array) -> Window:
    """Characters from a few places of a text, with the states that training saved."""
    streams = min(STREAMS, state.shape[1], len(ids) // 2)
    steps = min(STEPS, len(ids) // streams - 1)
    starts = np.arange(streams) * (len(ids) // streams)  # (B,)
    window = ids[starts + np.arange(steps + 1)[:, None]].astype(np.intp)  # (T+1, B)
    return Window(window[:-1], window[1:], state[:, :streams].astype(np.float64), None)


# ---- one step of training: its processes, masks, products and sums, against NumPy in float64


@dataclass(frozen=True)
class Step:
    """A step of training."""

    model: Model  # in float32
    window: Window  # without the masks of the dropout; the state is in float32
    dropout: Dropout  # may have the rate 0
    workers: int  # processes that share the batch


def precisions(library: LibraryName | None, cell: str) -> list[Backend]:
    """The products of a library in each precision that this processor has, also compiled."""
    if library is None:
        return []
    try:
        available = [select(library, "float32")]
    except Unavailable as reason:
        raise UsageError(f"--products {library}: {reason}") from None
    with suppress(Unavailable):
        available.append(select(library, "bfloat16"))
    compiled = [backend._replace(compiled=True) for backend in available]
    return available + compiled * compilation.select("auto", cell)


def _toy_step(settings: config.Settings) -> Step:
    size = settings.model
    model, window = gradcheck.toy(V, H, size.layers, T, B, 0.0, seed=0, **_kind(settings))
    window = replace(window, state=window.state.astype(np.float32))
    dropout = Dropout(size.dropout, (0,), size.weight_dropout)
    return Step(model.astype(np.float32), window, dropout, PROCESSES)


def next_step(checkpoint: Checkpoint, ids: Ids, *, resumes: bool) -> Step:
    """The next step on a text; ``resumes``: on the training text, where the run has stopped."""
    train = checkpoint.settings.train
    windows, done = fit_windows(ids, train.batch, train.window), checkpoint.progress.step
    number = done % windows.per_epoch if resumes else 0
    x, targets = windows.window(number)
    model = checkpoint.model
    state = checkpoint.state if number else model.zero_state(windows.B)
    window = Window(x, targets, state, masks=None)
    dropout = dropout_of(checkpoint.settings, done)
    return Step(model, window, dropout, choose_workers(train.workers, windows.B))


def check_training(step: Step, backends: Sequence[Backend]) -> Sections:
    """Check the step in float64, then as training computes it with some products."""
    (T, B), dropout = step.window.targets.shape, step.dropout
    room = np.empty((step.model.L, T, B, step.model.H), np.float32)
    masks, recurrent = dropout.of_outputs(room, T, range(B)), dropout.of_weights(step.model.params)
    window = replace(step.window, masks=masks, recurrent=recurrent)
    model = step.model.astype(np.float64)
    reference = gradcheck.both_passes(model, window)
    row = gradcheck.check_reference(model, window, reference, np.random.default_rng(0))
    yield f"a step of training in float64: {sizes(model, window)}", row
    processes = f"{step.workers} process" + "es" * (step.workers > 1)
    for backend in backends:
        title = f"as in training, {backend}, {processes}, against float64: {sizes(model, window)}"
        rounding = ROUNDING[backend.precision]
        samples = [
            gradcheck.both_passes(model, window, (rounding, seed)) for seed in range(SAMPLES)
        ]
        rows = gradcheck.check_step(_trained(step, backend), reference, samples)
        yield from ((title, row) for row in rows)


def _trained(step: Step, backend: Backend) -> dict[str, Array]:
    """The results of a step, as training computes them, after a step with other weights."""
    window, dropout, model = step.window, step.dropout, step.model.astype(np.float32)
    T, B = window.targets.shape
    shards = Shards(model, T, range(B), step.workers, dropout, backend)
    with closing(shards):
        for factor in (0.5, 1.0):
            np.multiply(step.model.params.flat, factor, out=model.params.flat)
            loss, last, grads = shards.loss_and_gradients(
                window.x, window.targets, window.state, 1.0 / (T * B), dropout
            )
        gradients = [(name, np.float64(T * B) * array) for name, array in grads.items()]
        results = gradcheck.named(model.cell, [*gradients, *gradcheck.states(last)], "T")
        return {"loss": np.array(loss)} | dict(results)
