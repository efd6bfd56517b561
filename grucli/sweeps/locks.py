"""Locks of a study. All of them are released by the system when their process ends.

Optuna's own locks of a journal stay behind when a process is killed, so that the others wait for
half a minute. Therefore a journal has a lock of this module.
"""

import os
import time
from pathlib import Path
from types import TracebackType

from grucli.errors import RunError
from grucli.files import Lock, open_own

PATIENCE = 120.0
"""Seconds to wait for a lock that is only held for moments."""


class WaitingLock:
    """A lock that is held for moments only, so that others can wait for it.

    Args:
        path: the lock file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock(path)

    def acquire(self) -> bool:
        """Take the lock, and wait for it if need be.

        Raises:
            RunError: another process holds it for minutes.
            OSError: the system cannot lock the file, or the file cannot be written.
        """
        end = time.monotonic() + PATIENCE
        while not self._lock.acquire():
            if time.monotonic() > end:
                raise RunError(
                    f"{self.path}: process {self._lock.holder()} does not release this lock; "
                    "is it stopped, or does its disk not answer?"
                )
        return True

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def __enter__(self) -> "WaitingLock":
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class JournalLock(WaitingLock):
    """The lock for writing to a journal. It first removes a line that was not written completely.

    Such a line, which a full disk or a power cut can leave, would make the next line unreadable.

    Args:
        journal: the file of the journal.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(journal.with_name("journal.lock"))
        self.journal = journal

    def acquire(self) -> bool:
        """Take the lock; errors as in ``WaitingLock``."""
        super().acquire()
        try:
            _cut_torn_line(self.journal)
        except BaseException:
            self.release()
            raise
        return True


def _cut_torn_line(path: Path) -> None:
    with open_own(path, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        if not end:
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def locks_work(path: Path) -> bool:
    """Whether the file system has locks. ``path`` is a lock that this process holds."""
    return not Lock(path).is_free()
