"""Files of decisions through the page's API."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from review_ui.store.exchange import AT_ONCE
from tests.review_ui.feeds import blurred, item_id
from tests.review_ui.site import Site


def line(name: object, **more: object) -> str:
    return json.dumps({"item": item_id(name), "verdict": "rejected", **more}) + "\n"


def test_a_large_file_is_counted_once_and_written_in_pieces(
    open_site: Callable[..., Site],
) -> None:
    site = open_site([blurred(n, 0.4) for n in range(10)])
    client = site.client("ann")
    count = 2 * AT_ONCE + 1
    text = "".join(line(n) for n in range(count)) + line(0, note="\ud800")
    commits: list[Any] = []
    event.listen(site.desk.database.engine, "commit", commits.append)
    report = client.post("/api/decisions/import", {"format": "jsonl", "text": text}).json
    assert len(commits) >= 3
    errors = report.pop("errors")
    assert report == {
        "read": count + 1,
        "saved": count,
        "known": 0,
        "outdated": 0,
        "unknown": count - 10,
        "overruled": 0,
    }
    assert [found["line"] for found in errors] == [count + 1]
    assert "`note`" in errors[0]["message"]
    report = client.post("/api/decisions/import", {"format": "jsonl", "text": text}).json
    assert (report["saved"], report["known"]) == (0, count)


def test_who_said_it_is_kept_and_who_brings_it_is_where_nobody_is_named(
    open_site: Callable[..., Site],
) -> None:
    site = open_site([blurred(n, 0.4) for n in range(2)])
    client = site.client("ann")
    text = f"item,verdict,reviewer\n{item_id(0)},accept,bob\n{item_id(1)},accept,\n"
    client.post("/api/decisions/import", {"format": "csv", "text": text})
    events = client.get("/api/history").json["events"]
    assert [(found["item"], found["reviewer"], found["origin"]) for found in events] == [
        (item_id(1), "ann", "import"),
        (item_id(0), "bob", "import"),
    ]


def test_a_decision_about_an_item_that_has_left_is_saved(open_site: Callable[..., Site]) -> None:
    client = open_site([blurred(0, 0.4)]).client("ann")
    sent = {"uuid": str(uuid.uuid4()), "item": item_id("gone"), "verdict": "rejected"}
    answer = client.post("/api/decisions", {"decisions": [sent]})
    assert [found["outcome"] for found in answer.json["outcomes"]] == ["saved"]
