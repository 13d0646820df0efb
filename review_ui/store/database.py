"""Opens the store: SQLite by default, PostgreSQL by URL; brings it to the schema of today."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
    OperationalError,
    PendingRollbackError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionError

from review_ui.errors import DiskFullError, StoreBusyError, StoreError

_WRITES: Final = "nonesuch_writes"
# Held by whoever writes to PostgreSQL: what is checked first still holds when it is written.
_WRITER: Final = 0x6E6F6E65
_MIGRATES: Final = 0x6E6F6E66

_BUSY_MS: Final = 5_000
_CACHE_KIB: Final = 65_536
# Together more than the 40 threads of the server, exports under way, and the writer.
_CONNECTIONS: Final = {"pool_size": 12, "max_overflow": 40}
# Of PostgreSQL: a lock that was not to be had in time.
_LOCKED: Final = "55P03"
_FULL: Final = "53100"


class Database:
    """A decision store. Open it with `open_database`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        """True for SQLite, false for PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    @property
    def path(self) -> Path | None:
        """File of an SQLite store."""
        return Path(str(self.engine.url.database)) if self.is_sqlite else None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the store.

        Raises
        ------
        StoreError
            If the database refuses.
        """
        with translated(), self.engine.connect() as plain:
            if self.is_sqlite:
                yield plain
            else:
                # By default each statement would see what others have committed meanwhile.
                yield plain.execution_options(isolation_level="REPEATABLE READ")

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection as the only writer; commit at the end, durably.

        Raises
        ------
        StoreBusyError
            If another writer does not end in time.
        DiskFullError, StoreError
            If the database refuses; nothing was written.
        """
        with translated(), self.engine.connect() as plain:
            connection = plain.execution_options(**{_WRITES: True})
            with connection.begin():
                if not self.is_sqlite:
                    connection.execute(text(f"SET LOCAL lock_timeout = {_BUSY_MS}"))
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({_WRITER})"))
                yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open a store, make or upgrade its tables.

    Parameters
    ----------
    url
        SQLAlchemy's, e.g. ``sqlite:////data/review.sqlite`` or
        ``postgresql+psycopg://user@host/name``.

    Raises
    ------
    StoreError
        If it cannot be opened; names the URL without its password.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(f"`review.database` must be an SQLAlchemy URL: {error}") from error
    if backend == "postgresql" and parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if backend not in ("sqlite", "postgresql"):
        raise StoreError(f"`review.database` must be sqlite:///… or postgresql://…, got {backend}")
    if backend == "sqlite":
        file = parsed.database
        if not file or file == ":memory:":
            raise StoreError("`review.database` must name a file: sqlite:////folder/review.sqlite")
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{file}: {error.strerror}; choose another place") from error
    database = Database(_engine(parsed))
    try:
        with translated(parsed.render_as_string(hide_password=True)):
            _upgrade(database)
    except BaseException:
        database.close()
        raise
    return database


def _engine(url: Any) -> Engine:
    if url.get_backend_name() == "postgresql":
        try:
            return create_engine(url, pool_pre_ping=True, **_CONNECTIONS)
        except ModuleNotFoundError as error:
            raise StoreError(
                f"PostgreSQL needs {error.name}: pip install 'nonesuch[postgres]'"
            ) from error
    engine = create_engine(
        url,
        **_CONNECTIONS,
        connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transactions begin late and deferred; ours begin where they are told to.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_BUSY_MS}",
        "journal_mode = WAL",
        # An acknowledged decision is on the disk, also after a power cut.
        "synchronous = FULL",
        f"cache_size = -{_CACHE_KIB}",
        "mmap_size = 268435456",
        "temp_store = MEMORY",
        "case_sensitive_like = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    """Take the write lock at once: a transaction that asks for it later may be refused."""
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _upgrade(database: Database) -> None:
    config = Config()
    config.set_main_option(
        "script_location", str(resources.files("review_ui.store") / "migrations")
    )
    with database.engine.connect() as plain:
        connection = plain.execution_options(**{_WRITES: True})
        with connection.begin():
            if not database.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATES})"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


@contextlib.contextmanager
def translated(where: str = "the review database") -> Iterator[None]:
    """Turn the driver's errors into ours, which say what to do."""
    try:
        yield
    except DBAPIError as error:
        raise _meaning(error, where) from error
    except PendingRollbackError as error:  # the connection was lost in the middle
        raise StoreBusyError(f"{where} cannot be reached: {error}; trying again") from error
    except NoConnectionError as error:
        raise StoreBusyError(
            f"all connections to {where} are in use; try again in a moment"
        ) from error


@contextlib.contextmanager
def translated_plain(where: str) -> Iterator[None]:
    """As `translated`, for SQLite's driver without SQLAlchemy around it."""
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error, where) from error


def _meaning(error: DBAPIError | sqlite3.Error, where: str) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = " ".join(str(cause).split())
    state = getattr(cause, "sqlstate", None)
    if "disk is full" in said or state == _FULL:
        return DiskFullError(f"{where}: {said}; free some room, nothing was written")
    if "disk I/O error" in said:
        return StoreError(f"{where}: {said}; the disk fails or is gone, nothing was written")
    if "locked" in said or "busy" in said or state == _LOCKED:
        return StoreBusyError(f"{where} is locked by another program; try again in a moment")
    if "readonly" in said or "read-only" in said:
        return StoreError(f"{where} is read-only; give the server the right to write there")
    if "malformed" in said or "not a database" in said:
        return StoreError(f"{where} is damaged: {said}; restore it from a backup")
    if isinstance(error, OperationalError):
        return StoreBusyError(f"{where} cannot be reached: {said}; trying again")
    return StoreError(f"{where}: {said}")
