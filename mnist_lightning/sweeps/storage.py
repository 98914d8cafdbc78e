"""Where a study is kept, and how it is opened: the same for the search and for each of its trials."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from mnist_lightning.errors import UserError

FILE = "study.db"
PATIENCE = 60  # seconds to wait for another process that is writing to the same SQLite file


def url(search: Mapping[str, Any], folder: Path) -> str:
    """The Optuna URL of a study.

    By default an SQLite file, not Optuna's journal file: what a process killed at the wrong moment had half written,
    SQLite takes back. In a journal a half line spoils all that comes after it, and a lock that is left behind holds
    everybody up for half a minute.

    Args:
        search: the `search` settings.
        folder: the study's folder.
    """
    return search["storage"] or f"sqlite:///{(folder / FILE).resolve()}"


@functools.cache
def connect(address: str) -> RDBStorage:
    """Open a storage, once a process.

    Raises:
        UserError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its warnings are about its own future
    options = {"connect_args": {"timeout": PATIENCE}} if address.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        return RDBStorage(address, engine_kwargs=options)
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error.__cause__ or error).split("\n")[0].split()) or type(error).__name__
        raise UserError(
            f"The storage {shown(address)} cannot be opened ({reason}): give an Optuna URL such as "
            "sqlite:///study.db or postgresql://user:password@host/database as search.storage=, or null."
        ) from None


def shown(address: str) -> str:
    """A storage's URL without its password."""
    try:
        return make_url(address).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return address
