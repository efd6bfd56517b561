"""Notes for the user: what was adapted, what may be a mistake, and what to do about it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from grucli import compilation
from grucli.config import Data, flatten, to_scalar
from grucli.data.corpus import Corpus, all_of
from grucli.data.documents import LINE_END, end_of
from grucli.data.hints import empty_share, looks_like_list, looks_sorted, repeated_share
from grucli.data.windows import count_symbols
from grucli.evaluation import differ_in_kind
from grucli.nn.backend import why_not_used
from grucli.run.checkpoint import Checkpoint, Progress
from grucli.run.records import RunInfo
from grucli.training.plan import Plan, versions
from grucli.training.schedules import learning_rate

LISTED = 5  # files that a note names
EMPTY = 0.05  # share of empty lines of a list from which a note says so
LINE = 20  # minimum length of a line that is not expected twice in a text, in bytes
MUCH_HIGHER = 1.2  # factor from which a note tells that a learning rate rises


def about_not_text(files: Sequence[tuple[str, str]], data: Data) -> Iterator[str]:
    """Files that are not text, and what they are."""
    if files:
        listed = _listed([f"{file} ({kind})" for file, kind in files])
        of_bytes = f"a model of bytes learns the format of a file, not its text: {listed}"
        left_out = f"files that cannot be read as text were left out: {listed}"
        yield of_bytes if data.level == "byte" else left_out


def about_files(corpus: Corpus, data: Data, *, is_split: bool = False) -> Iterator[str]:
    """Files that may be mistakes; ``data`` tells how they were read."""
    yield from about_not_text(corpus.not_text, data)
    if corpus.repeated:
        files = _listed([f"{file} has the content of {first}" for file, first in corpus.repeated])
        in_both = (
            "; what is twice in a text can be in both the training part and the validation part, "
            "whose loss is then too low: leave it out"
        )
        yield f"the text contains files twice: {files}{in_both * is_split}"
    if corpus.unified:
        yield (
            f"{corpus.unified:,} line ends are \\r\\n or \\r in the file and are read as \\n "
            "(data.newlines: unify)"
        )


def _unseen(plan: Plan) -> list[int]:
    """Ids of symbols that held-out texts have and the training text lacks."""
    texts = plan.corpus.held_out.values() if plan.unseen else ()
    counts = [count_symbols(one.ids, len(plan.corpus.vocabulary)) for one in texts]
    unknown = plan.corpus.vocabulary.unknown_id
    return [i for i in plan.unseen if i != unknown and any(one[i] for one in counts)]


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest:,} more" if rest > 0 else "")


def about_plan(plan: Plan) -> Iterator[str]:
    """Settings that were adapted, and possible mistakes in the text."""
    corpus, windows, train = plan.corpus, plan.windows, plan.settings.train
    data, noun = plan.settings.data, plan.settings.data.noun
    is_split = any(share for share in (data.val, data.test) if isinstance(share, float))
    for text in all_of(corpus):
        yield from about_files(text, data, is_split=is_split and text is corpus)
    if skipped := sum(text.text_id.skipped for text in all_of(corpus)):
        yield f"{skipped:,} {noun}s that the model does not know are left out"
    if unseen := _unseen(plan):
        listed = corpus.vocabulary.listed(corpus.vocabulary.symbols[unseen])
        yield (
            f"the training text lacks {listed}, which the validation or the test text has, so the "
            "model cannot learn when they come; --unknown skip leaves them out"
        )
    if (train.batch, train.window) != (windows.B, windows.T):
        yield (
            f"the text is short, so each step reads {windows.B} x {windows.T} {noun}s instead "
            f"of {train.batch} x {train.window} (train.batch x train.window); one pass over the "
            f"text takes {windows.per_epoch} step{'s' * (windows.per_epoch > 1)}"
        )
    if train.products == "auto" and (reason := why_not_used()):
        yield f"products are computed by NumPy: {reason}"
    cell, compiled = plan.settings.model.variant, plan.products.compiled or train.compiled is False
    if not compiled and (reason := compilation.why_not_used(cell)):
        yield f"what lies between the products is not compiled: {reason}"
    if differ_in_kind(plan.counts, plan.splits.val):
        yield (
            f"the validation text{', which comes last,' * ('val' not in data.files)} is of another "
            f"kind than the training text: its {noun}s have other frequencies. Its loss will say "
            "little about what was learned: mix the parts of the text, or give a text of one kind"
        )
    yield from _about_lines(plan)


def _about_lines(plan: Plan) -> Iterator[str]:
    """Lines or documents that stand in both parts of a text, that are sorted or empty."""
    splits, vocabulary, noun = plan.splits, plan.corpus.vocabulary, plan.settings.data.document
    V, symbol = len(vocabulary), end_of(plan.settings.data) or LINE_END
    if (end := vocabulary.id_of(symbol)) is None:
        return
    shortest, lines = 1 if noun else LINE, f"{noun or 'line'}s"
    if len(splits.val) and (share := repeated_share(splits, vocabulary, shortest, symbol)) >= 0.5:
        yield (
            f"{share:.0%} of the validation text are {lines} that also stand in the training text, "
            "so its loss will be too low: remove what the text contains twice"
        )
    if noun and looks_sorted(splits, end, V):
        shuffle = ", as in `shuf list.txt > shuffled.txt`" if noun == "line" else ""
        yield (
            f"the validation {lines} begin with other characters than the training {lines}: if "
            f"the list is sorted, shuffle it first{shuffle}"
        )
    if noun == "line" and (share := empty_share(splits.train, end, V)) >= EMPTY:
        yield (
            f"{share:.0%} of the lines are empty, so that about as many samples will be empty: if "
            "they do not belong to the list, remove them, as in `grep . list.txt > filled.txt`"
        )


def about_documents(plan: Plan) -> Iterator[str]:
    """A text that looks like a list but is not read as one."""
    lines = looks_like_list(plan.splits.train, plan.corpus.vocabulary.id_of(LINE_END))
    if lines and not plan.settings.data.document:
        yield (
            f"the text looks like a list ({lines:,} short lines at its start, none of them empty): "
            "with --set data.documents=line, each line is learned by itself, and a sample is one "
            "line"
        )


def about_weights(path: Path, old: Checkpoint, plan: Plan, *, extended: bool) -> Iterator[str]:
    """Differences between a text and that of the run at ``path``, whose weights it starts from."""
    if extended:
        count, noun = len(plan.corpus.vocabulary) - len(old.vocabulary), plan.settings.data.noun
        yield f"{count:,} {noun}s are new to {path} and start from random weights"
    now, before = flatten(plan.settings), flatten(old.settings)
    for key in ("data.documents", "data.separator"):
        if now[key] != before[key]:
            yield f"{key} is {to_scalar(now[key])} here and was {to_scalar(before[key])} for {path}"


def about_machine(before: RunInfo, plan: Plan) -> Iterator[str]:
    """Changes of software or machine since a run was started, which can change its rounding."""
    workers, ranks = "the number of workers", "the number of ranks"
    old = {workers: before.workers, ranks: before.ranks} | before.versions
    new = {workers: plan.workers, ranks: plan.ranks.size, **versions(plan)}
    changes = [
        f"{name} was {old[name]} and is {one}"
        for name, one in new.items()
        if old.get(name) not in (None, one)
    ]
    if changes:
        yield (
            f"{'; '.join(changes)}: the run continues, but without these changes its results "
            "might have been different in the last bits"
        )


def about_rate(plan: Plan, progress: Progress) -> Iterator[str]:
    """A longer budget that raises the learning rate of a resumed run."""
    optim, factor, step = plan.settings.optim, progress.lr_factor, progress.step
    used = plan.budget.progress(step, progress.seconds or 0.0)
    lr = factor * learning_rate(optim, step, used)
    if step > optim.warmup and lr >= MUCH_HIGHER * progress.lr:
        low = f"--set optim.schedule=constant --set optim.lr={progress.lr / factor:.2g}"
        yield (
            f"with this budget, the learning rate rises from {progress.lr:.2g} to {lr:.2g}: the "
            "loss rises at first, and falls again with the rate, in the rest of the budget; to go "
            f"on with the low rate, add {low}"
        )
