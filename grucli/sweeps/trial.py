"""A trial of a study: what is known of it, and what its worker tells about it."""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from grucli.config import Values
from grucli.files import Lock
from grucli.sweeps.optuna_storage import quietly

if TYPE_CHECKING:
    import optuna

    from grucli.sweeps.study import Study

TENTHS = 10
"""Losses are reported at each tenth of a trial's budget: trials with other batches or other speeds
have other steps, but all of them have tenths."""

ATTRIBUTE = "grucli"
"""The attribute of a trial that holds its ``Work``."""

LOST = 5
"""A trial whose worker dies so often in a row without a new checkpoint is given up."""

Kind = Literal["impossible", "diverged", "failed"]
"""Why a trial has no result: its settings are impossible, its loss is not finite, or its worker
dies again and again or its run cannot be read."""


def trial_name(number: int) -> str:
    """The name of the run directory and of the claim of a trial."""
    return f"trial-{number:04d}"


@dataclass(frozen=True)
class Trial:
    """A trial of a study.

    Attributes:
        number: its number, from 0.
        status: done, pruned, impossible, diverged, failed, running, stopped (the next worker goes
            on with it), or elsewhere (a worker with another folder has it).
        loss: its lowest validation loss, in nats per character.
        step: the step of this loss.
        values: the values of the parameters, by dotted key.
        problem: why it has no result.
        run: the name of its run directory.
    """

    number: int
    status: str
    loss: float | None
    step: int | None
    values: Values
    problem: str | None
    run: str

    def to_dict(self) -> dict[str, Any]:
        """The trial for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Work:
    """What workers have noted about a trial.

    Attributes:
        folder: the id of the folder of its run directory.
        host: the machine of its last worker.
        pid: the process of its last worker.
        sessions: when its workers began and were last heard of, in seconds of the clock.
        left: whether the last worker has left it on purpose.
        lost: the steps of the last checkpoint at each death of a worker.
        loss: its lowest validation loss.
        step: the step of this loss.
        kind: why it has no result, in one word.
        problem: why it has no result.
    """

    folder: str = ""
    host: str = ""
    pid: int = 0
    sessions: Sequence[tuple[float, float]] = ()
    left: bool = True
    lost: Sequence[int] = ()
    loss: float | None = None
    step: int | None = None
    kind: Kind | None = None
    problem: str | None = None

    @classmethod
    def of(cls, attributes: dict[str, Any]) -> "Work":
        """The work that the attributes of a trial tell."""
        return cls(**attributes.get(ATTRIBUTE, {}))

    def to_attributes(self) -> dict[str, Any]:
        """The attributes of a trial that tell this work."""
        return {ATTRIBUTE: asdict(self)}


class TakenTrial:
    """A trial that this process trains. It must be closed, which releases its claim.

    Args:
        study: its study.
        trial: Optuna's trial.
        values: the values of the parameters, by dotted key.
        claim: the lock that this process holds.
        again: whether it had a worker before.

    Attributes:
        number: its number.
        path: its run directory, which may not exist.
        told: whether its result was told.
        reported: the last tenth whose loss was reported before; 0 if there is none.
    """

    def __init__(
        self, study: "Study", trial: "optuna.Trial", values: Values, claim: Lock, *, again: bool
    ) -> None:
        self.study, self.values, self.again = study, values, again
        self.number: int = trial.number
        self.path: Path = study.folder / trial_name(self.number)
        self.told, self.reported = False, max(study.reported(self.number), default=0)
        self._trial, self._claim = trial, claim
        self._work = Work.of(trial.user_attrs)

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
        self._note_time()
        with quietly(self.study.place):
            for tenth in tenths:
                self._trial.report(loss, tenth)
            return max(tenths) < TENTHS and self._trial.should_prune()

    def tell(self, loss: float, step: int | None, *, complete: bool) -> None:
        """Tell the result of a trial that is at its end or was pruned."""
        from optuna.trial import TrialState

        self._note_time(loss=loss, step=step)
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        value = loss if complete else None
        with quietly(self.study.place):
            self._trial.study.tell(self.number, value, state)
        self.told = True

    def refuse(self, kind: Kind, problem: str) -> None:
        """Tell that a trial has no result.

        It counts as pruned: TPE leaves out failed trials, but avoids the values of pruned ones.
        """
        from optuna.trial import TrialState

        self._note_time(kind=kind, problem=problem)
        with quietly(self.study.place):
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
        with quietly(self.study.place):
            for key, value in self._work.to_attributes().items():
                self._trial.set_user_attr(key, value)
