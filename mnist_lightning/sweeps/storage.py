"""Where a study is kept, and how it is opened: the same for the search and for each of its trials."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.exceptions import OptunaError, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
    SQLAlchemyError,
)

from mnist_lightning.errors import UserError, not_installed

FILE = "study.db"
PATIENCE = 120.0  # seconds to wait for a database that is busy or being restarted
PAUSE = 0.5  # seconds between two tries
CANNOT_OPEN = (SQLAlchemyError, OptunaError, ImportError, ValueError, RuntimeError, AssertionError)
T = TypeVar("T")


def url(search: Mapping[str, Any], folder: Path) -> str:
    """The Optuna URL of a study.

    By default an SQLite file, not Optuna's journal file: SQLite rolls back what a process killed at the wrong moment
    left half written. In a journal, half a line spoils everything after it, and a lock left behind blocks everybody
    for half a minute.

    Args:
        search: the `search` settings.
        folder: the study's folder.
    """
    given = search["storage"]
    if given is None:
        place = str((folder / FILE).resolve())
        return URL.create("sqlite", database=place).render_as_string()
    with contextlib.suppress(SQLAlchemyError):  # `connect` says what is wrong with it
        found = make_url(given)
        if found.drivername == "postgresql" and find_spec("psycopg"):  # SQLAlchemy's default depends on its version
            return found.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    return given


_opened: list[RDBStorage] = []


@functools.cache
def connect(address: str) -> RDBStorage:
    """Open a storage, once per process.

    Raises:
        UserError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its warnings are about its future versions
    options: dict[str, Any] = {"pool_pre_ping": True}
    if address.startswith("sqlite"):
        options = {"connect_args": {"timeout": PATIENCE}}
    tries = 5
    while True:
        try:
            _opened.append(RDBStorage(address, engine_kwargs=options))
            return _opened[-1]
        except CANNOT_OPEN as error:  # noqa: PERF203
            tries -= 1
            if isinstance(error, IntegrityError | ProgrammingError) and tries:  # another process makes the same tables
                time.sleep(PAUSE)
                continue
            if absent := not_installed(error):
                raise absent from None
            raise UserError(
                f"The storage {shown(address)} cannot be opened ({_reason(error)}): give an Optuna URL such as "
                "sqlite:///study.db or postgresql://user:password@host/database as search.storage=, or null."
            ) from None


def patiently(call: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Call, again and again while the database is unavailable: being restarted, or locked by another process.

    Raises:
        Any error that `call` raises for another reason, or still raises after `seconds`.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            return call()
        except (StorageInternalError, SQLAlchemyError) as error:  # noqa: PERF203
            if not is_away(error) or time.monotonic() > until:
                raise
            forget_session()
            time.sleep(PAUSE)


def is_away(error: BaseException) -> bool:
    """Whether an error says that the database cannot be reached for the moment."""
    away = OperationalError | InterfaceError | PendingRollbackError
    return isinstance(error, away) or isinstance(error.__cause__, away)


def forget_session() -> None:
    """Start a new session after an error: one whose connection was lost refuses everything after that."""
    for each in _opened:
        with contextlib.suppress(SQLAlchemyError):
            each.remove_session()


@contextlib.contextmanager
def readable(address: str, opening: bool = False) -> Iterator[None]:
    """Report an error of the study's storage in the block as one sentence.

    Args:
        address: that of the storage.
        opening: whether only the storage is read in the block, so that any error is about what is in it.

    Raises:
        UserError: the storage is damaged, or does not hold what Optuna writes.
    """
    try:
        yield
    except (SQLAlchemyError, OptunaError, ValueError, LookupError, AssertionError, TypeError) as error:
        if not opening and not isinstance(error, SQLAlchemyError | OptunaError):
            raise
        raise UserError(
            f"The study in {shown(address)} cannot be read ({_reason(error)}): move it away, or begin another with "
            "search.study=."
        ) from error


def _reason(error: BaseException) -> str:
    inner = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    return " ".join(str(inner).split("\n")[0].split()) or type(inner).__name__


def shown(address: str) -> str:
    """A storage's URL without its password."""
    try:
        return make_url(address).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return address
