"""Dynamic evaluation of a run: the choice of its rates, and a run with the adapted weights."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from grucli.errors import CheckpointError, CorpusError, UsageError
from grucli.evaluation import DECAY, RATE, best_rates
from grucli.language_model import Adapted
from grucli.run.checkpoint import Progress
from grucli.run.records import ADAPTED
from grucli.run.run import Run
from grucli.run.writer import write_run

CHARS = 2**14  # symbols on which the rate and the decay are chosen
KEPT = ("versions", "corpus", "parameters", "model", "dropout")  # facts of the trained run


class Rates(NamedTuple):
    """What ``LanguageModel.adapt`` needs, and the text on which it was chosen."""

    rate: float = RATE
    decay: float = DECAY
    chosen_on: str | None = None  # None: they are the defaults


def choose_rates(run: Run, judged: str | None = None) -> Rates:
    """Choose on validation text; on training text if that is ``judged``; else take the defaults."""
    try:
        ids, part = run.part("val")[:CHARS], "first {:,} {}s of the validation text"
        if judged == "val" or len(ids) < 2:
            ids, part = run.part("train")[-CHARS:], "last {:,} {}s of the training text"
    except (CheckpointError, CorpusError):
        return Rates()
    return Rates(*best_rates(run.lm.model, ids), part.format(len(ids), run.noun))


def check_new(path: Path) -> None:
    """Refuse a path at which something exists, or no directory can be made."""
    if os.path.lexists(path):
        raise UsageError(f"{path}: exists already; name a new run directory")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise UsageError(f"{path}: {path.parent} is not a directory that can be written to")


def save(run: Run, adapted: Adapted, path: Path, facts: dict[str, Any]) -> None:
    """Write a run with the adapted weights, completely or not at all; ``facts`` go to run.json."""
    checkpoint = run.checkpoint.with_weights(adapted.lm.model, Progress())
    origin = {"path": str(run.path.resolve()), "sha256": run.sha256, **facts}
    origin |= {"loss": adapted.score.loss, "static_loss": adapted.static.loss}
    write_run([path], checkpoint, {"status": ADAPTED, **kept_facts(run), "adapted": origin})


def kept_facts(run: Run) -> dict[str, Any]:
    """What run.json of a run with other weights says of the run that they come from."""
    known = run.info.to_dict()
    known["corpus"] = {**known.get("corpus", {}), "paths": run.paths}
    return {key: known[key] for key in KEPT if key in known}
