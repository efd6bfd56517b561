"""The storage of a study: Optuna's journal beside the runs, or a database; and their locks."""

import os
import re
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import exc
from sqlalchemy.engine import URL, make_url

from grucli.errors import GrucliError, RunError, UsageError
from grucli.files import NO_LOCKS, Lock, LockError, open_own

JOURNAL = "study.journal"  # the file of a study that lies beside its runs
PATIENCE = 120.0  # seconds to wait for a lock that is held for moments only
TESTED = {"pool_pre_ping": True}  # a connection that was not used for hours may be broken
ATTEMPTS = 5  # to make the tables, which several workers may do at the same time
# a URL that is shown; in any other, a part of a password may stand in another place
PLAIN = re.compile(r"[\w+]+://([\w.-]*(:\*\*\*)?@)?[\w.:\[\]-]*(/[\w./ -]*)?")


@contextmanager
def quietly(storage_name: str) -> Iterator[None]:
    """Call Optuna without its log and its warnings, and with its errors as ours."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except LockError as error:
        raise (UsageError if error.errno in NO_LOCKS else RunError)(
            f"{error.filename}: cannot be locked: {error.strerror}; without locks, two workers "
            "could train the same trial. Try again, or choose another directory with --runs-dir"
        ) from None
    except OSError as error:
        what = f"{error.filename or storage_name}: {error.strerror or error}"
        raise RunError(f"{what}; the same command goes on later") from None
    except (GrucliError, MemoryError):
        raise
    except (exc.SQLAlchemyError, StorageInternalError) as error:
        what = f"{storage_name}: {_reason(error)}"
        raise RunError(f"{what}; the same command goes on later") from None
    except Exception as error:  # Optuna raises many kinds for lines that it has not written
        raise RunError(f"{storage_name}: damaged, or not a study of Optuna and grucli") from error
    finally:
        optuna.logging.set_verbosity(level)


# ---- a journal


class WaitingLock(Lock):
    """A lock that is held for moments only, so that others wait for it."""

    def acquire(self) -> bool:
        """Take the lock; RunError if another process holds it for minutes."""
        end = time.monotonic() + PATIENCE
        while not super().acquire():
            if time.monotonic() > end:
                raise RunError(
                    f"{self.path}: process {self.holder()} does not release this lock; "
                    "is it stopped, or does its disk not answer?"
                )
        return True

    def __enter__(self) -> "WaitingLock":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class JournalLock(WaitingLock):
    """The lock for writing to a journal; a full disk may have left an incomplete line at its end.

    Optuna's own locks stay behind when a process is killed, and are broken when a live one is slow.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(journal.with_name("journal.lock"))
        self.journal = journal

    def acquire(self) -> bool:
        super().acquire()
        try:
            with open_own(self.journal, "rb+") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 1))
                if file.read() not in (b"", b"\n"):
                    file.seek(0)
                    file.truncate(file.read().rfind(b"\n") + 1)
        except BaseException:
            self.release()
            raise
        return True


def journal(folder: Path) -> BaseStorage:
    path = folder / JOURNAL
    lock: Any = JournalLock(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


# ---- a database


def open_database(url: str) -> BaseStorage:
    """The storage at a URL of Optuna; its tables are made if there are none."""
    shown = without_password(url)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            database = RDBStorage(url, engine_kwargs=TESTED)
            storage = get_storage(database)  # with the cache that a study would add for itself
            weakref.finalize(storage, database.engine.dispose)  # closes the connection
            return storage
        except ImportError as error:
            driver = getattr(error.__cause__, "name", None) or _parsed(url).get_driver_name()
            package = "psycopg[binary]" if driver == "psycopg" else driver
            problem = f"the driver {driver} is not installed; install {package} with pip"
            raise UsageError(f"--storage {shown}: {problem}") from None
        except Exception as error:  # drivers raise many kinds for options that they do not know
            is_race = isinstance(error, exc.IntegrityError | exc.ProgrammingError)
            if attempt == ATTEMPTS or not is_race:
                raise UsageError(f"--storage {shown}: {_reason(error)}") from None
            time.sleep(0.2)
    raise AssertionError


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (exc.ArgumentError, ValueError):  # shown in no message: it may be a password
        raise UsageError(
            "--storage: write a URL such as postgresql://user@host/database; without --storage, "
            "the study lies beside its runs"
        ) from None


def without_password(url: str) -> str:
    """A URL for messages and files, without password and options; UsageError if it is no URL."""
    parsed = _parsed(url).set(query={})
    text = parsed.render_as_string()
    plain = PLAIN.fullmatch(text) and not {*"/?#@"} & {*(parsed.password or "")}
    return text if plain else f"{parsed.drivername}://***"


def _reason(error: BaseException) -> str:
    """What is wrong, without the text of the driver, which may contain a password."""
    cause = error if hasattr(error, "orig") else error.__cause__ or error
    if isinstance(cause, exc.OperationalError):
        return "does not answer, or does not accept the user, the password or the database"
    if isinstance(cause, RuntimeError):
        return "its tables are those of another version of Optuna"
    return f"cannot be used ({type(getattr(cause, 'orig', None) or cause).__name__})"


# ---- either


def connect(folder: Path, url: str | None) -> tuple[str, BaseStorage | None]:
    """The name of the storage, for messages, and the database if it is one."""
    if url is None:
        return str(folder / JOURNAL), None
    with quietly(storage_name := without_password(url)):
        return storage_name, open_database(url)
