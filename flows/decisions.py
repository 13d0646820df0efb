"""Keeps what people say in step: the page's store and the catalog's table of decisions.

The page decides in its own store; rebuilds read the catalog. Before the set is judged, the page's
words are copied there. Words that were said elsewhere, by `nonesuch decide` or before the store was
lost, go the other way.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from data_catalog.catalog import Catalog
from data_catalog.decisions import record
from data_catalog.schema import DECISIONS
from flows.settings import ConfigError, DatasetConfig
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
        return config.review.database
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


def exchange_decisions(config: DatasetConfig, catalog: Catalog) -> Exchanged:
    """Copy what is new from the review store into the catalog, and the other way round.

    Nothing happens where nobody ever reviewed.

    Raises
    ------
    StoreError
        If the store cannot be opened: without it, a rebuild would not know what people said.
    """
    if not config.review.database and not _has_store(config):
        return Exchanged(0, 0)
    with open_store(config) as database:
        return exchange_with(database, catalog)


def _has_store(config: DatasetConfig) -> bool:
    root = config.dataset.root
    return "://" not in root and (Path(root) / STORE).exists()


def exchange_with(database: Database, catalog: Catalog) -> Exchanged:
    """As `exchange_decisions`, with a store that is open."""
    rows = catalog.table("decisions").read().sort_by("decided_at").to_pylist()
    # What the command line said first: the page's words are newer than what they follow.
    taken = _to_store(database, rows)
    known = {row["event"] for row in rows if row["event"]} | {_uuid(row) for row in rows}
    return Exchanged(_to_catalog(database, catalog, known), taken)


def _to_catalog(database: Database, catalog: Catalog, known: set[str]) -> int:
    fresh: list[dict[str, Any]] = []
    added = 0
    with database.reading() as connection:
        for row in exchange.rows_of(connection, whole_history=True):
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
    fresh = [row for row in rows if (row["event"] or _uuid(row)) not in known]
    if not fresh:
        return 0
    taken = 0
    with database.writing() as connection:
        for reviewer, said in groupby(fresh, key=lambda row: str(row["reviewer"])):
            report = exchange.ImportReport()
            exchange.take_in(connection, map(_decision, said), reviewer, report, "catalog")
            taken += report.saved
    return taken


def _decision(row: dict[str, Any]) -> Decision:
    return Decision(
        uuid=row["event"] or _uuid(row),
        item=row["item_id"],
        verdict=row["verdict"],
        reasons=tuple(row["reasons"] or ()),
        tags=tuple(row["tags"] or ()),
        note=row["note"] or "",
        decided_at=clock.to_micros(row["decided_at"]),
    )


def _uuid(row: dict[str, Any]) -> str:
    said = "|".join(
        (row["item_id"], row["verdict"], row["reviewer"], row["decided_at"].isoformat())
    )
    return str(uuid.uuid5(_SPACE, said))
