"""What ``grucli train`` shows: the plan, the progress, the result."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from grucli.cli import render

if TYPE_CHECKING:
    from grucli.config import Values
    from grucli.storage.checkpoint import Checkpoint
    from grucli.storage.directory import RunDirectory
    from grucli.training.events import Event
    from grucli.training.plan import Plan
    from grucli.training.session import Session
    from grucli.training.trainer import Trainer


LONG = 10**8
"""Bytes of a text from which reading takes seconds."""

SEARCHED = 10**8
"""Characters that are searched for what a sample has copied, which takes seconds."""


def follow(trainer: "Trainer", stop: Callable[[], bool], quiet: bool) -> None:
    """Train, and show what happens."""
    if quiet:
        for event in trainer.train(stop):
            _warn(event)
    elif render.err.is_terminal:
        _follow_on_terminal(trainer, stop)
    else:
        for event in trainer.train(stop):
            _show(event, log=True)


def _follow_on_terminal(trainer: "Trainer", stop: Callable[[], bool]) -> None:
    from rich.progress import BarColumn, Progress, TextColumn

    from grucli.training.events import Evaluating, Stepped

    columns = (BarColumn(bar_width=None), TextColumn("{task.fields[status]}", markup=False))
    with Progress(*columns, console=render.err, transient=True, expand=True) as bar:
        task = bar.add_task("", total=1.0, status="")
        smooth = 0.0
        for event in trainer.train(stop):
            if isinstance(event, Evaluating):
                bar.update(task, status="evaluating")
            if not isinstance(event, Stepped):
                _show(event, log=False)
                continue
            smooth = event.loss if not smooth else 0.95 * smooth + 0.05 * event.loss
            status = (
                f"loss {smooth:.3f} {smooth / math.log(2):.2f} bpc "
                f"{event.chars_per_s / 1000:.0f}k chars/s {render.duration(event.remaining_s)} left"
            )
            bar.update(task, completed=event.progress, status=status)


def _warn(event: "Event") -> None:
    """What has to be said even when quiet."""
    from grucli.training.events import NotWritten, RolledBack, Skipped

    if isinstance(event, Skipped):
        render.warn(
            f"step {event.step:,} was skipped: the loss is {event.loss:.4g} and the norm of its "
            f"gradient {event.grad_norm:.4g}"
        )
    elif isinstance(event, RolledBack):
        render.warn(
            f"{event.problem.partition(';')[0]}; gone back to step {event.step:,}, to go on with "
            f"learning rates of {event.lr_factor:g} times the old ones"
        )
    elif isinstance(event, NotWritten):
        render.warn(
            f"{event.path}: cannot be written: {event.reason}; training goes on and tries again "
            f"(the checkpoint of step {event.safe_step:,} is safe)"
        )


def _show(event: "Event", *, log: bool) -> None:
    from grucli.training.events import Evaluated, Logged, Sampled

    _warn(event)
    if isinstance(event, Logged) and log:
        row = event.row
        render.say(
            f"step {row.step:>6,}  loss {row.loss:.4f}  {row.bpc:.3f} bpc  "
            f"{row.chars_per_s / 1000:.0f}k chars/s  {render.duration(row.elapsed_s)}"
        )
    elif isinstance(event, Evaluated):
        render.say(_evaluation_line(event), style="bold")
    elif isinstance(event, Sampled):
        text = event.text.decode(errors="replace")
        render.say("\n".join(f"  | {line}" for line in text.split("\n")), style="dim")


def _evaluation_line(event: "Event") -> str:
    from grucli.training.events import Evaluated

    assert isinstance(event, Evaluated)
    marks = " best" * event.best + " (averaged weights)" * event.averaged
    val = "" if event.val_loss is None else f"val {event.val_loss:.4f} "
    bits = (event.train_loss if event.val_loss is None else event.val_loss) / math.log(2)
    return (
        f"step {event.step:>6,}  epoch {event.epoch:5.2f}  train {event.train_loss:.4f}  "
        f"{val}({bits:.3f} bpc){marks}"
    )


def say_reading(sources: Sequence[str]) -> None:
    """That a long text is being read, which takes a while at first."""
    from grucli.data.files import expand, size_on_disk

    size = size_on_disk(expand(sources)) or 0
    if size > LONG:
        render.say(f"reading  about {render.size(size)} of text; the first time takes longest")


def say_notes(notes: Sequence[str]) -> None:
    """What the user should know, even when quiet."""
    for note in notes:
        render.warn(note)


def say_start(trainer: "Trainer", quiet: bool) -> None:
    """Where training begins, and how long it will take."""
    where = trainer.checkpoint.progress
    if where.step:
        known = "" if where.best_loss is None else f", best loss so far {where.best_loss:.4f}"
        render.say(f"resume   {trainer.run.path} at step {where.step:,}{known}")
    expected = trainer.estimate()
    if not quiet:
        render.say(f"time     about {render.duration(expected)}")


def show_plan(session: "Session", quiet: bool) -> None:
    """What is about to be done; what had to be adapted is said even when quiet."""
    from grucli.evaluation import baselines

    plan, suited = session.plan, session.suited
    say_notes(session.notes)
    settings, corpus = plan.settings, plan.corpus
    _say_what_may_surprise(plan)
    if quiet:
        return
    unit = "bytes" if settings.data.level == "byte" else "characters"
    parts = [(len(plan.splits.train), "to train"), (len(plan.splits.val), "to validate")]
    parts += [(len(plan.splits.test), "to test")] * (len(plan.splits.test) > 0)
    uniform, unigram = (nats / math.log(2) for nats in baselines(plan.counts))
    model = settings.model
    kind = "locked dropout" if model.locked else "dropout"
    dropout = f", {kind} {model.dropout:g}" if model.dropout else ""
    if model.weight_dropout:
        dropout += f", recurrent dropout {model.weight_dropout:g}"
    files = f" ({corpus.files:,} files)" if corpus.files > len(corpus.sources) else ""
    render.say(f"corpus   {', '.join(corpus.sources)}{files}")
    lines = ", each line by itself" if settings.data.documents else ""
    symbols = f"a vocabulary of {len(corpus.vocabulary):,}{lines}"
    render.say(f"         {len(corpus.ids):,} {unit}, {symbols}")
    if corpus.rare:
        render.say(f"         {corpus.rare:,} of them are rare and read as one unknown character")
    render.say(f"         {', '.join(f'{count:,} {use}' for count, use in parts)}")
    if suited:
        render.say(f"suited   {_suited(suited)}: for a text of this length; --set overrides")
    reset = ", reset after" if model.reset == "after" else ""
    render.say(
        f"model    {model.cell.upper()}{reset}, {model.layers} x {model.hidden} units{dropout}, "
        f"{plan.parameters:,} parameters"
    )
    render.say(f"guess    {uniform:.2f} bits per character uniformly, {unigram:.2f} by frequency")
    render.say(f"budget   {_budget(plan)}")
    processes = "1 process" if plan.workers == 1 else f"{plan.workers} processes"
    render.say(f"memory   {render.size(plan.memory)}, {processes}")
    if corpus.cached_ids is not None:
        render.say(
            f"cache    {corpus.cached_ids}, read from there; it may be deleted after training"
        )


def _say_what_may_surprise(plan: "Plan") -> None:
    """What had to be adapted, and what looks like a mistake."""
    from grucli.data.windows import looks_sorted

    settings, windows, corpus = plan.settings, plan.windows, plan.corpus
    train = settings.train
    if (train.batch, train.window) != (windows.B, windows.T):
        render.warn(
            f"the text is short: batch {train.batch} x window {train.window} became "
            f"{windows.B} x {windows.T}, so that an epoch has {windows.per_epoch} steps"
        )
    line_end, V = corpus.vocabulary.line_end, len(corpus.vocabulary)
    if settings.data.documents and line_end is not None and looks_sorted(plan.splits, line_end, V):
        render.warn(
            "the lines held out to validate begin otherwise than those to train on: if the list is "
            "sorted, shuffle it first, as in `shuf list.txt > shuffled.txt`"
        )


def _suited(values: "Values") -> str:
    return ", ".join(f"{key.partition('.')[2]} {value:g}" for key, value in values.items())


def _budget(plan: "Plan") -> str:
    windows = plan.windows
    portion = f"{windows.B} x {windows.T} characters"
    if plan.budget.seconds is not None:
        return f"{render.duration(plan.budget.seconds)}, in steps of {portion}"
    assert plan.budget.steps is not None
    epochs = plan.budget.steps / windows.per_epoch
    return f"{plan.budget.steps:,} steps of {portion} = {epochs:.3g} epochs"


def say_stopped(run: "RunDirectory | None", plan: "Plan", *, at_once: bool = False) -> None:
    """That the run was stopped, and how to go on."""
    if run is None:
        render.say("stopped before anything was written")
        return
    saved = run.pointer("last")
    if saved is None:
        render.say("stopped before anything was saved; begin again with:")
        render.say_command(_resume_command(run, plan))
        return
    done = "at once, without saving; the last checkpoint is of" if at_once else "and saved at"
    render.say(f"stopped {done} step {saved.step:,}; go on with:")
    render.say_command(_resume_command(run, plan))


def say_goodbye(trainer: "Trainer") -> None:
    """How it went, and the commands that go on from here."""
    where, plan = trainer.checkpoint.progress, trainer.plan
    path, first = render.quote(str(trainer.run.path)), plan.corpus.sources[0]
    _say_result(trainer)
    epochs = 2 * max(1, math.ceil(where.step / plan.windows.per_epoch))
    patience = " --set train.patience=0" if trainer.out_of_patience else ""
    render.say("\nnext")
    render.say_command(f"grucli sample {path}")
    skip = " --unknown skip" if plan.corpus.skipped else ""
    text = "FILE" if first == "-" else render.quote(first)
    render.say_command(f"grucli eval {path} {text}{skip}")
    render.say_command(f"{_resume_command(trainer.run, plan)} --epochs {epochs}{patience}")


def _resume_command(run: "RunDirectory", plan: "Plan") -> str:
    """Files come from run.json; standard input has to be given again, in its place."""
    sources = plan.corpus.sources
    again = [render.quote(source) for source in sources] if "-" in sources else []
    return " ".join(["grucli train", *again, "--resume", render.quote(str(run.path))])


def _say_result(trainer: "Trainer") -> None:
    from grucli.analysis.verdict import verdict
    from grucli.evaluation import baselines, evaluate
    from grucli.storage import checkpoint as checkpoints

    plan, run, where = trainer.plan, trainer.run, trainer.checkpoint.progress
    best, val = checkpoints.read(run.checkpoint("best")), run.validation_losses()
    uniform, unigram = baselines(plan.counts)
    if trainer.out_of_patience:
        count = where.evaluations_since_best
        render.say(f"Stopped early: no better loss in {count} evaluations (train.patience).")
    if val and where.best_loss is not None:
        bits = [nats / math.log(2) for nats in (where.best_loss, unigram, uniform)]
        render.say(
            f"\nbest validation loss {where.best_loss:.4f} nats = {bits[0]:.3f} bits per "
            f"character at step {where.best_step:,}; guessing by frequency {bits[1]:.3f}, "
            f"uniformly {bits[2]:.3f}",
            style="bold",
        )
        seen = plan.splits.train[-max(2, len(plan.splits.val)) :]
        train = evaluate(best.model_to_use(), seen, plan.workers).loss
        model = plan.settings.model
        render.say(verdict(train, val, unigram, model.dropout, model.hidden))
    else:
        render.say("No validation text was held out, so nothing can be said about over-fitting.")
    if plan.settings.sample.length:
        _say_copied(best, plan)


def _say_copied(best: "Checkpoint", plan: "Plan") -> None:
    """How much a sample copies from the text it was trained on."""
    from grucli.analysis.overlap import longest_copy
    from grucli.training.trainer import make_sample

    ids, _ = make_sample(best, best.vocabulary, plan.settings.train.seed)
    corpus = plan.splits.train[-SEARCHED:]
    length, start = longest_copy(ids, corpus)
    where = "the corpus"
    if len(corpus) < len(plan.splits.train):
        where = f"the last {len(corpus):,} characters of the text"
    copied = best.vocabulary.decode(ids[start : start + length]).decode(errors="replace")
    render.say(
        f"The longest passage that a sample of {len(ids)} characters copies from {where} "
        f"has {length} characters: {copied!r}."
        if length
        else f"A sample of {len(ids)} characters copies no 8 in a row from {where}."
    )
