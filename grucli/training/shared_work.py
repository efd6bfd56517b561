"""What all ranks of a run do together: steps, evaluations, and copies of what they hold."""

import math
from collections.abc import Callable

import numpy as np

from grucli import evaluation
from grucli.evaluation import Score, Stopped
from grucli.nn.model import Model
from grucli.run.checkpoint import Checkpoint
from grucli.training.plan import Plan
from grucli.training.ranks import ALONE, Command, Ranks
from grucli.training.step import TrainStep, Update


class SharedWork:
    """The work that the ranks of a run share. Each rank has such an object; it must be closed.

    Each rank holds all parameters and moments, and applies equal updates to them. It knows the
    states of its own streams.

    Args:
        plan: the plan of the run.
        checkpoint: the state of the run; changed in place.
        ranks: the ranks. On rank 0, each method is carried out by all of them.
    """

    def __init__(self, plan: Plan, checkpoint: Checkpoint, ranks: Ranks = ALONE) -> None:
        self.plan, self.checkpoint, self.ranks = plan, checkpoint, ranks
        self.train_step = TrainStep(plan, checkpoint, ranks)
        if not ranks.rank:
            self.synchronize()

    def close(self) -> None:
        """End the worker processes."""
        self.train_step.close()

    # ---- what rank 0 calls

    def step(self, progress: float) -> Update:
        """Train on the next window; argument and result as in ``TrainStep``."""
        with self.ranks.command(Command.STEP, progress, self.checkpoint.progress.lr_factor):
            return self.train_step(progress)

    def rehearse(self) -> None:
        """Compute the gradients of the first window and discard them."""
        with self.ranks.command(Command.REHEARSE):
            self.train_step.rehearse()

    def synchronize(self) -> None:
        """Give all ranks the state of the run as rank 0 has it."""
        where = self.checkpoint.progress
        counts = where.step, where.skipped, where.consecutive_nonfinite
        with self.ranks.command(Command.SYNCHRONIZE, *counts):
            self._send()

    def collect_states(self) -> None:
        """Give all ranks the states of all streams, before a checkpoint is written."""
        with self.ranks.command(Command.COLLECT):
            self._collect()

    def validation_losses(self, stop: Callable[[], bool]) -> list[float]:
        """The validation losses of the weights and, if there is one, of their average.

        Raises:
            Stopped: ``stop`` returned True.
            RunError: the ranks do not have equal parameters.
        """
        with self.ranks.command(Command.EVALUATE):
            scores = self._evaluate(stop)
        if scores is None:
            raise Stopped
        return [score.loss for score in scores]

    # ---- what the other ranks do

    def follow(self, command: Command, numbers: list[float]) -> None:
        """Carry out a command of rank 0."""
        where = self.checkpoint.progress
        if command == Command.STEP:
            progress, where.lr_factor, _ = numbers
            self.train_step(progress)
        elif command == Command.REHEARSE:
            self.train_step.rehearse()
        elif command == Command.SYNCHRONIZE:
            where.step, where.skipped, where.consecutive_nonfinite = map(int, numbers)
            self._send()
        elif command == Command.COLLECT:
            self._collect()
        elif command == Command.EVALUATE:
            self._evaluate(lambda: self.ranks.signal != 0)

    # ---- the work

    def _send(self) -> None:
        checkpoint = self.checkpoint
        for array in (checkpoint.model.params.flat, checkpoint.moments.m, checkpoint.moments.v):
            self.ranks.broadcast_(array)
        if checkpoint.ema is not None:
            self.ranks.broadcast_(checkpoint.ema.flat)
        self.ranks.broadcast_(checkpoint.state)

    def _collect(self) -> None:
        own, state = self.train_step.own, self.checkpoint.state
        everything = np.zeros_like(state)
        everything[:, own] = state[:, own]
        self.ranks.sum_(everything.view(np.int32))  # the other ranks have zeros there
        state[:] = everything

    def _evaluate(self, stop: Callable[[], bool]) -> list[Score] | None:
        """The scores of the weights and of their average; None if a rank was stopped."""
        checkpoint, exact = self.checkpoint, self.plan.products.in_float32
        self.ranks.check_equal(checkpoint.model.params.flat)
        models = [checkpoint.model] + [checkpoint.averaged()] * (checkpoint.ema is not None)
        scores = []
        for model in models:
            score = self._score(model.on(exact), stop)
            if score is None:
                return None
            scores.append(score)
        return scores

    def _score(self, model: Model, stop: Callable[[], bool]) -> Score | None:
        """The score of the validation text, of which each rank reads a part."""
        ranks, val = self.ranks, self.plan.splits.val
        part = (ranks.rank, ranks.size)
        try:
            score = evaluation.evaluate(model, val, self.plan.workers, stop, part=part)
            sums = np.array([score.chars, score.nats, score.correct])
        except Stopped:
            sums = np.full(3, math.nan)
        ranks.sum_(sums)
        chars, nats, correct = sums.tolist()
        return None if math.isnan(chars) else Score(int(chars), nats, int(correct))
