"""A trial that this process trains: what it notes in the storage, and the result that it tells."""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grucli.config import Values
from grucli.files import Lock
from grucli.sweeps.optuna_storage import quietly
from grucli.sweeps.trial import TENTHS, Kind, Work

if TYPE_CHECKING:
    import optuna

LOST = 5
"""A trial whose worker dies so often in a row without a new checkpoint is given up."""


class TakenTrial:
    """A trial that this process trains. It must be closed, which releases its claim.

    Args:
        path: its run directory, which may not exist.
        place: the storage, for messages.
        trial: Optuna's trial.
        values: the values of the parameters, by dotted key.
        claim: the lock that this process holds.
        again: whether it had a worker before.

    Attributes:
        number: its number.
        told: whether its result was told.
        reported: the last tenth whose loss was reported before; 0 if there is none.
    """

    def __init__(
        self,
        path: Path,
        place: str,
        trial: "optuna.Trial",
        values: Values,
        claim: Lock,
        again: bool,
    ) -> None:
        self.path, self.values, self.again = path, values, again
        self.number: int = trial.number
        self.told = False
        self._trial, self._claim, self._place = trial, claim, place
        self._work = Work.of(trial.user_attrs)
        self.reported = self._work.tenth

    def begin(self, step: int | None) -> bool:
        """Note that this process works on the trial.

        Args:
            step: the step of its last checkpoint; None if there is none.

        Returns:
            Whether the trial may be trained: not if its workers die again and again.
        """
        old, clock = self._work, time.time()
        died = self.again and not old.left
        lost = [*old.lost, -1 if step is None else step][-LOST:] if died else list(old.lost)
        self._note(
            host=socket.gethostname(), pid=os.getpid(), left=False, lost=lost,
            sessions=[*old.sessions, (clock, clock)],
        )  # fmt: skip
        return len(lost) < LOST or len(set(lost)) > 1 or not died

    def report(self, loss: float, tenths: Sequence[int]) -> bool:
        """Report the validation loss at some tenths of the budget.

        Returns:
            Whether the trial is to be pruned.
        """
        last = max(tenths)
        with quietly(self._place):
            for tenth in tenths:
                self._trial.report(loss, tenth)
        self._note_time(tenth=last)
        with quietly(self._place):
            return last < TENTHS and self._trial.should_prune()

    def tell(self, loss: float, step: int | None, *, complete: bool) -> None:
        """Tell the result of a trial that is at its end or was pruned."""
        from optuna.trial import TrialState

        self._note_time(loss=loss, step=step)
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        value = loss if complete else None
        with quietly(self._place):
            self._trial.study.tell(self.number, value, state)
        self.told = True

    def refuse(self, kind: Kind, problem: str) -> None:
        """Tell that a trial has no result.

        It counts as pruned: TPE leaves out failed trials, but avoids the values of pruned ones.
        """
        from optuna.trial import TrialState

        self._note_time(kind=kind, problem=problem, loss=None, step=None)
        with quietly(self._place):
            self._trial.study.tell(self.number, None, TrialState.PRUNED)
        self.told = True

    def close(self) -> None:
        """Leave the trial, and release its claim. If it has no result, the next worker goes on."""
        try:
            if not self.told:
                self._note_time(left=True, lost=())
        finally:
            self._claim.release()

    def _note_time(self, **changes: Any) -> None:
        """Note that the worker lives, and other changes."""
        sessions = list(self._work.sessions)
        if sessions:
            sessions[-1] = (sessions[-1][0], time.time())
        self._note(sessions=sessions, **changes)

    def _note(self, **changes: Any) -> None:
        self._work = replace(self._work, **changes)
        with quietly(self._place):
            for key, value in self._work.to_attributes().items():
                self._trial.set_user_attr(key, value)
