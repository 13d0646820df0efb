"""Whether a URL has to be fetched, given what is known of it."""

from __future__ import annotations

import hashlib
from typing import Literal

from curation.ingest.offers import (
    Event,
    Found,
    Known,
    Offer,
    Passed,
    content_of,
    full_revision,
    metadata_mark,
)
from curation.ingest.web.reasons import RECONSIDERED, TRANSIENT
from data_catalog.schema import Reason

Retry = Literal["transient", "all", "never"]


def place(page: str) -> str:
    """Digest of the page that a picture was found on; empty without one.

    It is the part of the revision that says whose description of the picture counts: of several
    pages that show it the first, and that one also at later crawls, in whatever order they come.
    """
    return hashlib.blake2b(page.encode(), digest_size=6).hexdigest() if page else ""


def revision_of(found: Found) -> str:
    """Give the revision under which a picture found on the web is stored."""
    return full_revision(found.content, metadata_mark(found.label, found.tags, found.fields))


def revisit(found: Found, known: Known, retry: Retry, *, respects_noai: bool) -> Event | None:
    """Decide about a picture's URL; None means that it has to be fetched.

    What was fetched once is never fetched again: a URL is taken to show one picture.
    """
    revision = revision_of(found)
    if known.has_bytes(found.locator, revision):
        return Passed(known=1)
    seen = known.get(found.locator)
    if seen is None:
        return None
    if seen.failure is not None:
        reason = Reason(seen.failure)
        again = _try_again(reason, retry) or (reason is Reason.OPTED_OUT and not respects_noai)
        return None if again else Passed(known=1)
    if seen.image_id is None or content_of(seen.revision) != found.content:
        return Passed(known=1)
    return Offer(
        found.locator,
        revision,
        image_id=seen.image_id,
        fields=found.fields,
        label=found.label,
        tags=found.tags,
    )


def _try_again(reason: Reason, retry: Retry) -> bool:
    if reason is Reason.FORGOTTEN:
        return False
    if retry == "all":
        return True
    return reason in RECONSIDERED or (retry == "transient" and reason in TRANSIENT)
