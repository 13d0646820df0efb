"""Which crawls a source has had, and how they ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.ingest.offers import Page

# What an older, broken-off crawl fetched is asked for again: the site may have changed.
_RESUME_WITHIN: Final = timedelta(days=7)
_TIME: Final = "%Y%m%dT%H%M%S.%fZ"


def crawl_id(pages: pa.Table, now: datetime) -> str:
    """Choose the id of the next crawl: that of the last one where it was not finished.

    Parameters
    ----------
    pages : pa.Table
        Rows of `pages`, all of one source.
    now : datetime
        In UTC; a new id is made of it.
    """
    if pages.num_rows:
        last = str(pc.max(pages["crawl"]).as_py())
        finished = any(end["finished"] for end in _ends(pages, last))
        began = datetime.strptime(last, _TIME).replace(tzinfo=UTC)
        if not finished and now - began < _RESUME_WITHIN:
            return last
    return now.strftime(_TIME)


def ended(crawl: str, found: Mapping[str, Any]) -> Page:
    """Make the row that says how a crawl ended, or how far one run of it came."""
    return Page("", "crawl", crawl, found=json.dumps(found))


def last_crawl(pages: pa.Table) -> dict[str, Any] | None:
    """Sum the last crawl up over all its runs; None without one.

    Returns
    -------
    dict
        `began`; `state`: finished, interrupted, or the budget that it stopped at; `pages` and
        their `page_failures` by reason, as they are known now; `runs`: what each run that came to
        its end fetched, by host.
    """
    if not pages.num_rows:
        return None
    crawl = str(pc.max(pages["crawl"]).as_py())
    rows = pages.filter(pc.equal(pages["crawl"], crawl)).sort_by("fetched_at")
    latest = {row["url"]: row["failure"] for row in rows.select(["url", "failure"]).to_pylist()}
    latest.pop("", None)
    failures = pc.value_counts(pa.array(latest.values(), pa.string()).drop_null()).to_pylist()
    runs = _ends(pages, crawl)
    state = "interrupted"
    if runs:
        state = "finished" if runs[-1]["finished"] else str(runs[-1]["stopped_by"])
    began = datetime.strptime(crawl, _TIME).replace(tzinfo=UTC)
    return {
        "began": began.isoformat(timespec="seconds"),
        "state": state,
        "pages": sum(failure is None for failure in latest.values()),
        "page_failures": {entry["values"]: entry["counts"] for entry in failures},
        "runs": [run["traffic"] for run in runs],
    }


def _ends(pages: pa.Table, crawl: str) -> list[dict[str, Any]]:
    of_crawl = pc.and_(pc.equal(pages["kind"], "crawl"), pc.equal(pages["crawl"], crawl))
    return [json.loads(found) for found in pages.filter(of_crawl)["found"].to_pylist()]
