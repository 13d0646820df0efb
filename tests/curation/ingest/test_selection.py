from __future__ import annotations

import datetime
import json
import random
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curation.ingest.selection import CURRENT, current, unread_id
from curation.ingest.sources import ArchiveConfig, FolderConfig, SourceConfig
from data_catalog.schema import OBSERVATIONS

A, B = FolderConfig(path="a"), FolderConfig(path="b")
BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


def _observations(*rows: dict[str, Any]) -> pa.Table:
    filled = [
        {
            "source": "a",
            "locator": "x",
            "observed_at": BEGIN + datetime.timedelta(seconds=number),
            **row,
        }
        for number, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(filled, schema=OBSERVATIONS)


def _current(table: pa.Table, *configs: SourceConfig) -> list[dict[str, Any]]:
    result = current(table, configs)
    assert result.schema == CURRENT
    return list(result.to_pylist())


def test_nothing_gives_nothing() -> None:
    assert _current(_observations(), A) == []
    assert _current(_observations({"image_id": "1"}), B) == []


def test_latest_observation_counts() -> None:
    table = _observations(
        {"image_id": "1"},
        {"locator": "y", "image_id": "2"},
        {"image_id": "3"},
        {"locator": "y", "failure": "unreadable", "detail": "gone"},
    )
    rows = _current(table, A)
    assert [r["id"] for r in rows] == ["3", unread_id("a", "y")]
    assert (rows[1]["image_id"], rows[1]["failure"], rows[1]["detail"]) == (
        None,
        "unreadable",
        "gone",
    )


def test_one_image_from_many_places_is_one_row() -> None:
    table = _observations(
        {"source": "b", "locator": "1", "image_id": "i", "label": "from b", "tags": ["p", "q"]},
        {"source": "a", "locator": "9", "image_id": "i", "tags": ["r", "p"], "fields": '{"n": 1}'},
        {"source": "a", "locator": "3", "image_id": "i"},
        {"source": "a", "locator": "5", "image_id": "j", "label": "l"},
    )
    (i, j) = _current(table, A, B)
    assert (i["source"], i["locator"], i["label"], i["fields"]) == ("a", "3", "from b", '{"n": 1}')
    assert (i["tags"], i["observations"]) == (["r", "p", "q"], 3)
    assert (j["tags"], j["label"]) == ([], "l")
    (i, _) = _current(table, B, A)
    assert (i["source"], i["locator"], i["tags"]) == ("b", "1", ["p", "q", "r"])


def test_marks_and_what_was_taken_down_are_left_out() -> None:
    table = _observations(
        {"locator": "s.zip", "revision": "1"},
        {"locator": "s.zip!/a", "failure": "forgotten"},
        {"locator": "s.zip!/b", "image_id": "1"},
    )
    assert [r["id"] for r in _current(table, ArchiveConfig(path="a"))] == ["1"]


def test_tightened_filters_apply_to_what_is_stored() -> None:
    table = _observations(
        {"locator": "p/1.jpg", "image_id": "1", "tags": ["k"], "fields": json.dumps({"s": 5})},
        {"locator": "p/2.jpg", "image_id": "2", "tags": ["k"], "fields": json.dumps({"s": 50})},
        {"locator": "q/3.png", "image_id": "3", "fields": json.dumps({"s": 50})},
        {"locator": "t.csv:3", "failure": "unreadable"},
        {"source": "b", "locator": "1", "image_id": "1", "label": "of b"},
    )

    def ids(**keys: Any) -> set[str]:
        config = FolderConfig.model_validate({"path": "a", **keys})
        return {r["image_id"] for r in _current(table, config) if r["image_id"]}

    assert ids() == {"1", "2", "3"}
    assert ids(include_tags=["k"]) == {"1", "2"}
    assert ids(where={"s": {"min": 10}}) == {"2", "3"}
    assert ids(include=["*.jpg"], where={"s": {"min": 10}}) == {"2"}
    config = FolderConfig(path="a", include_tags=("none",))
    rows = _current(table, config, B)
    assert [(r["id"], r["source"]) for r in rows] == [("1", "b"), (unread_id("a", "t.csv:3"), "a")]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "source": st.sampled_from(["a", "b"]),
            "locator": st.sampled_from(["x", "y", "z"]),
            "image_id": st.sampled_from(["1", "2", None]),
            "label": st.sampled_from(["l", "m", None]),
            "tags": st.none() | st.lists(st.sampled_from(["p", "q", "r"])),
        }
    ),
    max_size=20,
)


@given(ROWS, st.randoms())
def test_agrees_with_a_plain_loop_in_any_order(
    rows: list[dict[str, Any]], rng: random.Random
) -> None:
    table = _observations(*(r | ({} if r["image_id"] else {"failure": "unreadable"}) for r in rows))
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        latest[row["source"], row["locator"]] = row
    merged: dict[str, list[dict[str, Any]]] = {}
    for (source, locator), row in sorted(latest.items()):
        merged.setdefault(row["image_id"] or unread_id(source, locator), []).append(row)
    expected = [
        (
            key,
            next((r["label"] for r in group if r["label"]), None),
            list(dict.fromkeys(t for r in group for t in r["tags"] or [])),
            group[0]["locator"],
        )
        for key, group in sorted(merged.items())
    ]
    order = list(range(len(rows)))
    rng.shuffle(order)
    got = _current(table.take(pa.array(order, pa.int64())), A, B)
    assert [(r["id"], r["label"], r["tags"], r["locator"]) for r in got] == expected
