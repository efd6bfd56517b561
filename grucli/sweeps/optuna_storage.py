"""The storage of a study: Optuna's journal beside the runs, or a database.

Optuna is imported when it is used. The extra ``sweep`` installs it.
"""

import re
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grucli.errors import GrucliError, RunError, UsageError
from grucli.files import NO_LOCKS, LockError
from grucli.sweeps.locks import JournalLock

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from sqlalchemy.engine import URL

JOURNAL = "study.journal"
"""The file of a study that lies beside its runs."""

TRIED = {"pool_pre_ping": True}
"""Options of SQLAlchemy: a connection that was not used for hours may be broken, so it is tried."""

PLAIN = re.compile(r"[\w+]+://([\w.-]*(:\*\*\*)?@)?[\w.:\[\]-]*(/[\w./ -]*)?")
"""URLs that are shown. In any other, a part of a password may stand in another place."""

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
    except (GrucliError, MemoryError):
        raise
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise RunError(f"{place}: {_reason(error)}; the same command goes on later") from None
    except Exception as error:  # Optuna raises many kinds for lines that it has not written
        raise RunError(f"{place}: damaged, or not a study of Optuna and grucli") from error
    finally:
        optuna.logging.set_verbosity(level)


def journal(folder: Path) -> "BaseStorage":
    """The storage in the journal of a folder; the file is made if there is none."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = folder / JOURNAL
    lock: Any = JournalLock(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def database(url: str) -> "BaseStorage":
    """The storage in a database; its tables are made if there are none.

    Raises:
        UsageError: it is no URL, no driver is installed, or the database cannot be used.
    """
    from optuna.storages import RDBStorage, get_storage
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    parsed, shown = _parsed(url), without_password(url)
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            made = RDBStorage(parsed.render_as_string(hide_password=False), engine_kwargs=TRIED)
            storage = get_storage(made)  # with the cache that a study would add and keep to itself
            weakref.finalize(storage, made.engine.dispose)  # closes the connection
            return storage
        except ImportError as error:
            name = getattr(error.__cause__, "name", None) or parsed.get_driver_name()
            package = "psycopg[binary]" if name == "psycopg" else name
            raise UsageError(
                f"--storage {shown}: the driver {name} is not installed; install {package} with pip"
            ) from None
        except Exception as error:  # drivers raise many kinds for options that they do not know
            if attempt == ATTEMPTS or not isinstance(error, IntegrityError | ProgrammingError):
                raise UsageError(f"--storage {shown}: {_reason(error)}") from None
            time.sleep(0.2)
    raise AssertionError


def _parsed(url: str) -> "URL":
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # the message shows nothing of it: it may be a password
        raise UsageError(
            "--storage: write a URL such as postgresql://user@host/database; without --storage, "
            "the study lies beside its runs"
        ) from None


def without_password(url: str) -> str:
    """A URL for messages and files, without password and options.

    Raises:
        UsageError: it is no URL.
    """
    parsed = _parsed(url).set(query={})
    text = parsed.render_as_string()
    plain = PLAIN.fullmatch(text) and not {*"/?#@"} & {*(parsed.password or "")}
    return text if plain else f"{parsed.drivername}://***"


def _reason(error: BaseException) -> str:
    """What is wrong, without the text of the driver, which may contain a password."""
    from sqlalchemy.exc import OperationalError

    cause = error if hasattr(error, "orig") else error.__cause__ or error
    if isinstance(cause, OperationalError):
        return "does not answer, or does not accept the user, the password or the database"
    if isinstance(cause, RuntimeError):
        return "its tables are those of another version of Optuna"
    return f"cannot be used ({type(getattr(cause, 'orig', None) or cause).__name__})"
