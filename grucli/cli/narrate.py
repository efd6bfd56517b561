"""Show the plan, the progress and the result of ``grucli train``."""

import math
import time
from collections.abc import Iterator, Sequence

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn

from grucli.cli import render
from grucli.cli.plot import chart
from grucli.config import Model
from grucli.data.text_files import STANDARD_INPUT, expand, size_on_disk
from grucli.evaluation import baselines
from grucli.nn.cells import in_words
from grucli.run.conclusion import Conclusion, sentences
from grucli.run.run import Run
from grucli.run.verdict import about_dropout
from grucli.text_out import duration, printable, quote
from grucli.training import events
from grucli.training.plan import Plan
from grucli.training.session import Session

LOG_SECONDS = 5.0  # minimum seconds between lines with the training loss
TEXT_LINES, LIST_LINES = 3, 5  # maximum lines of a sample that are shown: of a text, of a list
WIDE = 72  # columns in which the line of an evaluation has room
SMALL = 8  # lines of the chart at the end of a run
LONG = 10**8  # from this number of bytes on, reading a text takes seconds


def follow(session: Session, stream: Iterator[events.Event], *, quiet: bool) -> events.Finished:
    """Show the events of a run, whose notes so far were shown with its plan."""
    shown, level = len(session.notes), session.plan.settings.data.level
    started = next(stream)
    assert isinstance(started, events.Started)
    render.warn(*started.notes[shown:])
    if started.step:
        best = "" if started.best_loss is None else f", best loss so far {started.best_loss:.4f}"
        render.fact("resume", f"{started.path} at step {started.step:,}{best}")
    if quiet:
        for event in stream:
            warn(event)
    else:
        render.fact("time", f"about {duration(started.expected_s)}")
        event = _show_all(stream, level)
    assert isinstance(event, events.Finished)
    return event


def _show_all(stream: Iterator[events.Event], level: str) -> events.Event:
    """Show events as lines, with a bar on a terminal, and elsewhere with losses of training."""
    columns = (BarColumn(bar_width=None), TextColumn("{task.fields[status]}", markup=False))
    bar = Progress(*columns, console=render.err, transient=True, expand=True)
    smooth, shown, bar.disable = 0.0, -math.inf, not render.draws()
    with bar:
        task = bar.add_task("", total=1.0, status="")
        for event in stream:
            if isinstance(event, events.Evaluating):
                bar.update(task, status="evaluating")
            elif isinstance(event, events.Stepped):
                smooth = event.loss if not smooth else 0.95 * smooth + 0.05 * event.loss
                status = (
                    f"loss {smooth:.3f} {smooth / math.log(2):.2f} bp{level[0]} "
                    f"{event.chars_per_s / 1000:.0f}k {level}s/s "
                    f"{duration(event.remaining_s)} left"
                )
                bar.update(task, completed=event.progress, status=status)
            elif not isinstance(event, events.Logged):
                _show(event, level)
                shown = time.monotonic() if isinstance(event, events.Evaluated) else shown
            elif bar.disable and time.monotonic() - shown >= LOG_SECONDS:
                _show(event, level)
                shown = time.monotonic()
    return event


def warn(event: events.Event) -> None:
    """Show an event that the user must know about, even with --quiet."""
    if isinstance(event, events.Skipped):
        render.warn(
            f"step {event.step:,} was skipped: the loss is {event.loss:.4g} and the norm of its "
            f"gradient {event.grad_norm:.4g}"
        )
    elif isinstance(event, events.RolledBack):
        render.warn(
            f"{event.problem}; training continues from step {event.step:,}, with "
            f"learning rates multiplied by {event.lr_factor:g}"
        )
    elif isinstance(event, events.NotWritten):
        render.warn(
            f"{event.path}: cannot be written: {event.reason}; training continues and "
            f"will try again (the checkpoint of step {event.safe_step:,} is safe)"
        )
    elif isinstance(event, events.NotReported):
        render.warn(f"{event.problem}; this has no effect on the run")


def _show(event: events.Event, level: str) -> None:
    warn(event)
    if isinstance(event, events.Logged):
        row = event.row
        render.say(
            f"step {row.step:>6,}  loss {row.loss:.4f}  {row.bpc:.3f} bp{level[0]}  "
            f"{row.chars_per_s / 1000:.0f}k {level}s/s  {duration(row.elapsed_s)}"
        )
    elif isinstance(event, events.Evaluated):
        render.say(_evaluation_line(event, level), style="bold")
    elif isinstance(event, events.Sampled):
        for line in _sample_lines(event.text.decode(errors="replace"), documents=event.documents):
            render.say(f"  | {line}", style="dim")


