"""Small runs that tests begin, stop and resume."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from grucli.config import Values
from grucli.training.preparation import prepare
from grucli.training.request import Request
from grucli.training.session import Session
from grucli.training.trainer import Trainer

SMALL: Values = {
    "model.hidden": 8,
    "train.batch": 4,
    "train.window": 16,
    "train.workers": 1,
    "train.eval_every": 10,
    "train.log_every": 5,
    "train.steps": 40,
    "train.keep": 1,
    "sample.length": 12,
}


Prepare = Callable[[Trainer], object]


def values(**changes: Any) -> Values:
    return {key.replace("__", "."): value for key, value in changes.items()}


def new(**changes: Any) -> Session:
    return prepare(Request("text.txt", values=SMALL | values(**changes), origin="test"))


def again(run: Path, *sources: str, **changes: Any) -> Session:
    return prepare(Request(sources, values=values(**changes), origin="test", resume=run))


def from_weights(origin: Path, given: Values, **others: Any) -> Session:
    return prepare(Request("text.txt", values=given, init_from=origin, **others))


def train(
    session: Session, stop_at: int | None = None, prepare: Prepare = lambda _: None
) -> tuple[Path, list[object]]:
    """Train to the end or to a step; the run and its events."""
    with closing(session), session.trainer() as trainer:
        prepare(trainer)
        where = trainer.checkpoint.progress
        events = list(trainer.train(lambda: stop_at is not None and where.step >= stop_at))
    return trainer.run.path, list(events)


def sample_of(run: Path, which: str) -> dict[str, Any]:
    return json.loads((run / "checkpoints" / f"{which}.json").read_text())  # type: ignore[no-any-return]
