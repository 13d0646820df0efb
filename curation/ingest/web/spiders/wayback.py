"""A site as a web archive kept it: a search lists captures, and the archive gives their bytes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, astuple
from datetime import datetime
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from scrapy import Request, Spider
from scrapy.http import Response

from curation.ingest.names import escape
from curation.ingest.offers import Failure, Found, Page
from curation.ingest.web import reasons
from curation.ingest.web.cdx import (
    Capture,
    CdxError,
    Listing,
    Step,
    Wanted,
    parse_response,
    replay_url,
)
from curation.ingest.web.products import Product, read_page
from curation.ingest.web.settings import WaybackConfig
from curation.ingest.web.sizes import size_of
from curation.ingest.web.spiders.base import Visit, WebSpider, opted_out
from curation.ingest.web.urls import canonical
from data_catalog.schema import Reason

_DOCUMENTS: Final = ("text/html", "application/xhtml+xml")
_READ_AHEAD: Final = 8  # archived pages on the list at a time

_REDIRECTS: Final = (301, 302, 303, 307, 308)

# Another capture of the same bytes may be had where one cannot.
_OF_THE_CAPTURE: Final = (
    Reason.NOT_FOUND,
    Reason.HTTP_ERROR,
    Reason.SERVER_ERROR,
    Reason.REDIRECT_REFUSED,
    Reason.NOT_AN_IMAGE,
    Reason.EMPTY_FILE,
    Reason.CUT_SHORT,
)


class WaybackSpider(WebSpider):
    """Lists captures page by page, and fetches each picture once, however often it was captured.

    With `pages`, pictures wait until the archived pages have been read that describe them.
    """

    config: WaybackConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self._listing = Listing(config.cdx_url, config.url, config.match, config.page_size)
        self._broken = self._passing = False  # the listing, and whether another try may do
        self._wanted = config.wanted
        self._documents = Wanted(_DOCUMENTS, 0, config.first, config.last)
        # By digest: one more capture of the same bytes, if there is.
        self._taken: dict[str, Capture | None] = {}
        self._waiting: list[Capture] = []
        self._unread: deque[Capture] = deque()
        self._documents_seen: set[str] = set()
        self._reading = 0
        self._read: dict[str, tuple[list[dict[str, Any]], bool]] = {}
        self._about: dict[str, tuple[Product, bool]] = {}
        self._counts: Counter[str] = Counter()
        self._trouble = ""

    async def begin(self) -> AsyncIterator[Request]:
        """Begin with the first page of the search."""
        self._go_on()
        return
        yield  # pragma: no cover

    # ---- Reading -------------------------------------------------------------------------------

    def read(self, visit: Visit, response: Response) -> dict[str, Any]:
        """Read captures off an answer to the search, products off archived pages."""
        if visit.kind == "listing":
            answer = parse_response(response.body)
            worth = [c for c in answer.captures if self._is_worth(c)]
            return {
                "step": asdict(visit.context["window"].step(answer)),
                "captures": [astuple(c) for c in worth],
                "bad": answer.bad,
                "left_out": sum(
                    c.kind.startswith("image/") and not self._wanted.takes(c)
                    for c in answer.captures
                ),
            }
        capture: Capture = visit.context["capture"]
        encoding = getattr(response, "encoding", None)
        content = read_page(response.body, capture.original, encoding)
        return {
            "products": [asdict(product) for product in content.products],
            "opted_out": content.opted_out or opted_out(_as_recorded(response)) is not None,
        }

    def _is_worth(self, capture: Capture) -> bool:
        return self._wanted.takes(capture) or (self.config.pages and self._documents.takes(capture))

    # ---- What follows --------------------------------------------------------------------------

    def use(self, visit: Visit, found: dict[str, Any]) -> None:
        """Take what was listed or read, and go on."""
        if visit.kind == "listing":
            self._use_listing(found)
        else:
            self._reading -= 1
            self._read[visit.url] = (found["products"], found["opted_out"])
        self._go_on()

    def missed(self, visit: Visit) -> None:
        """Go on without a page; without a page of the search there are no further ones."""
        if visit.kind == "listing":
            self._broken = True
        else:
            self._reading -= 1
        self._go_on()

    async def _page_failed(self, visit: Visit, why: Failure, host: str) -> None:
        if visit.kind == "listing":
            if why.reason is Reason.FILE_TOO_LARGE and self._listing.shrink():
                self._go_on()
                return
            self._passing = why.reason in reasons.TRANSIENT
        await super()._page_failed(visit, why, host)

    def _use_listing(self, found: dict[str, Any]) -> None:
        try:
            counts = self._listing.take(Step(**found["step"]))
        except CdxError as error:
            self._broken, self._trouble = True, str(error)
            return
        if not counts:
            return
        self._counts.update(listed=found["step"]["rows"], bad=found["bad"])
        self.passed(filtered=found["left_out"])
        for values in found["captures"]:
            capture = Capture(*values)
            if self._wanted.takes(capture):
                self._note_picture(capture)
            elif capture.urlkey not in self._documents_seen:
                self._documents_seen.add(capture.urlkey)
                self._unread.append(capture)

    def _note_picture(self, capture: Capture) -> None:
        self._counts["pictures"] += 1
        digest = capture.digest
        if digest is not None and digest in self._taken:
            self._taken[digest] = self._taken[digest] or capture
            return
        if digest is not None:
            self._taken[digest] = None
        if self.config.pages:
            self._waiting.append(capture)
        else:
            self._take_picture(capture)

    def _go_on(self) -> None:
        """Ask for what comes next: the search, then pages, then the pictures that waited."""
        window = None if self._broken else self._listing.window
        if window is None:
            self._read_on()
            return
        if self._spent(self.web.max_pages, self._asked):
            self._take_all_that_waited()
        self.visit(Visit("listing", self._listing.query(window), context={"window": window}))

    def _read_on(self) -> None:
        most = self.web.max_pages
        while self._unread and self._reading < _READ_AHEAD:
            # Those being read are counted twice until they have been; then it is right.
            if self._spent(most, self._asked + self._reading):
                break
            self._reading += 1
            self._visit_page(self._unread.popleft())
        if self._reading:
            return
        self._take_all_that_waited()
        if self._unread:
            # It is not fetched any more, and tells that there was more than `max_pages`.
            self._visit_page(self._unread.popleft())

    def _visit_page(self, capture: Capture) -> None:
        url = replay_url(self.config.replay_url, capture.timestamp, capture.original)
        self.visit(Visit("page", url, context={"capture": capture}))

    # ---- Pictures ------------------------------------------------------------------------------

    def _take_all_that_waited(self) -> None:
        """Take the pictures, now that all is known that will be known about them."""
        # In an order that does not depend on which page came first.
        for url in sorted(self._read):
            products, refused = self._read[url]
            for values in products:
                product = Product(**{**values, "images": tuple(values["images"])})
                for image in product.images:
                    self._about.setdefault(size_of(image)[0], (product, refused))
        self._read.clear()
        for capture in self._waiting:
            self._take_picture(capture)
        self._waiting.clear()

    def _take_picture(self, capture: Capture) -> None:
        product, opted = self._about.get(_picture_key(capture.original), (None, False))
        refuse = None
        if opted and self.web.respect_noai:
            refuse = Failure(Reason.OPTED_OUT, "its page asks not to be used: noai")
        url = replay_url(self.config.replay_url, capture.timestamp, capture.original)
        self.take(url, self._found(capture, product), refuse)

    def _found(self, capture: Capture, product: Product | None) -> Found:
        named = ("page", "title", "brand", "category", "colour", "sku")
        fields: dict[str, Any] = {
            "url": capture.original,
            "captured": datetime.strptime(capture.timestamp, "%Y%m%d%H%M%S").isoformat() + "Z",
            "mime": capture.kind,
        }
        if capture.length is not None and not capture.is_revisit:
            fields["record_bytes"] = capture.length
        fields |= {name: value for name in named if (value := getattr(product, name, None))}
        # The archive may move; what is in it stays where it is.
        locator = escape(f"{capture.timestamp}/{capture.original}")
        digest = capture.digest or ""
        return Found(locator, digest, bytes, label=self.config.label, fields=fields)

    async def _failed(self, found: Found, why: Failure, host: str) -> None:
        await super()._failed(found, why, host)
        if why.reason not in _OF_THE_CAPTURE or found.content not in self._taken:
            return
        other = self._taken.pop(found.content)
        if other is not None:
            self._taken[found.content] = None
            self._take_picture(other)

    def _unwanted(self, response: Response) -> Failure | None:
        return super()._unwanted(_as_recorded(response))

    def _replay(self, visit: Visit, memory: dict[str, Any]) -> bool:
        # What was captured does not change: of an archived page one reading is enough for good.
        if visit.kind == "page" and memory["found"] is not None:
            memory = {**memory, "crawl": self.job.crawl}
        return super()._replay(visit, memory)

    # ---- Staying in the archive ----------------------------------------------------------------

    async def _image_request(self, url: str, found: Found, instead: str | None) -> Request | None:
        return _not_redirected(await super()._image_request(url, found, instead))

    async def _ask_for_page(self, visit: Visit) -> Request | None:
        request = await super()._ask_for_page(visit)
        return request if visit.kind == "listing" else _not_redirected(request)

    async def _got_image(self, response: Response, found: Found) -> AsyncIterator[Request]:
        async def refuse(why: Failure) -> None:
            await self._failed(found, why, urlsplit(response.url).netloc)

        async for request in self._within(response, super()._got_image(response, found), refuse):
            yield request

    async def _got_page(self, response: Response, visit: Visit) -> AsyncIterator[Request]:
        async def refuse(why: Failure) -> None:
            await self._page_failed(visit, why, urlsplit(response.url).netloc)

        async for request in self._within(response, super()._got_page(response, visit), refuse):
            yield request

    async def _within(
        self,
        response: Response,
        usual: AsyncIterator[Request],
        refuse: Callable[[Failure], Awaitable[None]],
    ) -> AsyncIterator[Request]:
        """Follow a redirect to another capture; one that was archived leads to the live site."""
        if response.status not in _REDIRECTS:
            async for request in usual:
                yield request
            return
        asked: Any = response.request
        hops = asked.meta.get("hops", 0) + 1
        target = urljoin(response.url, (response.headers.get("Location") or b"").decode("latin-1"))
        if not target.startswith(f"{self.config.replay_url.rstrip('/')}/"):
            why = "leads out of the archive"
        elif hops > self.web.max_redirects:
            why = "is one more than `max_redirects`"
        else:
            yield asked.replace(url=target, meta={**asked.meta, "hops": hops})
            return
        self._done()
        detail = f"the redirect {why}: {target[:200]}"
        await refuse(Failure(Reason.REDIRECT_REFUSED, escape(detail)))
        async for request in self._drain():
            yield request

    # ---- The end -------------------------------------------------------------------------------

    async def _spider_closed(self, spider: Spider, reason: str) -> None:
        if self._trouble:
            why = Failure(Reason.CORRUPT, escape(self._trouble[:300]))
            await self.outbox.send(
                Page(self.config.cdx_url, "listing", self.job.crawl, failure=why)
            )
        if self._passing and self._stopped_by is None:
            self._stopped_by = "listing"  # the next run goes on with it
        await super()._spider_closed(spider, reason)

    def diagnose(self) -> list[str]:
        """Say what the archive listed."""
        listed, pictures, bad = (self._counts[n] for n in ("listed", "pictures", "bad"))
        lines = [
            f"the archive lists {listed} captures of {self.config.url} and what belongs to it by "
            f"match = {self.config.match!r}; {pictures} of them are pictures that are wanted"
        ]
        if bad:
            lines.append(f"{bad} rows of its lists name nothing that can be fetched")
        if self._trouble:
            lines.append(self._trouble)
        elif not listed and not self._broken:
            lines.append("was the site reached by this name then? Is `cdx_url` right?")
        return lines


def _not_redirected(request: Request | None) -> Request | None:
    """Have redirects come to us: which of them are followed depends on where they lead."""
    if request is not None:
        request.meta["dont_redirect"] = True
    return request


def _as_recorded(response: Response) -> Response:
    """Put what the site itself said of robots, then, where a site says it now."""
    for wish in response.headers.getlist("X-Archive-Orig-X-Robots-Tag"):
        response.headers.appendlist("X-Robots-Tag", wish)
    return response


def _picture_key(url: str) -> str:
    """Tell the picture from its size: pages name the largest, archives hold what was shown."""
    try:
        return size_of(canonical(url))[0]
    except ValueError:
        return url
