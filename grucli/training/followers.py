"""What the ranks of a run do that do not lead it."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np

from grucli.config import Settings
from grucli.data.corpus import read as read_corpus
from grucli.data.vocabulary import Unknown, Vocabulary
from grucli.errors import CorpusError, GrucliError, UsageError
from grucli.threads import blas_limited_to
from grucli.training.plan import Plan, make_plan, start
from grucli.training.ranks import Command, Ranks
from grucli.training.shared_work import SharedWork


@dataclass(frozen=True)
class Offer:
    """What the ranks must know of a run before it begins.

    Attributes:
        settings: resolved settings.
        sources: the files of the text.
        vocabulary: the symbols.
        sha256: hash of the text.
        size: its bytes.
        skipped: whether unknown characters are left out.
    """

    settings: Settings
    sources: tuple[str, ...]
    vocabulary: Vocabulary
    sha256: str
    size: int
    skipped: bool


def agree(plan: Plan, ranks: Ranks) -> None:
    """Tell the other ranks what is to be trained; they read the text. Rank 0 calls this.

    Raises:
        UsageError: a rank cannot take part.
    """
    if ranks.size == 1:
        return
    corpus = plan.corpus
    offer = Offer(
        plan.settings,
        tuple(corpus.sources),
        corpus.vocabulary,
        corpus.sha256,
        corpus.size,
        bool(corpus.skipped),
    )
    with ranks.command(Command.BEGIN):
        ranks.exchange(offer)
        answers = ranks.exchange(None)
    problems = [
        f"rank {rank} on {host}: {problem}"
        for rank, (host, problem) in enumerate(answers[1:], start=1)
        if problem
    ]
    if problems:
        raise UsageError("\n".join(problems))


def follow(ranks: Ranks) -> None:
    """Take part in the run that rank 0 leads, until it ends.

    Raises:
        RunError: another rank has gone.
    """
    command, _ = ranks.receive()
    if command == Command.END:
        return
    offer, *_ = ranks.exchange(None)
    plan, problem = None, ""
    try:
        plan = _accepted(offer, ranks)
    except GrucliError as error:
        problem = str(error)
    ranks.exchange((ranks.host, problem))
    if plan is None:
        ranks.receive()  # the end
        return
    work = SharedWork(plan, start(plan), ranks)
    with closing(work), blas_limited_to(1), np.errstate(all="ignore"):
        while (received := ranks.receive())[0] != Command.END:
            work.follow(*received)


def _accepted(offer: Offer, ranks: Ranks) -> Plan:
    """The plan of the same run on this rank.

    Raises:
        CorpusError: the text cannot be read here, or is another one.
    """
    unknown: Unknown = "skip" if offer.skipped else "error"
    try:
        corpus = read_corpus(offer.sources, offer.settings.data, offer.vocabulary, unknown)
    except GrucliError as error:
        raise CorpusError(f"{error}; every rank reads the text from its own machine") from None
    if corpus.sha256 != offer.sha256:
        raise CorpusError(
            f"{', '.join(offer.sources)}: is another text than on rank 0: "
            f"{corpus.size:,} bytes with SHA-256 {corpus.sha256[:12]}..., there "
            f"{offer.size:,} bytes with SHA-256 {offer.sha256[:12]}..."
        )
    return make_plan(offer.settings, corpus, ranks)
