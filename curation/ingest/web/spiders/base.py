"""What all crawls share: pictures and pages are asked for, answers become events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import socket
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.utils.httpobj import urlparse_cached
from twisted.python.failure import Failure as TwistedFailure

from curation.ingest.names import escape
from curation.ingest.offers import Failure, Found, Offer, Page, Passed
from curation.ingest.web import reasons
from curation.ingest.web.history import CRASHED_ONCE
from curation.ingest.web.job import Job, Visited
from curation.ingest.web.meter import Meter
from curation.ingest.web.outbox import Outbox
from curation.ingest.web.revisit import revision_of, revisit
from curation.ingest.web.settings import PRODUCT, WebSettings
from data_catalog.schema import Reason

# Requests that Scrapy holds at a time; the rest waits in a form that takes less memory.
OUTSTANDING: Final = 4000
_TELL_EVERY: Final = 1.0  # seconds
_MARKER_BYTES: Final = 4096

# What becomes of a guess that was wrong: a page, or a picture in a size that nobody named.
_NOT_THERE: Final = (Reason.NOT_FOUND, Reason.HTTP_ERROR, Reason.CORRUPT, Reason.ROBOTS_DENIED)

_FOR_IMAGES: Final = {
    "Accept": "image/avif,image/webp,image/png,image/jpeg,image/*;q=0.8,*/*;q=0.5"
}
_FOR_PAGES: Final = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@dataclass(slots=True)
class Visit:
    """A page, sitemap or feed to be fetched.

    Attributes
    ----------
    guess : bool
        Nobody said that it is there: it is no error if it is not.
    context : dict
        Handed to `use`.
    """

    kind: str
    url: str
    guess: bool = False
    context: dict[str, Any] = field(default_factory=dict)


class WebSpider(Spider):
    """Base of the spiders.

    A subclass says where to begin (`begin`), what can be read off a page (`read`) and what follows
    from it (`use`). Whatever a page gave is stored as JSON, so that `use` works as well on what
    an earlier crawl read.
    """

    name = PRODUCT.lower()

    def __init__(self, job: Job, config: Any, end: socket.socket) -> None:
        super().__init__()
        self.job = job
        self.config: Any = config
        self.web: WebSettings = config
        self.known = job.known()
        self.visited = Visited(self.known.pages)
        self.meter = Meter()
        self.outbox: Outbox
        self._end = end
        self._began = time.monotonic()
        self._images: deque[tuple[str, Found, Failure | None, str | None]] = deque()
        self._pages: deque[Visit] = deque()
        self._outstanding = 0
        self._room = asyncio.Event()
        self._passed = [0, 0]  # known, filtered
        self._offered = 0
        self._asked = self._fetched = 0  # pages asked for, pictures fetched
        self._replayed = 0
        self._stopped_by: str | None = None
        self._mistakes: deque[str] = deque(maxlen=5)

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Make it as Scrapy does."""
        made = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(made._spider_error, signals.spider_error)
        crawler.signals.connect(made._spider_closed, signals.spider_closed)
        return made

    # ---- What a subclass says ------------------------------------------------------------------

    async def begin(self) -> AsyncIterator[Request]:
        """Call `visit` and `take` for what is known at the start; may yield requests."""
        return
        yield  # pragma: no cover

    def read(self, visit: Visit, response: Response) -> dict[str, Any]:
        """Read what matters off an answer, as JSON values.

        Raises
        ------
        ValueError
            If it is not what it should be.
        """
        raise NotImplementedError

    def use(self, visit: Visit, found: dict[str, Any]) -> None:
        """Call `visit` and `take` for what follows from a page."""
        raise NotImplementedError

    def missed(self, visit: Visit) -> None:
        """Call `visit` and `take` where a page could not be had."""

    def diagnose(self) -> list[str]:
        """Say in sentences why there may have been nothing to take."""
        return []

    # ---- What a subclass calls -----------------------------------------------------------------

    def visit(self, visit: Visit) -> None:
        """Put a page on the list. The caller sees to it that none comes twice."""
        self._pages.append(visit)

    def take(
        self,
        url: str,
        found: Found,
        refuse: Failure | None = None,
        instead: str | None = None,
    ) -> None:
        """Put a picture on the list. The caller sees to it that none comes twice.

        With `refuse` it is not asked for, only recorded. `instead` is asked for where the server
        does not have `url`.
        """
        self._images.append((url, found, refuse, instead))

    def passed(self, *, known: int = 0, filtered: int = 0) -> None:
        """Count pictures that need nothing done."""
        self._passed[0] += known
        self._passed[1] += filtered

    # ---- The crawl -----------------------------------------------------------------------------

    async def start(self) -> AsyncIterator[Any]:
        """Connect to the process that stores, then give all requests as there is room for them."""
        self.outbox = await Outbox.connect(self._end)
        self._teller = asyncio.ensure_future(self._tell())
        self._marker = _Marker(self.job)
        async for request in self.begin():
            yield request
            async for further in self._drain():
                yield further
            while self._outstanding >= OUTSTANDING:
                self._room.clear()
                await self._room.wait()
        async for request in self._drain():
            yield request

    async def _drain(self) -> AsyncIterator[Request]:
        """Make requests of what is on the list, as many as there is room for."""
        while self._outstanding < OUTSTANDING and self._stopped_by is None:
            if self._images:
                request = await self.ask_for(*self._images.popleft())
            elif self._pages and not self._spent(self.web.max_pages, self._asked):
                request = await self._ask_for_page(self._pages.popleft())
            else:
                return
            if request is not None:
                yield request

    async def ask_for(
        self,
        url: str,
        found: Found,
        refuse: Failure | None = None,
        instead: str | None = None,
    ) -> Request | None:
        """Make the request for a picture, unless nothing needs to be fetched."""
        event = revisit(found, self.known, self.web.retry, respects_noai=self.web.respect_noai)
        if isinstance(event, Passed):
            self.passed(known=event.known)
            return None
        self._offered += 1
        if event is not None:
            await self.outbox.send(event)
            return None
        if refuse is not None:
            await self._failed(found, refuse, urlsplit(url).netloc)
            return None
        return await self._image_request(url, found, instead)

    async def _image_request(self, url: str, found: Found, instead: str | None) -> Request | None:
        try:
            request = Request(
                url,
                self._got_image,
                errback=self._no_image,
                headers=_FOR_IMAGES,
                cb_kwargs={"found": found},
                priority=10,
                dont_filter=True,
                meta={
                    "download_maxsize": self.job.limits.max_bytes,
                    "found": found,
                    "instead": instead,
                },
            )
        except ValueError as error:
            await self._failed(found, Failure(Reason.URL_REFUSED, escape(str(error)[:300])), "")
            return None
        self._outstanding += 1
        return request

    async def _ask_for_page(self, visit: Visit) -> Request | None:
        memory = self.visited.get(visit.url)
        if memory is not None and self._replay(visit, memory):
            return None
        headers = dict(_FOR_PAGES)
        if memory is not None and memory["found"] is not None:
            if memory["etag"]:
                headers["If-None-Match"] = memory["etag"]
            if memory["last_modified"]:
                headers["If-Modified-Since"] = memory["last_modified"]
        try:
            request = Request(
                visit.url,
                self._got_page,
                errback=self._no_page,
                headers=headers,
                cb_kwargs={"visit": visit},
                priority=0 if visit.kind == "page" else 5,
                dont_filter=True,
                meta={
                    "download_maxsize": self.web.max_page_bytes
                    if visit.kind == "page"
                    else self.web.max_sitemap_bytes,
                    "visit": visit,
                    **({"dont_obey_robotstxt": True} if visit.kind == "robots" else {}),
                },
            )
        except ValueError as error:
            await self._page_failed(
                visit, Failure(Reason.URL_REFUSED, escape(str(error)[:300])), ""
            )
            return None
        self._asked += 1
        self._outstanding += 1
        return request

    def _replay(self, visit: Visit, memory: dict[str, Any]) -> bool:
        """Use what this very crawl fetched before it broke off."""
        if memory["failure"] == Reason.CRASHED_WORKER:
            if memory["detail"] == CRASHED_ONCE or self.web.retry == "all":
                return False
            self.missed(visit)
            return True
        if memory["crawl"] != self.job.crawl:
            return False
        if memory["found"] is None:
            if memory["failure"] and Reason(memory["failure"]) in reasons.TRANSIENT:
                return False
            self.missed(visit)
            return True
        self._replayed += 1
        self.use(visit, json.loads(memory["found"]))
        return True

    # ---- Answers -------------------------------------------------------------------------------

    async def _got_image(self, response: Response, found: Found) -> AsyncIterator[Request]:
        self._done()
        host = _host(response)
        failure = reasons.of_status(response.status) or self._unwanted(response)
        instead = response.meta["instead"]
        if failure is not None and failure.reason in _NOT_THERE and instead is not None:
            request = await self._image_request(instead, found, None)
            if request is not None:
                yield request
        elif failure is not None:
            await self._failed(found, failure, host)
        elif not self._spent(self.web.max_images, self._fetched):
            self._fetched += 1
            self.meter.image(host, len(response.body))
            offer = Offer(
                found.locator,
                revision_of(found),
                read=bytes,
                fields=found.fields,
                label=found.label,
                tags=found.tags,
            )
            await self.outbox.send(offer, response.body)
        self._check_budgets()
        async for request in self._drain():
            yield request

    def _unwanted(self, response: Response) -> Failure | None:
        if self.web.respect_noai and (word := opted_out(response)):
            return Failure(Reason.OPTED_OUT, f"X-Robots-Tag: {word}")
        if not response.body:
            return Failure(Reason.EMPTY_FILE, "the server sent no bytes")
        # No picture format begins so; saved error pages and drawings (SVG) do.
        if response.body[:256].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{", b"["):
            kind = (response.headers.get("Content-Type") or b"").decode("latin-1")[:100]
            return Failure(Reason.NOT_AN_IMAGE, escape(f"the server sent text, as {kind!r}"))
        return None

    async def _no_image(self, failure: TwistedFailure) -> AsyncIterator[Request]:
        self._done()
        request: Any = failure.request  # type: ignore[attr-defined]
        why = self._why(failure)
        await self._failed(request.meta["found"], why, urlparse_cached(request).netloc)
        async for further in self._drain():
            yield further

    async def _failed(self, found: Found, why: Failure, host: str) -> None:
        if host:
            self.meter.error(host, why.reason)
        offer = Offer(
            found.locator,
            revision_of(found),
            failure=why,
            fields=found.fields,
            label=found.label,
            tags=found.tags,
        )
        await self.outbox.send(offer)

    async def _got_page(self, response: Response, visit: Visit) -> AsyncIterator[Request]:
        self._done()
        host = _host(response)
        failure = reasons.of_status(response.status)
        if failure is not None:
            await self._page_failed(visit, failure, host)
        else:
            self.meter.page(host, len(response.body))
            await self._read_page(response, visit, host)
        self._check_budgets()
        async for request in self._drain():
            yield request

    async def _read_page(self, response: Response, visit: Visit, host: str) -> None:
        memory = self.visited.get(visit.url)
        before = None if memory is None else memory["found"]
        if response.status == 304 and memory is not None and before is not None:
            text, etag, modified = before, memory["etag"], memory["last_modified"]
        else:
            with self._marker.reading(visit.url):
                try:
                    text = json.dumps(self.read(visit, response), ensure_ascii=True)
                except ValueError as error:
                    why = Failure(Reason.CORRUPT, escape(" ".join(str(error).split())[:300]))
                    await self._page_failed(visit, why, host)
                    return
            etag, modified = _header(response, "ETag"), _header(response, "Last-Modified")
        changed = None if text == before else text
        await self.outbox.send(
            Page(escape(visit.url), visit.kind, self.job.crawl, etag, modified, changed)
        )
        self.use(visit, json.loads(text))

    async def _no_page(self, failure: TwistedFailure) -> AsyncIterator[Request]:
        self._done()
        request: Any = failure.request  # type: ignore[attr-defined]
        why = self._why(failure)
        await self._page_failed(request.meta["visit"], why, urlparse_cached(request).netloc)
        async for further in self._drain():
            yield further

    async def _page_failed(self, visit: Visit, why: Failure, host: str) -> None:
        if not (visit.guess and why.reason in _NOT_THERE):
            self.meter.error(host or "(none)", why.reason)
            await self.outbox.send(Page(escape(visit.url), visit.kind, self.job.crawl, failure=why))
        self.missed(visit)

    def _why(self, failure: TwistedFailure) -> Failure:
        """Give the reason of a failed request.

        What no rule foresees is recorded as what it most often is, with its name.
        """
        error = failure.value or ConnectionError()
        known = reasons.of_exception(error)
        if known is not None:
            return known
        text = escape(f"{type(error).__name__}: {error}"[:300])
        return Failure(Reason.CONNECTION_FAILED, text)

    def _done(self) -> None:
        self._outstanding -= 1
        if self._outstanding < OUTSTANDING:
            self._room.set()

    # ---- Bounds, and the end -------------------------------------------------------------------

    @staticmethod
    def _spent(most: int | None, count: int) -> bool:
        return most is not None and count >= most

    def _check_budgets(self) -> None:
        """End the crawl when a budget is spent; that of pages leaves their pictures to be had."""
        if self._spent(self.web.max_images, self._fetched):
            self._stop("max_images")
        if self._spent(self.web.max_bytes, self.meter.total.bytes):
            self._stop("max_bytes")

    def _stop(self, budget: str) -> None:
        if self._stopped_by is None:
            self._stopped_by = budget
            engine: Any = self.crawler.engine
            self._closing = asyncio.ensure_future(engine.close_spider_async(reason=budget))

    async def _tell(self) -> None:
        """Say every second how far the crawl has come; this is its sign of life, too."""
        while True:
            await asyncio.sleep(_TELL_EVERY)
            await self._flush()
            minutes = (time.monotonic() - self._began) / 60
            if self.web.max_minutes is not None and minutes >= self.web.max_minutes:
                self._stop("max_minutes")

    async def _flush(self) -> None:
        known, filtered = self._passed
        self._passed = [0, 0]
        if known or filtered:
            await self.outbox.send(Passed(known=known, filtered=filtered))
        await self.outbox.send(self.meter.traffic())

    def _spider_error(self, failure: TwistedFailure) -> None:
        """Keep our own mistakes to be told: a crawl must not hide them."""
        self._mistakes.append(failure.getTraceback()[-2000:])

    async def _spider_closed(self, spider: Spider, reason: str) -> None:
        self._teller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._teller
        await self._flush()
        if self._stopped_by is None and self._pages:
            self._stopped_by = "max_pages"
        await self.outbox.tell(
            "end",
            finished=self._stopped_by is None and not self._mistakes and reason == "finished",
            stopped_by=self._stopped_by,
            reason=reason,
            offered=self._offered,
            pages=self.meter.total.pages,
            images=self._fetched,
            replayed=self._replayed,
            seconds=round(time.monotonic() - self._began, 2),
            diagnosis=self.diagnose(),
            mistakes=list(self._mistakes),
        )
        await self.outbox.close()


def _host(response: Response) -> str:
    return urlparse_cached(response).netloc


def _header(response: Response, name: str) -> str | None:
    """Give a header that may be sent back, or None."""
    text = (response.headers.get(name) or b"").decode("latin-1").strip()
    return text if text.isprintable() and 0 < len(text) <= 500 else None


_NO_TRAINING: Final = ("noai", "noimageai")


def opted_out(response: Response) -> str | None:
    """Find noai or noimageai in X-Robots-Tag, for all robots or for us; None without."""
    for header in response.headers.getlist("X-Robots-Tag"):
        agent = ""
        for part in header.decode("latin-1").split(","):
            name, colon, rest = part.partition(":")
            # Once named, an agent goes for all that follows in the header.
            agent, word = (name.strip(), rest) if colon else (agent, part)
            ours = agent.lower() in ("", "*", PRODUCT.lower())
            if ours and word.strip().lower() in _NO_TRAINING:
                return word.strip().lower()
    return None


class _Marker:
    """Writes down which page is being read, where it outlives this process."""

    def __init__(self, job: Job) -> None:
        with job.marker.open("r+b") as file:
            file.truncate(_MARKER_BYTES)
            self._map = mmap.mmap(file.fileno(), _MARKER_BYTES)

    @contextlib.contextmanager
    def reading(self, url: str) -> Any:
        """Name a page while the body runs."""
        data = url.encode()[: _MARKER_BYTES - 1]
        self._map[: len(data) + 1] = data + b"\0"
        try:
            yield
        finally:
            self._map[:1] = b"\0"
