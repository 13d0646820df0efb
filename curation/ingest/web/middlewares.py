"""What keeps a crawl polite: robots.txt, Retry-After, hosts that are down."""

from __future__ import annotations

import contextlib
import email.utils
import time
from collections import defaultdict
from typing import Any, Final

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.robotstxt import RobotParser
from scrapy.utils.httpobj import urlparse_cached

from curation.ingest.offers import Failure
from curation.ingest.web.downloader import PoliteDownloader
from curation.ingest.web.reasons import TRANSIENT, LeftAloneError, of_exception
from data_catalog.schema import Reason

_MAX_ROBOTS_BYTES: Final = 512 << 10  # RFC 9309 asks for at least 500 KiB
_MAX_CRAWL_DELAY: Final = 60.0
# For a 429 that does not say how long: web archives shut out who comes again within the minute.
_UNTOLD_WAIT: Final = 60.0


class Robots(RobotsTxtMiddleware):
    """robots.txt by RFC 9309: where it cannot be had for the server's fault, all is forbidden."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._unreachable: dict[str, Failure] = {}

    async def process_request(self, request: Request, spider: Any = None) -> None:
        """Refuse what robots.txt forbids; keep the delay that it asks for."""
        if request.meta.get("dont_obey_robotstxt"):
            request.meta.setdefault("download_maxsize", _MAX_ROBOTS_BYTES)
            return
        await self.robot_parser(request)
        # Of several that wait for one robots.txt only the first is given it (Scrapy 2.19 has them
        # share a Deferred, whose result the first one takes); all find it here.
        parser: Any = self._parsers[_host(request)]
        if (failure := self._unreachable.get(_host(request))) is not None:
            raise LeftAloneError(failure.reason, f"robots.txt cannot be had: {failure.detail}")
        try:
            self.process_request_2(parser, request)
        except IgnoreRequest:
            raise LeftAloneError(Reason.ROBOTS_DENIED, "robots.txt forbids it") from None
        if parser is not None:
            self._keep_delay(parser, request)

    async def _parse_robots(self, response: Response, netloc: str, request: Request) -> None:
        if response.status >= 500:
            response = response.replace(body=b"User-agent: *\nDisallow: /\n")
        elif response.status >= 400:
            response = response.replace(body=b"")
        await super()._parse_robots(response, netloc, request)

    def _robots_error(self, exc: Exception, netloc: str) -> None:
        failure = of_exception(exc)
        if failure is not None:
            self._unreachable[netloc] = failure
        super()._robots_error(exc, netloc)

    def _keep_delay(self, parser: RobotParser, request: Request) -> None:
        delay = parser.crawl_delay(self._robotstxt_useragent or "*")
        if delay:
            _downloader(self.crawler).slow_down(request, min(delay, _MAX_CRAWL_DELAY))


class Retry(RetryMiddleware):
    """Tries again what may pass, waits as long as a server asks, leaves dead hosts alone."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._max_wait = settings.getfloat("NONESUCH_MAX_RETRY_AFTER")
        self._max_failures = settings.getint("NONESUCH_MAX_FAILURES")
        self._in_a_row: defaultdict[str, int] = defaultdict(int)
        self._left_alone: dict[str, LeftAloneError] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Retry:
        """Make it as Scrapy does."""
        made = cls(crawler.settings)
        made.crawler = crawler
        return made

    def process_request(self, request: Request, spider: Any = None) -> None:
        """Refuse at once what would only fail like the requests before it."""
        reason = self._left_alone.get(_host(request))
        if reason is not None:
            raise LeftAloneError(reason.reason, str(reason))

    def process_response(
        self, request: Request, response: Response, spider: Any = None
    ) -> Request | Response:
        """Try passing failures again, after the time that the server asks for."""
        host = _host(request)
        self._in_a_row.pop(host, None)
        if response.status in (429, 503):
            wait = _retry_after(response)
            if wait is None and response.status == 429:
                wait = min(_UNTOLD_WAIT, self._max_wait)
            if wait is not None and wait > self._max_wait:
                self._leave_alone(
                    request, Reason.RATE_LIMITED, f"the host asks to come back in {wait:.0f} s"
                )
                return response
            if wait:
                _downloader(self.crawler).pause(request, wait)
        return super().process_response(request, response)

    def process_exception(
        self, request: Request, exception: Exception, spider: Any = None
    ) -> Request | Response | None:
        """Try passing failures again; count those of a host."""
        failure = of_exception(exception)
        if failure is None or isinstance(exception, LeftAloneError):
            return None
        if failure.reason not in TRANSIENT:
            return None
        host = _host(request)
        if failure.reason is not Reason.CUT_SHORT:
            self._in_a_row[host] += 1
        if self._in_a_row[host] >= self._max_failures:
            self._leave_alone(
                request,
                failure.reason,
                f"the host failed {self._in_a_row[host]} times in a row, last: {failure.detail}",
            )
            return None
        return self._retry(request, exception)

    def _leave_alone(self, request: Request, reason: Reason, detail: str) -> None:
        """Refuse all further requests to a host, those that wait for their turn among them."""
        error = LeftAloneError(reason, detail)
        self._left_alone[_host(request)] = error
        _downloader(self.crawler).drop(request, error)


def _downloader(crawler: Crawler) -> PoliteDownloader:
    engine: Any = crawler.engine
    downloader: PoliteDownloader = engine.downloader
    return downloader


def _host(request: Request) -> str:
    return urlparse_cached(request).netloc


def _retry_after(response: Response) -> float | None:
    """Read Retry-After, seconds or a date; None where it is missing or is neither."""
    text = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None
