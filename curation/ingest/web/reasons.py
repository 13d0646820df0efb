"""Why a URL gave nothing: what Scrapy and Twisted raise, and statuses, as stored reasons."""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    NotSupported,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)
from service_identity import VerificationError
from twisted.internet.error import ConnectionLost
from twisted.web.http import _DataLoss

from curation.errors import CurationError
from curation.ingest.names import escape
from curation.ingest.offers import Failure
from curation.ingest.web.guard import causes, refusal
from data_catalog.schema import Reason

# They may be gone at the next run.
TRANSIENT: Final = frozenset(
    {
        Reason.SERVER_ERROR,
        Reason.RATE_LIMITED,
        Reason.DNS_FAILURE,
        Reason.CONNECTION_FAILED,
        Reason.TLS_FAILURE,
        Reason.FETCH_TIMED_OUT,
        Reason.CUT_SHORT,
    }
)

# They cost nothing to find out again, and depend on settings.
RECONSIDERED: Final = frozenset({Reason.ROBOTS_DENIED, Reason.ADDRESS_REFUSED})

_RULES: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Reason], ...]] = (
    (DownloadTimeoutError, Reason.FETCH_TIMED_OUT),
    (CannotResolveHostError, Reason.DNS_FAILURE),
    ((SSL.Error, VerificationError), Reason.TLS_FAILURE),
    (ConnectionLost, Reason.CONNECTION_FAILED),  # reset, where a mere end would be cut short
    ((ResponseDataLossError, _DataLoss), Reason.CUT_SHORT),
    (DownloadCancelledError, Reason.FILE_TOO_LARGE),
    ((UnsupportedURLSchemeError, NotSupported), Reason.URL_REFUSED),
    ((DownloadConnectionRefusedError, DownloadFailedError, OSError), Reason.CONNECTION_FAILED),
)


class LeftAloneError(CurationError):
    """A request that is not made, for a reason found before."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def of_exception(error: BaseException) -> Failure | None:
    """Give the reason for an exception of a download; None when it is our own mistake."""
    made_of = list(causes(error))
    for cause in made_of:
        if isinstance(cause, LeftAloneError):
            return Failure(cause.reason, escape(str(cause)))
    refused = refusal(error)
    if refused is not None:
        return Failure(_GUARD[refused.kind], _words(refused))
    for kinds, reason in _RULES:
        for cause in made_of:
            if isinstance(cause, kinds):
                return Failure(reason, _words(cause))
    return None


_GUARD: Final = {
    "address_refused": Reason.ADDRESS_REFUSED,
    "redirect_refused": Reason.REDIRECT_REFUSED,
    "header_too_large": Reason.HTTP_ERROR,
    "body_too_large": Reason.FILE_TOO_LARGE,
    "body_damaged": Reason.CORRUPT,
}


def of_status(status: int) -> Failure | None:
    """Give the reason for a status; None for 200 and 304."""
    if status in (200, 304):
        return None
    if status in (404, 410):
        return Failure(Reason.NOT_FOUND, f"status {status}")
    if status == 429:
        return Failure(Reason.RATE_LIMITED, f"status {status}")
    if status >= 500:
        return Failure(Reason.SERVER_ERROR, f"status {status}")
    return Failure(Reason.HTTP_ERROR, f"status {status}")


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return escape(text[:300])
