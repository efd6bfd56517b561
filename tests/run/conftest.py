from pathlib import Path

import numpy as np
import pytest

from grucli.config import resolve
from grucli.data.corpus import read as read_corpus
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint
from grucli.training.plan import make_plan, start
from tests.texts import prose


@pytest.fixture
def checkpoint() -> Checkpoint:
    Path("t.txt").write_text(prose(500) + "é\U0001f600", encoding="utf-8")
    settings = resolve([("", {"model.hidden": 5, "model.layers": 2})])
    plan = make_plan(settings, read_corpus(["t.txt"], settings.data))
    made = start(plan)
    made.progress.step, made.progress.best_loss = 7, 1.25
    made.state[:] = 0.5
    made.moments.m[:] = np.arange(made.moments.m.size)
    return made


@pytest.fixture
def path(checkpoint: Checkpoint) -> Path:
    path = Path("c.npz")
    checkpoints.write(path, checkpoint)
    return path
