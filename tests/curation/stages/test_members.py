"""What a version is made of."""

from __future__ import annotations

import pyarrow as pa
import pytest

from curation.stages.members import members
from data_catalog.schema import VERDICTS
from data_catalog.versions import MEMBERS_IN
from tests.curation.stages.conftest import RECIPE, Stock, jpeg


@pytest.fixture
def judged(stock: Stock) -> Stock:
    names = ("good", "doubtful", "bad", "other")
    stock.store({name: jpeg(seed) for seed, name in enumerate(names)})
    stock.standardize()
    rows = [
        {
            "item_id": stock.ids[name],
            "image_id": stock.ids[name],
            "verdict": verdict,
            "reasons": [],
            "decided_by": "rules",
        }
        for name, verdict in zip(
            names, ("accepted", "flagged", "rejected", "accepted"), strict=True
        )
    ]
    stock.catalog.table("verdicts").replace(pa.Table.from_pylist(rows, schema=VERDICTS))
    return stock


def test_accepted_items_and_flagged_ones_where_wanted(judged: Stock) -> None:
    selection = judged.selection()
    chosen = members(judged.catalog, RECIPE, selection, include_flagged=False)
    assert chosen.schema.names == [*MEMBERS_IN.names, "source"]
    assert set(chosen["source"].to_pylist()) == {"images"}
    assert set(chosen["item_id"].to_pylist()) == {judged.ids["good"], judged.ids["other"]}
    more = members(judged.catalog, RECIPE, selection, include_flagged=True)
    assert more.num_rows == 3
    assert judged.ids["bad"] not in more["item_id"].to_pylist()


def test_labels_and_tags_of_people_come_along(judged: Stock) -> None:
    judged.decide("good", "accepted", tags=["nice", "blue"])
    selection = judged.selection(labels={"good": "shoe"})
    rows = members(judged.catalog, RECIPE, selection, include_flagged=False).to_pylist()
    by_id = {row["item_id"]: row for row in rows}
    assert by_id[judged.ids["good"]]["label"] == "shoe"
    assert by_id[judged.ids["good"]]["tags"] == ["blue", "nice"]
    assert by_id[judged.ids["other"]]["label"] is None


def test_rows_that_are_there_twice_count_once(judged: Stock) -> None:
    once = members(judged.catalog, RECIPE, judged.selection(), include_flagged=True)
    features = judged.catalog.table("features")
    features.append(features.read())
    assert members(judged.catalog, RECIPE, judged.selection(), include_flagged=True).equals(once)


def test_nothing_accepted_has_no_members(judged: Stock) -> None:
    table = judged.catalog.table("verdicts")
    table.replace(table.read().slice(0, 0))
    chosen = members(judged.catalog, RECIPE, judged.selection(), include_flagged=True)
    assert chosen.num_rows == 0
