"""Catalogs that were written before a column or a table was added."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from data_catalog.catalog import Catalog
from data_catalog.schema import TABLES
from data_catalog.tables import Table

# Columns that came later.
ADDED = {"scores": ("recipe", "scored_at"), "verdicts": ("d_percentile", "density_percentile")}
ROWS = {
    "scores": {"item_id": "a", "model": "m", "mean": 1.0},
    "verdicts": {"item_id": "a", "verdict": "accepted", "reasons": [], "decided_by": "rules"},
}


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("write", [Table.append, Table.replace])
def test_tables_from_before_a_column_are_read_and_written(
    tmp_path: Path, name: str, write: Callable[[Table, pa.Table], int]
) -> None:
    now = Catalog(tmp_path).table(name)
    before = pa.schema([field for field in TABLES[name] if field.name not in ADDED[name]])
    rows = pa.Table.from_pylist([ROWS[name]], schema=before)
    Table(name, before, now.url).append(rows)
    assert [now.read()[column].null_count for column in ADDED[name]] == [1] * len(ADDED[name])
    write(now, pa.Table.from_pylist([ROWS[name]], schema=now.schema))
    assert now.read().schema == TABLES[name]
    assert set(now.read()["item_id"].to_pylist()) == {"a"}
    # A program from before reads on; it does not know the column.
    assert Table(name, before, now.url).read().column_names == before.names
