"""The error tree of curation.

CurationError
├── DecodeError      this picture cannot be used; carries the Reason that is stored
├── SourceError      a source as a whole cannot be read (missing folder, damaged index)
│   └── CrawlDiedError   the process of a crawl died; the same call goes on where it stopped
├── RefusedError     the guard of a crawl refused an address, a redirect, a header, a body
├── LeftAloneError   a request of a crawl that is not made, for a reason found before
├── WireError        a crawl broke off, or sent what it never sends
└── FeedError, SitemapError, CdxError   what a server sent is not what it should be
"""

from __future__ import annotations

from data_catalog.schema import Reason


class CurationError(Exception):
    """Base of every error that curation raises on purpose."""


class DecodeError(CurationError):
    """A picture that cannot be used. `reason` is what the catalog stores about it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class SourceError(CurationError):
    """A source that cannot be read at all."""


class CrawlDiedError(SourceError):
    """The process of a crawl died. What it brought is kept."""
