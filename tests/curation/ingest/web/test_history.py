"""Which crawl goes on, and what is told of the last one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from curation.ingest.web.history import crawl_id, ended, last_crawl
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
