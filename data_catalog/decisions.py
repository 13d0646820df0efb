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
    return table.append(fitted)


def latest_decisions(catalog: Catalog) -> dict[str, dict[str, Any]]:
    """Give the decision that holds for each item, by item_id; those taken back are left out.

    Of two decisions at one instant the one whose verdict, then reviewer, sorts last counts, so that
    the outcome does not depend on the order of rows.
    """
    rows = catalog.table("decisions").read()
    order = pc.sort_indices(
        rows,
        sort_keys=[
            ("decided_at", "ascending"),
            ("verdict", "ascending"),
            ("reviewer", "ascending"),
        ],
    )
    last = {row["item_id"]: row for row in rows.take(order).to_pylist()}
    return {item: row for item, row in last.items() if row["verdict"] != UNDECIDED}
