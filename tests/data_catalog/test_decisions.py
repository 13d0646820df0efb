from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from data_catalog.catalog import Catalog
from data_catalog.decisions import latest_decisions, record
from data_catalog.errors import CatalogError


def row(item: str, verdict: str, minute: int) -> dict[str, object]:
    at = datetime(2026, 1, 1, 0, minute, tzinfo=UTC)
    return {"item_id": item, "verdict": verdict, "reviewer": "ann", "decided_at": at}


def test_the_last_decision_counts_and_undecided_takes_it_back(catalog: Catalog) -> None:
    assert latest_decisions(catalog) == {}
    record(catalog, pa.Table.from_pylist([row("a", "rejected", 2), row("b", "accepted", 1)]))
    record(catalog, pa.Table.from_pylist([row("a", "accepted", 1), row("c", "accepted", 1)]))
    record(catalog, pa.Table.from_pylist([row("c", "undecided", 2)]))
    found = latest_decisions(catalog)
    assert {item: row["verdict"] for item, row in found.items()} == {
        "a": "rejected",
        "b": "accepted",
    }
    assert found["a"]["reviewer"] == "ann"


def test_an_unknown_verdict_is_refused(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match=r"must be one of accepted.*got \['maybe'\]"):
        record(catalog, pa.Table.from_pylist([row("a", "maybe", 1)]))
    assert catalog.table("decisions").version() == -1
