"""What people decided: kept for good, keyed by content, the last one an item counts."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError

UNDECIDED: Final = "undecided"
"""Takes an earlier decision back."""

_ALLOWED: Final = ("accepted", "rejected", UNDECIDED)


def record(catalog: Catalog, rows: pa.Table) -> int:
    """Add decisions (schema `DECISIONS`); give the table's version after it.

    Those with an `event` that is there already are left out, so that the same may be added twice.

    Raises
    ------
    CatalogError
        If a verdict is none of accepted, rejected, undecided.
    """
    table = catalog.table("decisions")
    fitted = table.fit(rows)
    verdicts: set[Any] = set(fitted["verdict"].to_pylist())
    unknown = verdicts - set(_ALLOWED)
    if unknown:
        raise CatalogError(
            f"`decisions.verdict` must be one of {', '.join(_ALLOWED)}, got {sorted(unknown)}"
        )
    return table.append(fitted.filter(pc.invert(_is_known(catalog, fitted["event"]))))


def _is_known(catalog: Catalog, events: Any) -> Any:
    if events.null_count == len(events):
        return pa.array([False] * len(events))
    known = pc.drop_null(catalog.table("decisions").read(["event"])["event"].combine_chunks())
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
    return {row["item_id"]: row for row in rows.take(order).to_pylist()}
