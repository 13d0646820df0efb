"""What people decided: kept for good, keyed by content, the last one an item counts."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError, ConflictError
from data_catalog.tables import Table

UNDECIDED: Final = "undecided"
"""Takes an earlier decision back."""

_ALLOWED: Final = ("accepted", "rejected", UNDECIDED)
# Whoever is refused so often had as many others write before, each of whom came further.
_TRIES: Final = 50


def record(catalog: Catalog, rows: pa.Table) -> int:
    """Add decisions (schema `DECISIONS`); give the table's version after it.

    Those with an `event` that is there already are left out, so that the same may be added twice,
    also by two at once. Where `tags` is null, those that the item had remain.

    Raises
    ------
    CatalogError
        If a verdict is none of accepted, rejected, undecided.
    ConflictError
        If others write all the time.
    """
    table = catalog.table("decisions")
    fitted = table.fit(rows)
    verdicts: set[Any] = set(fitted["verdict"].to_pylist())
    unknown = verdicts - set(_ALLOWED)
    if unknown:
        raise CatalogError(
            f"`decisions.verdict` must be one of {', '.join(_ALLOWED)}, got {sorted(unknown)}"
        )
    for _ in range(_TRIES - 1):
        with contextlib.suppress(ConflictError):
            return _append_new(table, fitted)
    return _append_new(table, fitted)


def _append_new(table: Table, rows: pa.Table) -> int:
    version = table.version()
    new = pc.invert(_is_known(table, rows["event"]))
    return table.append(rows.filter(new), if_version=version)


def _is_known(table: Table, events: Any) -> Any:
    if events.null_count == len(events):
        return pa.array([False] * len(events))
    known = pc.drop_null(table.read(["event"])["event"].combine_chunks())
    return pc.is_in(events.combine_chunks(), value_set=known)


def latest_decisions(catalog: Catalog) -> dict[str, dict[str, Any]]:
    """Give the decision that holds for each item, by item_id; those taken back are left out.

    Of two decisions at one instant the one whose verdict, then reviewer, sorts last counts, so that
    the outcome does not depend on the order of rows.
    """
    last = _last_rows(catalog)
    return {item: row for item, row in last.items() if row["verdict"] != UNDECIDED}


def human_tags(catalog: Catalog) -> dict[str, dict[str, Any]]:
    """Give the last row of each item that people have tagged, whether they decided it or not."""
    return {item: row for item, row in _last_rows(catalog).items() if row["tags"]}


def _last_rows(catalog: Catalog) -> dict[str, dict[str, Any]]:
    rows = catalog.table("decisions").read()
    order = pc.sort_indices(
        rows,
        sort_keys=[
            ("decided_at", "ascending"),
            ("verdict", "ascending"),
            ("reviewer", "ascending"),
        ],
    )
    last: dict[str, dict[str, Any]] = {}
    for row in rows.take(order).to_pylist():
        if row["tags"] is None and row["item_id"] in last:
            row["tags"] = last[row["item_id"]]["tags"]
        last[row["item_id"]] = row
    return last
