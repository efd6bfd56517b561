"""The ranks of a run besides rank 0: they take over its plan, and train as it does."""

from contextlib import closing, suppress
from dataclasses import replace

from grucli.config import Settings
from grucli.data.corpus import Corpus
from grucli.data.corpus import read as read_corpus
from grucli.errors import CorpusError, GrucliError, UsageError
from grucli.run.writer import RunWriter
from grucli.training.plan import Plan, make_plan
from grucli.training.ranks import Ended, Ranks
from grucli.training.start import start
from grucli.training.trainer import Trainer


def take_part(ranks: Ranks) -> None:
    """Train in the run of rank 0, until it ends. The other ranks call this."""
    with suppress(Ended):
        plan = shared_plan(None, ranks)
        with closing(Trainer(plan, start(plan), RunWriter.nowhere())) as trainer:
            trainer.estimate()
            for _ in trainer.train(lambda: ranks.signal != 0):
                pass
        ranks.meet()  # rank 0 ends the run after its last file


def shared_plan(plan: Plan | None, ranks: Ranks) -> Plan:
    """The plan of rank 0, which the other ranks, who have None, make from texts of their own."""
    ranks.meet()
    description = plan and (plan.settings, replace(plan.corpus, ids=plan.corpus.ids[:0]))
    settings, corpus = ranks.exchange(description)[0]
    problem = ""
    if plan is None:
        try:
            plan = make_plan(settings, _same_text(settings, corpus), ranks)
        except GrucliError as error:
            problem = f"rank {ranks.rank} on {ranks.host}: {error}"
    problems = [each for each in ranks.exchange(problem) if each]
    ranks.apart = True
    if problems and not ranks.rank:
        raise UsageError("\n".join(problems))
    while problems or plan is None:
        ranks.meet()  # rank 0 ends the run
    return plan


def _same_text(settings: Settings, there: Corpus) -> Corpus:
    """Read the text of rank 0, ``there``, from this machine."""
    sources = there.sources
    try:
        here = read_corpus(sources, settings.data, there.vocabulary, there.text_id.unknown)
    except GrucliError as error:
        raise CorpusError(f"{error}; every rank reads the text from its own machine") from None
    own, other = here.text_id, there.text_id
    if own.sha256 != other.sha256:
        raise CorpusError(
            f"{', '.join(sources)}: is another text than on rank 0: {own.bytes:,} bytes with "
            f"SHA-256 {own.sha256[:12]}..., there {other.bytes:,} bytes with SHA-256 "
            f"{other.sha256[:12]}..."
        )
    return here
