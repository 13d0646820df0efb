"""What has to be fetched again, and what never."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from curation.ingest.offers import Found, Known, Offer, Passed
from curation.ingest.web.reasons import RECONSIDERED, TRANSIENT
from curation.ingest.web.revisit import Retry, place, revision_of, revisit
from data_catalog.schema import OBSERVATIONS, Reason


def found(page: str = "", **values: Any) -> Found:
    return Found("https://x/a.jpg", place(page), bytes, **values)


def known(of: Found, *, image_id: str | None = None, failure: str | None = None) -> Known:
    row = {
        "source": "s",
        "locator": of.locator,
        "revision": revision_of(of),
        "image_id": image_id,
        "failure": failure,
        "observed_at": datetime.now(UTC),
    }
    return Known(pa.Table.from_pylist([row], schema=OBSERVATIONS))


def look(of: Found, seen: Known, retry: Retry = "transient", *, noai: bool = True) -> Any:
    return revisit(of, seen, retry, respects_noai=noai)


def test_what_is_new_is_fetched() -> None:
    assert look(found(), Known()) is None


def test_what_was_fetched_is_never_fetched_again() -> None:
    assert look(found("p"), known(found("p"), image_id="ab")) == Passed(known=1)


def test_what_its_page_says_now_is_noted() -> None:
    seen = known(found("p", label="old"), image_id="ab")
    event = look(found("p", label="new"), seen)
    assert isinstance(event, Offer)
    assert (event.image_id, event.label, event.read) == ("ab", "new", None)


def test_what_another_page_says_of_it_does_not_count() -> None:
    seen = known(found("p", label="one"), image_id="ab")
    assert look(found("q", label="other"), seen) == Passed(known=1)


@pytest.mark.parametrize("reason", list(Reason))
def test_failures_are_tried_again_by_their_kind(reason: Reason) -> None:
    seen = known(found(), failure=reason.value)
    forgotten = reason is Reason.FORGOTTEN
    assert (look(found(), seen, "all") is None) is not forgotten
    assert (look(found(), seen, "never") is None) is (reason in RECONSIDERED)
    assert (look(found(), seen) is None) is (reason in RECONSIDERED | TRANSIENT)


def test_an_opt_out_is_asked_about_again_where_it_does_not_count() -> None:
    seen = known(found(), failure=Reason.OPTED_OUT.value)
    assert look(found(), seen) == Passed(known=1)
    assert look(found(), seen, noai=False) is None
