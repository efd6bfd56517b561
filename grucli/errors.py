"""The errors that a user can cause or correct.

    GrucliError
    ├── UsageError                exit 2: the request cannot be carried out
    │   ├── ArgumentError         an argument is out of its range
    │   ├── SettingsError         a settings file, --set or a flag is wrong
    │   ├── CorpusError           a text cannot be read or is too small
    │   ├── UnknownCharacterError a text has characters that the model never saw
    │   └── CheckpointError       a run or checkpoint is missing, damaged or of another kind
    └── RunError                  exit 1: a run or a check started and failed
        └── DivergedError         the loss, the gradient or the weights are not finite

Every message says what is wrong, where, and what to do.
"""


class GrucliError(Exception):
    """Base of all expected errors; the command line prints the message without a traceback."""

    exit_code = 1


class UsageError(GrucliError):
    """The request cannot be carried out; nothing has been written."""

    exit_code = 2


class ArgumentError(UsageError):
    """An argument is out of its range, which the option of the same name has, too."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name, self.problem = name, problem  # the message without the name

    def of_option(self) -> UsageError:
        """The same error, in the words of the command line."""
        return UsageError(f"--{self.name.replace('_', '-')} {self.problem}")


class SettingsError(UsageError):
    """A key is unknown, or a value has the wrong type or is out of range."""


class CorpusError(UsageError):
    """A text is missing, cannot be decoded or is too small."""


class UnknownCharacterError(UsageError):
    """A text holds characters that are not in the model's vocabulary."""


class CheckpointError(UsageError):
    """A run or checkpoint is missing or damaged, or does not fit."""


class RunError(GrucliError):
    """A run or a check started and failed."""


class WorkerError(RunError):
    """A worker process has ended, or has run out of memory."""


class DivergedError(RunError):
    """The loss, its gradient or the weights of a run are not finite."""
