"""Trainers of small runs, for tests."""

import csv
from collections.abc import Iterable
from pathlib import Path

from grucli.config import Settings, resolve
from grucli.data.corpus import read
from grucli.files import sha256
from grucli.run import checkpoint as checkpoints
from grucli.run.writer import RunWriter
from grucli.training.events import Event, RolledBack, Stepped
from grucli.training.plan import Plan, make_plan, resume, start
from grucli.training.trainer import Trainer

BASE = {
    "model.hidden": 12,
    "model.layers": 2,
    "model.dropout": 0.1,
    "train.batch": 4,
    "train.window": 16,
    "train.steps": 24,
    "train.eval_every": 10,
    "train.log_every": 5,
    "sample.length": 20,
    "optim.lr": 0.01,
    "optim.warmup": 2,
}


def settings_with(**changes: object) -> Settings:
    values = dict(BASE)
    for key, value in changes.items():
        values[key.replace("__", ".")] = value
    return resolve([("test", values)])


def plan_for(text: str, **changes: object) -> Plan:
    settings = settings_with(**changes)
    return make_plan(settings, read([text], settings.data))


def trainer_for(plan: Plan, name: str = "run") -> Trainer:
    run = RunWriter.create(Path("runs"), name, start(plan), {}, {})
    run.write_info({})
    return Trainer(plan, start(plan), run)


def follow(trainer: Trainer, stop_at: int | None = None) -> list[Event]:
    where = trainer.checkpoint.progress
    return list(trainer.train(lambda: stop_at is not None and where.step >= stop_at))


def resumed(trainer: Trainer, plan: Plan) -> Trainer:
    """A new trainer that goes on from the last checkpoint of another."""
    checkpoint = checkpoints.read(trainer.run.checkpoints.find("last"))
    trainer.run.drop_after(checkpoint.progress.step)
    return Trainer(plan, resume(plan, checkpoint), trainer.run)


def last(trainer: Trainer) -> str:
    return sha256(trainer.run.checkpoints.find("last"))


def rows(trainer: Trainer, *without: str) -> list[dict[str, str]]:
    with (trainer.run.path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [
            {key: value for key, value in row.items() if key not in without}
            for row in csv.DictReader(file)
        ]


def losses(events: Iterable[Event]) -> list[float]:
    return [event.loss for event in events if isinstance(event, Stepped)]


def returns(events: Iterable[Event]) -> list[tuple[int, float]]:
    return [(event.step, event.lr_factor) for event in events if isinstance(event, RolledBack)]
