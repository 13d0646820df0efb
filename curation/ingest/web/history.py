"""Which crawls a source has had, and how they ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.ingest.offers import Page

# What an older, broken-off crawl fetched is asked for again: the site may have changed.
_RESUME_WITHIN: Final = timedelta(days=7)
# What is stored of a page that a crawl died of.
CRASHED_ONCE: Final = "reading it ended the process of the crawl"
CRASHED_TWICE: Final = "reading it ended the process of the crawl twice; it is left out"

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


def latest(pages: pa.Table) -> pa.Table:
    """Keep the latest row of each source's URL, and every row of a crawl as a whole.

    A page that was found unchanged has nothing in `found`: what was found before still holds.
    """
    rows = pages.sort_by("fetched_at").combine_chunks()
    if not rows.num_rows:
        return rows
    of_crawl = np.asarray(pc.equal(rows["kind"], "crawl"))
    names = pc.binary_join_element_wise(rows["source"], rows["url"], "\n")
    keys = np.asarray(names.combine_chunks().dictionary_encode().indices, dtype=np.int64)
    # Of repeated indices the last assignment stays.
    numbers = np.arange(rows.num_rows)
    last, filled = np.full((2, int(keys.max()) + 1), -1, dtype=np.int64)
    last[keys[~of_crawl]] = numbers[~of_crawl]
    found = np.asarray(rows["found"].is_valid())
    filled[keys[found]] = numbers[found]
    unchanged = ~found & ~np.asarray(rows["failure"].is_valid()) & (filled[keys] >= 0)
    text = rows["found"].take(pa.array(np.where(unchanged, filled[keys], numbers)))
    rows = rows.set_column(rows.schema.get_field_index("found"), "found", text)
    chosen = np.sort(np.concatenate([last[last >= 0], numbers[of_crawl]]))
    return rows.take(pa.array(chosen))


def _ends(pages: pa.Table, crawl: str) -> list[dict[str, Any]]:
    of_crawl = pc.and_(pc.equal(pages["kind"], "crawl"), pc.equal(pages["crawl"], crawl))
    return [json.loads(found) for found in pages.filter(of_crawl)["found"].to_pylist()]
