"""Copies the store while it is in use."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from review_ui.errors import StoreError
from review_ui.store.database import Database, translated_plain


def back_up(database: Database, target: Path) -> int:
    """Write a whole, checked copy of an SQLite store; give its size in bytes.

    Reviewers may decide meanwhile: the copy is of one instant.

    Raises
    ------
    StoreError
        If the target exists, cannot be written, or the store is on PostgreSQL.
    """
    source = database.path
    if source is None:
        raise StoreError("a PostgreSQL store is backed up by its own tools, e.g. pg_dump -Fc")
    if target.exists():
        raise StoreError(f"{target} exists already; name another file")
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with translated_plain(str(target)):
            _copy(source, partial)
        _name(partial, target)
        return target.stat().st_size
    except FileExistsError as error:
        raise StoreError(f"{target} exists already; name another file") from error
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror}; choose another place") from error
    finally:
        partial.unlink(missing_ok=True)


def _name(partial: Path, target: Path) -> None:
    """Give the file its name; never in place of what somebody else put there meanwhile."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no links: there the name is taken first.
        target.open("xb").close()
        partial.replace(target)


def _copy(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source)) as reader,
        contextlib.closing(sqlite3.connect(target)) as writer,
    ):
        reader.backup(writer)
        writer.execute("PRAGMA journal_mode = DELETE")
        (verdict,) = writer.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise StoreError(f"{source} is damaged: {verdict}; restore it from an earlier backup")
    with target.open("rb") as file:
        os.fsync(file.fileno())
