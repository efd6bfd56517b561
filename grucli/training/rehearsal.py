"""A rehearsal of training: how fast this machine is, for the choice of a network."""

import time
from contextlib import suppress

import numpy as np

from grucli import compilation
from grucli.config import Settings
from grucli.defaults import WIDTH
from grucli.nn.model import Model
from grucli.nn.onednn import Unavailable
from grucli.threads import blas_limited_to
from grucli.training.plan import products
from grucli.training.processes import choose_workers
from grucli.training.ranks import Ranks

STREAMS, STEPS = 32, 16  # of one process; so few take less time than other programs leave it
SECONDS, SHARE = 0.5, 0.01  # the most that a rehearsal takes, in seconds and of the budget
LEAST = 3  # repetitions, of which the fastest counts
REST = 0.75  # training also drops out, updates weights, waits for the slowest process and evaluates


def speed(settings: Settings, symbols: int, ranks: Ranks) -> float:
    """The characters that ``WIDTH`` units read in a second, with all processes and ranks."""
    train, backend = settings.train, products(settings)
    processes = choose_workers(train.workers, len(ranks.share(train.batch)), ranks.local)
    model = Model(symbols, WIDTH, 1, cell=settings.model.variant, backend=backend)
    rng = np.random.default_rng(0)
    model.initialize(rng)
    x = rng.integers(0, symbols, (STEPS, STREAMS))
    workspace, grads = model.workspace(STEPS, STREAMS), model.params.like()
    state, packed = model.zero_state(STREAMS), model.packed(STREAMS)
    if backend.compiled:
        with suppress(Unavailable):  # which training will report
            compilation.prepare(model.cell)
    end = time.perf_counter() + min(SECONDS, SHARE * 60 * (train.minutes or 0))
    took: list[float] = []
    with blas_limited_to(1):
        while len(took) < LEAST or time.perf_counter() < end:
            began = time.perf_counter()
            model.loss_and_gradients(x, x, state, workspace, grads, scale=1.0, packed=packed)
            took.append(time.perf_counter() - began)
    return REST * ranks.size * processes * x.size / min(took)