def _sample_lines(text: str, *, documents: bool) -> list[str]:
    """Return the first lines of a sample, or the first documents of it in columns."""
    width = (render.err.width if render.err.is_terminal else render.LOG_WIDTH) - len("  | ")
    lines = [printable(line).expandtabs(4) for line in text.splitlines() if line.strip()]
    if documents:
        return list(render.in_columns(lines, width))[:LIST_LINES]
    return [piece for line in lines for piece in render.folded(line, width)][:TEXT_LINES]


def _evaluation_line(event: events.Evaluated, level: str) -> str:
    marks = " best" * event.best
    val = "" if event.val_loss is None else f"val {event.val_loss:.4f} "
    bits = (event.train_loss if event.val_loss is None else event.val_loss) / math.log(2)
    narrow = render.err.is_terminal and render.err.width < WIDE
    epoch = "" if narrow else f"epoch {event.epoch:5.2f}  "
    return (
        f"step {event.step:>6,}  {epoch}train {event.train_loss:.4f}  "
        f"{val}({bits:.3f} bp{level[0]}){marks}"
    )


def say_reading(sources: Sequence[str]) -> None:
    """Say that a long text is being read, since this can take a while."""
    if (size := size_on_disk(expand(sources))) > LONG:
        render.fact("reading", f"about {decimal(size)} of text; this takes longest the first time")


def show_plan(session: Session, quiet: bool) -> None:
    """Show what will be done; with --quiet, show only the notes."""
    render.warn(*session.notes)
    if quiet:
        return
    plan, corpus, noun = session.plan, session.plan.corpus, session.plan.settings.data.noun
    uniform, unigram = (nats / math.log(2) for nats in baselines(plan.counts, plan.splits.judged))
    _say_corpus(plan)
    if session.suited:
        named = [(key.partition(".")[2], value) for key, value in session.suited.items()]
        values = [name if value is True else f"{name} {value:g}" for name, value in named]
        suited_to = f"for {len(corpus.ids):,} {noun}s and {plan.budget}"
        render.fact("chosen", f"{suited_to}: {', '.join(values)}; --set changes them")
    render.fact("model", f"{_model(plan.settings.model)}, {plan.parameters:,} parameters")
    render.fact(
        "guess",
        f"without a model: {unigram:.2f} bits per {noun} by the frequencies in the training text, "
        f"{uniform:.2f} if all are equally likely",
    )
    render.fact("budget", _budget(plan))
    processes = "1 process" if plan.workers == 1 else f"{plan.workers} processes"
    shared = f"; {plan.ranks.size} ranks share each batch" if plan.ranks.size > 1 else ""
    render.fact("memory", f"{decimal(plan.memory)}, {processes}{shared}")
    library = {"numpy": "NumPy", "onednn": "oneDNN"}[plan.products.library]
    loops = "" if plan.products.compiled else "not "
    render.fact("products", f"{library}, {plan.products.precision}; loops {loops}compiled")
    if corpus.cached_ids is not None:
        render.fact(
            "cache", f"the text is read from {corpus.cached_ids}; you can delete it after training"
        )


def _say_corpus(plan: Plan) -> None:
    corpus, data, splits = plan.corpus, plan.settings.data, plan.splits
    parts = [(len(splits.train), "to train"), (len(splits.val), "to validate")]
    parts += [(len(splits.test), "to test")] * (len(splits.test) > 0)
    files = f" ({corpus.files:,} files)" if corpus.files > len(corpus.sources) else ""
    render.fact("corpus", f"{', '.join(corpus.sources)}{files}")
    for name, one in corpus.held_out.items():
        render.fact(name, ", ".join(one.sources))
    each = f"; each {data.document} is read by itself" if data.document else ""
    symbols = f"a vocabulary of {len(corpus.vocabulary):,}{each}"
    render.fact("", f"{len(corpus.ids):,} {data.noun}s, {symbols}")
    if corpus.rare:
        render.fact("", f"{corpus.rare:,} of them are rare and read as one unknown character")
    render.fact("", f"{', '.join(f'{count:,} {use}' for count, use in parts)}")


