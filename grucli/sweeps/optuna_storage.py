"""The storage of a study: Optuna's journal beside the runs, or a PostgreSQL database.

Optuna is imported when it is used. The extra ``sweep`` installs it.
"""

import importlib.util
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grucli.errors import RunError, UsageError
from grucli.files import NO_LOCKS, LockError
from grucli.sweeps.locks import JournalLock

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL = "study.journal"
"""The file of a study that lies beside its runs."""

DRIVERS = ("psycopg", "psycopg2")
"""Packages that talk to PostgreSQL; the first one that is installed is used."""

ONE_CONNECTION = {"pool_size": 1, "pool_pre_ping": True}
"""Options of SQLAlchemy: a server allows about a hundred connections, so a worker keeps one. It may
be broken after hours without use, so it is tried first."""

ATTEMPTS = 5
"""Maximum attempts to make the tables: several workers may make them at the same time."""


def check_optuna() -> None:
    """Refuse a sweep if Optuna is not installed.

    Raises:
        UsageError: it is missing; the message tells how to install it.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError(
            'a sweep needs Optuna: in the clone of grucli, pip install ".[sweep]"; '
            "all other commands work without it"
        ) from None


@contextmanager
def quietly(place: str) -> Iterator[None]:
    """Call Optuna without its log and its warnings.

    Args:
        place: the storage, for messages.

    Raises:
        RunError: the storage cannot be read, written or locked.
        UsageError: its file system has no locks.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

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
        what = error.strerror or error
        raise RunError(
            f"{error.filename or place}: {what}; the same command goes on later"
        ) from None
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise RunError(f"{place}: {_first_line(error)}; the same command goes on later") from None
    except (ValueError, KeyError) as error:  # of a line of a journal that is not one of Optuna
        raise RunError(f"{place}: damaged, or not a journal of Optuna: {error}") from error
    finally:
        optuna.logging.set_verbosity(level)


def _first_line(error: BaseException) -> str:
    """The first line of the reason; the others are about SQLAlchemy."""
    reason = getattr(error, "orig", None) or error.__cause__ or error
    reason = getattr(reason, "orig", None) or reason
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0]


def journal(folder: Path) -> "BaseStorage":
    """The storage in the journal of a folder; the file is made if there is none."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = folder / JOURNAL
    lock: Any = JournalLock(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def database(url: str) -> "BaseStorage":
    """The storage in a PostgreSQL database; its tables are made if there are none.

    Raises:
        UsageError: the database cannot be reached, or no driver is installed.
    """
    from optuna.storages import RDBStorage, get_storage
    from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, ProgrammingError

    with_driver = _with_driver(url)
    for attempt in range(ATTEMPTS):
        try:
            made = RDBStorage(with_driver, engine_kwargs=ONE_CONNECTION)
            storage = get_storage(made)  # with the cache that a study would add and keep to itself
            weakref.finalize(storage, made.engine.dispose)  # closes the connection
            return storage
        except (IntegrityError, ProgrammingError):
            if attempt + 1 == ATTEMPTS:
                raise
            time.sleep(0.2)
        except (ArgumentError, OperationalError, RuntimeError) as error:
            # RuntimeError: the tables are those of another version of Optuna
            raise UsageError(f"--storage {without_password(url)}: {_first_line(error)}") from None
    raise AssertionError


def _with_driver(url: str) -> str:
    """The URL with the driver that is installed, unless it names one."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise UsageError(
            f"--storage {without_password(url)}: write a URL such as "
            "postgresql://user@host/database; without --storage, the study lies beside its runs"
        )
    if "+" in scheme:
        return url
    for driver in DRIVERS:
        if importlib.util.find_spec(driver):
            return f"postgresql+{driver}://{rest}"
    raise UsageError('--storage needs a driver for PostgreSQL: pip install "psycopg[binary]"')


def without_password(url: str) -> str:
    """A URL for messages and files, whose password is replaced by stars."""
    scheme, separator, rest = url.partition("://")
    name, at, host = rest.rpartition("@")
    user, colon, _ = name.partition(":")
    options = "?***" if "password" in host.partition("?")[2] else ""
    shown = host.partition("?")[0] + options if options else host
    return f"{scheme}{separator}{user}{':***' if colon else ''}{at}{shown}"
