"""Which crawl goes on, and what is told of the last one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from curation.ingest.web.history import crawl_id, ended, last_crawl, latest
from data_catalog.schema import PAGES

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TRAFFIC = {"pages": 1, "images": 2, "bytes": 3, "errors": {}, "hosts": {}}


def rows(*crawls: tuple[str, dict[str, Any]]) -> pa.Table:
    """Make rows of pages, in order."""
    made = []
    for number, (crawl, values) in enumerate(crawls):
        row = {"source": "s", "url": f"https://x/{number}", "kind": "page", "crawl": crawl}
        made.append({**row, "fetched_at": NOW + timedelta(seconds=number), **values})
    return pa.Table.from_pylist(made, schema=PAGES)


def end(crawl: str, **values: Any) -> tuple[str, dict[str, Any]]:
    page = ended(crawl, {"finished": True, "stopped_by": None, "traffic": TRAFFIC, **values})
    return crawl, {"url": page.url, "kind": page.kind, "found": page.found}


FIRST = crawl_id(PAGES.empty_table(), NOW)
LATER = NOW + timedelta(days=2)


def test_ids_sort_by_time() -> None:
    assert crawl_id(PAGES.empty_table(), NOW + timedelta(microseconds=1)) > FIRST


@pytest.mark.parametrize(
    ("table", "goes_on"),
    [
        (rows((FIRST, {})), True),
        (rows((FIRST, {}), end(FIRST)), False),
        (rows((FIRST, {}), end(FIRST, finished=False, stopped_by="max_pages")), True),
        (rows(end(FIRST, finished=False, stopped_by="max_pages"), end(FIRST)), False),
    ],
)
def test_a_crawl_that_is_not_finished_goes_on(table: pa.Table, goes_on: bool) -> None:
    assert (crawl_id(table, LATER) == FIRST) is goes_on


def test_after_a_week_a_crawl_begins_anew() -> None:
    assert crawl_id(rows((FIRST, {})), NOW + timedelta(days=8)) > FIRST


def test_only_the_latest_of_a_page_is_kept_with_what_was_found_last() -> None:
    a, b, c = ({"url": f"https://x/{name}"} for name in "abc")
    other = {**a, "source": "t"}
    table = rows(
        (FIRST, {**a, "found": "1", "etag": "e1"}),
        (FIRST, {**b, "found": "2"}),
        (FIRST, {**c, "found": "3"}),
        end(FIRST),
        (FIRST, {**other, "found": "4"}),
        ("later", {**a, "etag": "e2"}),  # unchanged
        ("later", {**b, "failure": "not_found"}),
        ("later", {**c, "found": "5"}),
        end("later"),
    )
    kept = latest(table)
    told = kept.select(["source", "url", "crawl", "etag", "found", "failure"]).to_pylist()
    pages = [tuple(row.values()) for row in told if row["url"]]
    assert pages == [
        ("t", "https://x/a", FIRST, None, "4", None),
        ("s", "https://x/a", "later", "e2", "1", None),
        ("s", "https://x/b", "later", None, None, "not_found"),
        ("s", "https://x/c", "later", None, "5", None),
    ]
    assert kept.num_rows == 6
    assert latest(kept).equals(kept)
    assert latest(PAGES.empty_table()).num_rows == 0


def test_what_is_told_of_the_last_crawl() -> None:
    assert last_crawl(PAGES.empty_table()) is None
    second = crawl_id(PAGES.empty_table(), LATER)
    gone = {"url": "https://x/gone", "failure": "not_found"}
    table = rows(
        end(FIRST),
        (second, {"url": "https://x/a", "failure": "server_error"}),
        (second, {"url": "https://x/a"}),
        (second, gone),
    )
    told = last_crawl(table)
    assert told is not None
    assert (told["state"], told["pages"]) == ("interrupted", 1)
    assert (told["page_failures"], told["runs"]) == ({"not_found": 1}, [])
    budget = rows((second, {}), end(second, finished=False, stopped_by="max_images"))
    assert (last_crawl(budget) or {})["state"] == "max_images"
    whole = last_crawl(rows((second, {}), end(second)))
    assert whole is not None
    assert (whole["state"], whole["runs"]) == ("finished", [TRAFFIC])