def _model(model: Model) -> str:
    dropout = f", dropout {model.dropout:g}" if model.dropout else ""
    if model.weight_dropout:
        dropout += f", weight dropout {model.weight_dropout:g}"
    return f"{in_words(model.variant)}, {model.layers} x {model.hidden} units{dropout}"


def _budget(plan: Plan) -> str:
    windows = plan.windows
    portion = f"{windows.B} x {windows.T} {plan.settings.data.noun}s"
    time = None if plan.budget.seconds is None else duration(plan.budget.seconds)
    if plan.budget.steps is None:
        return f"{time}, in steps of {portion}"
    epochs = plan.budget.steps / windows.per_epoch
    steps = f"{plan.budget.steps:,} steps of {portion} = {epochs:.3g} epochs"
    return steps if time is None else f"{time}, or {steps} if that is less"


def say_stopped(run: Run | None, sources: Sequence[str], *, at_once: bool = False) -> None:
    if run is None:
        render.say("stopped before anything was written")
        return
    saved = run.checkpoints.pointer("last")
    step = f"{saved.step:,}" if saved else "unknown"  # somebody has deleted last.json
    done = "at once, without saving; the last checkpoint is of" if at_once else "and saved at"
    render.say(f"stopped {done} step {step}; resume with:")
    render.say_command(run.resume_command(sources))


def show_result(session: Session) -> None:
    run, plan, progress = session.run, session.plan, session.checkpoint.progress
    assert run is not None
    conclusion, noun = session.conclusion, plan.settings.data.noun
    _show_curves(run, noun)  # above what it says, which the screen still shows at the end
    if conclusion is not None:
        _say_result(conclusion, noun)
    budget = plan.budget.ended_by(progress.step)
    if budget is not plan.budget:
        render.say(
            f"The run ended after {budget}, before its time was over (train.most_epochs; with null "
            "the time alone ends a run)."
        )
    elif budget.seconds is not None:
        render.say(
            "Runs with a budget in minutes differ each time. For a run of about this length that "
            "can be repeated to the same bits: "
            f"--config {quote(str(run.path / 'config.yaml'))} --steps {progress.step}"
            f"{run.cell_option()}."
        )
    if not session.unreported:
        render.say()
        render.fact("report", str(run.path / "report.html"))
    path = quote(str(run.path)) + run.cell_option()
    verdict = conclusion.verdict if conclusion is not None else None
    stopped = conclusion.stopped_early if conclusion is not None else None
    render.say("\nnext")
    render.say_command(
        f"grucli sample {path}{' --count 20' * (plan.settings.data.documents == 'line')}"
    )
    render.say_command(f"grucli page {path}")
    if verdict is not None and STANDARD_INPUT not in plan.corpus.sources:
        render.say_command(f"grucli eval {path} --split val")
    if verdict is not None and verdict.longer and not stopped:
        resume = run.resume_command(plan.corpus.sources)
        render.say_command(f"{resume} {budget.doubled(progress.step, progress.seconds or 0.0)}")


def _show_curves(run: Run, noun: str) -> None:
    """Explain the losses of a run, and draw them on a terminal; it is complete without that."""
    try:
        curves = run.curves()
        said = about_dropout(run.settings.model, curves)
        lines = list(chart(curves, "step", noun, lines=SMALL)) if render.err.is_terminal else []
    except Exception as error:
        render.warn(f"the curves cannot be drawn: {error!r}")
        return
    for line in [*([""] if lines else []), *lines, *said]:
        render.say(line)


def _say_result(conclusion: Conclusion, symbol: str) -> None:
    count, loss, step = conclusion.stopped_early, conclusion.best_loss, conclusion.best_step
    if count:
        render.say(
            f"Stopped early: no better loss in {count} evaluation{'s' * (count > 1)} "
            "(train.patience; 0 never stops early)."
        )
    if loss is None or conclusion.verdict is None:
        render.say("No validation text was held out, so overfitting cannot be measured.")
    else:
        render.say(
            f"\nbest validation loss {loss:.4f} nats = {loss / math.log(2):.3f} bits per {symbol} "
            f"at step {step:,}",
            style="bold",
        )
    for sentence in sentences(conclusion, symbol):
        render.say(sentence)
