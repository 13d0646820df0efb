"""Keeps what people say in step: the page's store and the catalog's table of decisions.

The page decides in its own store; rebuilds read the catalog. Before the set is judged, the page's
words are copied there. Words that were said elsewhere, by `nonesuch decide` or before the store was
lost, go the other way.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from data_catalog.catalog import Catalog
from data_catalog.decisions import record
from data_catalog.schema import DECISIONS
from flows.settings import ConfigError, DatasetConfig
from review_ui.errors import StoreError
from review_ui.store import clock, exchange
from review_ui.store.database import Database, open_database
from review_ui.store.deciding import Decision

STORE: Final = "review.sqlite"
# Gives a word of the command line the same uuid each time that it is looked at.
_SPACE: Final = uuid.UUID("d0a2a3a1-9f0b-4f53-8a54-1c6a2f0e77b5")
_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Exchanged:
    """How many words went which way."""

    to_catalog: int
    to_store: int


def store_url(config: DatasetConfig) -> str:
    """Give the SQLAlchemy URL of the review store.

    Raises
    ------
    ConfigError
        If the catalog is remote and no database is named.
    """
    if config.review.database:
        return config.review.database.get_secret_value()
    root = config.dataset.root
    if "://" in root:
        raise ConfigError(
            f"`review.database` is needed where `dataset.root` is remote ({root}), "
            'e.g. "postgresql://user@host/review" or "sqlite:////folder/review.sqlite"'
        )
    return f"sqlite:///{root}/{STORE}"


@contextlib.contextmanager
def open_store(config: DatasetConfig) -> Iterator[Database]:
    """Open the review store; it is made where there is none."""
    database = open_database(store_url(config))
    try:
        yield database
    finally:
        database.close()


@contextlib.contextmanager
def open_existing_store(config: DatasetConfig) -> Iterator[Database]:
    """Open the review store, where there is one.

    Raises
    ------
    StoreError
        If there is none.
    """
    if not _has_store(config):
        raise StoreError(
            f"{store_url(config)} is not there yet; `nonesuch review` makes it, or name another "
            "in `review.database`"
        )
    with open_store(config) as database:
        yield database


def exchange_decisions(config: DatasetConfig, catalog: Catalog) -> Exchanged:
    """Copy what is new from the review store into the catalog, and the other way round.

    Nothing happens where nobody ever reviewed.

    Raises
    ------
    StoreError
        If the store cannot be opened: without it, a rebuild would not know what people said.
    """
    if not _has_store(config):
        return Exchanged(0, 0)
    with open_store(config) as database:
        return exchange_with(database, catalog)


def _has_store(config: DatasetConfig) -> bool:
    """Tell whether there is a store; one that is no file is taken to be there."""
    if "://" in config.dataset.root and not config.review.database:
        return False
    try:
        url = make_url(store_url(config))
    except ArgumentError:
        return True  # what is wrong with it is said when it is opened
    return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()


def exchange_with(database: Database, catalog: Catalog) -> Exchanged:
    """As `exchange_decisions`, with a store that is open; it may be under way elsewhere too."""
    with database.reading() as connection:
        # Before the catalog is read: a word that another exchange brings from there into the store
        # in between must not go back as a new one.
        said = exchange.rows_of(connection, whole_history=True)
        rows = catalog.table("decisions").read().sort_by("decided_at").to_pylist()
        added = _to_catalog(catalog, said, {_event(row) for row in rows})
    return Exchanged(added, _to_store(database, rows))


def _to_catalog(catalog: Catalog, said: Iterable[dict[str, Any]], known: Set[str]) -> int:
    fresh: list[dict[str, Any]] = []
    added = 0
    for row in said:
        if row["event"] not in known:
            fresh.append(_catalog_row(row))
        if len(fresh) >= _ROWS:
            added += _record(catalog, fresh)
            fresh = []
    return added + _record(catalog, fresh)


def _record(catalog: Catalog, rows: Sequence[dict[str, Any]]) -> int:
    if rows:
        record(catalog, pa.Table.from_pylist(list(rows), schema=DECISIONS))
    return len(rows)


def _catalog_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "item_id": row["item"],
        "verdict": row["verdict"],
        "note": row["note"] or None,
        "tags": row["tags"],
        "reasons": row["reasons"],
        "reviewer": row["reviewer"],
        "decided_at": clock.to_datetime(row["decided_at"]),
        "event": row["event"],
    }


def _to_store(database: Database, rows: Sequence[dict[str, Any]]) -> int:
    with database.reading() as connection:
        known = exchange.known_events(connection)
    fresh = [_decision(row) for row in rows if _event(row) not in known]
    return exchange.take_in_all(database, fresh, "", "catalog").saved


def _decision(row: dict[str, Any]) -> Decision:
    # The command line says a verdict, and of the rest only what is new.
    is_whole = row["event"] is not None
    before = () if is_whole else None
    return Decision(
        uuid=_event(row),
        item=row["item_id"],
        verdict=row["verdict"],
        reasons=before if row["reasons"] is None else tuple(row["reasons"]),
        tags=before if row["tags"] is None else tuple(row["tags"]),
        note=row["note"] or ("" if is_whole else None),
        reviewer=row["reviewer"],
        decided_at=clock.to_micros(row["decided_at"]),
    )


def _event(row: dict[str, Any]) -> str:
    """Give the uuid of a word; one that has none gets the same each time."""
    if row["event"] is not None:
        return str(row["event"])
    said = "|".join(
        (row["item_id"], row["verdict"], row["reviewer"], row["decided_at"].isoformat())
    )
    return str(uuid.uuid5(_SPACE, said))
