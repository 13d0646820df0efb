from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from data_catalog.catalog import Catalog
from data_catalog.decisions import human_tags, latest_decisions, record
from data_catalog.errors import CatalogError
from data_catalog.schema import DECISIONS


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


def test_an_event_is_recorded_once(catalog: Catalog) -> None:
    rows = [{**row("a", "rejected", 1), "event": "e1"}, {**row("b", "accepted", 1), "event": "e2"}]
    record(catalog, pa.Table.from_pylist(rows[:1]))
    version = record(catalog, pa.Table.from_pylist(rows))
    assert catalog.table("decisions").read().num_rows == 2
    assert record(catalog, pa.Table.from_pylist(rows)) == version
    # Words of the command line have no event; each of them is one.
    for _ in range(2):
        record(catalog, pa.Table.from_pylist([row("c", "accepted", 1)]))
    assert catalog.table("decisions").read().num_rows == 4


def test_of_two_that_record_the_same_events_at_once_one_does(catalog: Catalog) -> None:
    record(catalog, pa.Table.from_pylist([row("x", "accepted", 0)]))
    for turn in range(5):
        rows = [{**row(f"{n}", "rejected", 1), "event": f"{turn} {n}"} for n in range(300)]
        begin = threading.Barrier(3)

        def add(said: pa.Table, begin: threading.Barrier) -> None:
            begin.wait()
            record(catalog, said)

        arguments = (pa.Table.from_pylist(rows), begin)
        with ThreadPoolExecutor(3) as pool:
            for future in [pool.submit(add, *arguments) for _ in range(3)]:
                future.result()
    events = catalog.table("decisions").read(["event"])["event"].drop_null().to_pylist()
    assert len(events) == len(set(events)) == 5 * 300


def test_words_that_several_say_at_once_are_all_kept(catalog: Catalog) -> None:
    rows = [pa.Table.from_pylist([row(f"{n}", "accepted", n)]) for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda said: record(catalog, said), rows))
    assert set(latest_decisions(catalog)) == {f"{n}" for n in range(12)}


def test_where_a_word_says_no_tags_those_before_remain(catalog: Catalog) -> None:
    rows = [
        {**row("a", "accepted", 3), "tags": None},
        {**row("a", "rejected", 2), "tags": None},
        {**row("a", "rejected", 1), "tags": ["left"]},
        {**row("b", "rejected", 1), "tags": ["worn"]},
        {**row("b", "rejected", 2), "tags": []},
        {**row("b", "rejected", 3), "tags": None},
    ]
    record(catalog, pa.Table.from_pylist(rows, schema=DECISIONS))
    assert {item: last["tags"] for item, last in human_tags(catalog).items()} == {"a": ["left"]}


def test_tags_count_whether_decided_or_not(catalog: Catalog) -> None:
    rows = [
        {**row("a", "undecided", 1), "tags": ["left"]},
        {**row("b", "accepted", 1), "tags": ["left"]},
        {**row("b", "accepted", 2), "tags": []},
        {**row("c", "rejected", 1), "tags": ["worn", "left"]},
    ]
    record(catalog, pa.Table.from_pylist(rows))
    found = {item: last["tags"] for item, last in human_tags(catalog).items()}
    assert found == {"a": ["left"], "c": ["worn", "left"]}
    assert set(latest_decisions(catalog)) == {"b", "c"}


def test_a_table_from_before_there_were_events_is_read_and_added_to(catalog: Catalog) -> None:
    old = pa.Table.from_pylist(
        [{**row("a", "rejected", 1), "note": None, "tags": ["x"]}],
        schema=pa.schema([f for f in DECISIONS if f.name not in ("reasons", "event")]),
    )
    write_deltalake(catalog.table("decisions").url, old)
    assert latest_decisions(catalog)["a"]["event"] is None
    new = {**row("b", "accepted", 1), "event": "e1", "reasons": ["blurred"]}
    record(catalog, pa.Table.from_pylist([new]))
    assert {item: found["reasons"] for item, found in latest_decisions(catalog).items()} == {
        "a": None,
        "b": ["blurred"],
    }
