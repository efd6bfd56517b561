"""What happens in a sweep, as seen by one worker."""

from dataclasses import dataclass

from grucli.config import Values
from grucli.sweeps.summary import TrialRecord
from grucli.training.events import Event


@dataclass(frozen=True)
class TrialBegun:
    """A trial begins, or goes on after it has lost its worker."""

    number: int  # from 0
    values: Values  # of the settings that have a range, by dotted key
    step: int | None  # of the checkpoint from which it goes on; None if it begins


@dataclass(frozen=True)
class TrialEnded:
    """A trial has ended, and its result is in the study."""

    trial: TrialRecord


@dataclass(frozen=True)
class Waiting:
    """No trial is left to begin; the worker waits in case another worker dies."""


@dataclass(frozen=True)
class Complete:
    """The budget of the study is used, and no trial is left to train; the last event."""


SweepEvent = TrialBegun | TrialEnded | Waiting | Complete | Event
