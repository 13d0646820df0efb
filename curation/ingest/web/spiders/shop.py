"""A web shop: feeds, sitemaps and links lead to products, products to pictures."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.http import Response

from curation.ingest.names import PICTURE_ENDINGS, escape
from curation.ingest.offers import Failure, Found
from curation.ingest.web.products import Product, read_page
from curation.ingest.web.revisit import place
from curation.ingest.web.settings import ShopConfig
from curation.ingest.web.shopify import read_products
from curation.ingest.web.sitemaps import read_sitemap, sitemaps_in_robots, unpack
from curation.ingest.web.spiders.base import Visit, WebSpider, opted_out
from data_catalog.schema import Reason

_FEED_PAGE: Final = 250  # products; Shopify gives no more at a time
_NO_PAGES: Final = PICTURE_ENDINGS | {
    "pdf", "zip", "gz", "mp4", "webm", "mov", "mp3", "css", "js", "svg", "woff", "woff2", "xml",
    "json", "rss", "doc", "docx", "xls", "xlsx", "csv", "txt",
}  # fmt: skip


class ShopSpider(WebSpider):
    """Goes through robots.txt, then the feed, then sitemaps and links, one site after another.

    The feed goes first: its products need no page, and what it says of a picture holds.
    """

    config: ShopConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._origins = list(dict.fromkeys(_origin(url) for url in self.config.start_urls))
        starts = {urlsplit(url).netloc for url in self.config.start_urls}
        self._hosts = {_site(host) for host in (*starts, *self.config.hosts)}
        self._sitemaps: set[str] = set()
        self._fed: set[int] = set()
        self._pictures: set[int] = set()
        self._web = _Links(self.config.depth)
        self._products = self._left_out = 0

    async def begin(self) -> AsyncIterator[Request]:
        """Begin with each site's robots.txt, which names its sitemaps."""
        for origin in self._origins:
            self.visit(Visit("robots", f"{origin}/robots.txt", guess=True))
        return
        yield  # pragma: no cover

    # ---- Reading -------------------------------------------------------------------------------

    def read(self, visit: Visit, response: Response) -> dict[str, Any]:
        """Read sitemaps off robots.txt and sitemaps, products off the rest."""
        match visit.kind:
            case "robots":
                return {"sitemaps": sitemaps_in_robots(response.body)}
            case "feed":
                products = read_products(response.body, _origin(visit.url))
                return {"products": [asdict(product) for product in products]}
            case "sitemap":
                body = unpack(response.body, self.web.max_sitemap_bytes)
                sitemap = read_sitemap(body, response.url)
                return {"pages": sitemap.pages, "sitemaps": sitemap.sitemaps}
        if _site(urlsplit(response.url).netloc) not in self._hosts:
            raise ValueError(f"leads to another site, {_origin(response.url)}")
        encoding = getattr(response, "encoding", None)
        content = read_page(response.body, response.url, encoding)
        return {
            "products": [asdict(product) for product in content.products],
            "links": [] if content.nofollow else [u for u in content.links if self._leads(u)],
            "opted_out": content.opted_out or opted_out(response) is not None,
        }

    def _leads(self, url: str) -> bool:
        """Tell whether a link may lead to a page of the shop."""
        parts = urlsplit(url)
        ending = parts.path.rpartition(".")[2].lower()
        return (
            _site(parts.netloc) in self._hosts
            and ending not in _NO_PAGES
            and not self.config.skips(url)
        )

    # ---- What follows --------------------------------------------------------------------------

    def use(self, visit: Visit, found: dict[str, Any]) -> None:
        """Follow what a page gave."""
        match visit.kind:
            case "robots":
                self._read_sitemaps(visit, found["sitemaps"])
            case "feed":
                self._use_feed(visit, found)
            case "sitemap":
                for url in found["sitemaps"]:
                    self._read_sitemap(url)
                for url in found["pages"]:
                    if self._leads(url):
                        self._go(url, 1)
            case _:
                self._take_products(found["products"], opted_out=found["opted_out"])
                for url in self._web.read(visit.url, found["links"]):
                    self._ask(url)

    def missed(self, visit: Visit) -> None:
        """Go on without a page that is not there."""
        if visit.kind == "robots":
            self._read_sitemaps(visit, ())
        elif visit.kind == "feed":
            self._begin_pages(_origin(visit.url))

    def _read_sitemaps(self, visit: Visit, named: Any) -> None:
        """Go on after robots.txt."""
        origin = _origin(visit.url)
        if self.config.sitemaps:
            for url in named:
                self._read_sitemap(url)
            if not named:
                self._read_sitemap(f"{origin}/sitemap.xml", guess=True)
        if self.config.feed:
            self._feed(origin, 1)
        else:
            self._begin_pages(origin)

    def _read_sitemap(self, url: str, *, guess: bool = False) -> None:
        if url not in self._sitemaps:
            self._sitemaps.add(url)
            self.visit(Visit("sitemap", url, guess=guess))

    def _feed(self, origin: str, page: int) -> None:
        url = f"{origin}/products.json?limit={_FEED_PAGE}&page={page}"
        self.visit(Visit("feed", url, guess=page == 1, context={"page": page}))

    def _use_feed(self, visit: Visit, found: dict[str, Any]) -> None:
        origin = _origin(visit.url)
        self._take_products(found["products"], opted_out=False)
        self._fed.update(hash(product["page"]) for product in found["products"])
        if found["products"]:
            self._feed(origin, visit.context["page"] + 1)
        else:
            self._begin_pages(origin)

    def _begin_pages(self, origin: str) -> None:
        for url in self.config.start_urls:
            if _origin(url) == origin:
                self._go(url, 0)

    def _go(self, url: str, depth: int) -> None:
        for reached in self._web.reach(url, depth):
            self._ask(reached)

    def _ask(self, url: str) -> None:
        if hash(url) not in self._fed:
            self.visit(Visit("page", url))

    def _take_products(self, products: list[dict[str, Any]], *, opted_out: bool) -> None:
        refuse = None
        if opted_out and self.web.respect_noai:
            refuse = Failure(Reason.OPTED_OUT, "its page asks not to be used: noai")
        for values in products:
            product = Product(**values)
            named = dict(product.named)
            self._products += 1
            fresh = [url for url in product.images if hash(url) not in self._pictures]
            self._pictures.update(map(hash, fresh))
            if not self.config.takes(product.title, product.category):
                self._left_out += 1
                self.passed(filtered=len(fresh))
                continue
            for url in fresh:
                self.take(url, self._found(url, product), refuse, named.get(url))

    def _found(self, url: str, product: Product) -> Found:
        named = ("page", "title", "brand", "category", "colour", "sku")
        fields = {name: value for name in named if (value := getattr(product, name))}
        chosen = self.config.label_from
        label = None if chosen == "none" else fields.get(chosen)
        return Found(
            escape(url),
            place(product.page),
            bytes,
            label=label or self.config.label,
            fields=fields,
        )

    def diagnose(self) -> list[str]:
        """Say what was found instead of pictures."""
        lines = [
            f"{self._products} products were found, {self._left_out} of them left out by the "
            "filters on category and title"
        ]
        if not self._products:
            lines.append(
                "no page says that it shows a product (schema.org Product in JSON-LD or microdata, "
                "og:type product), and there is no /products.json; is the start URL right, is "
                "`depth` enough, does the site need JavaScript?"
            )
        return lines


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _site(host: str) -> str:
    """Take host and www.host for one."""
    return host.lower().removeprefix("www.")


class _Links:
    """Which page leads to which, so that the set of pages reached does not depend on the order.

    A page is reached at the least number of links from a start; where it turns out to be nearer
    than it was taken to be, what it links to is nearer as well.
    """

    def __init__(self, depth: int) -> None:
        self._most = depth
        self._ids: dict[str, int] = {}
        self._urls: list[str] = []
        self._depth: dict[int, int] = {}
        self._links: dict[int, array[int]] = {}

    def reach(self, url: str, depth: int) -> list[str]:
        """Note that a page is reached; give the pages that are reached for the first time."""
        return self._relax([(self._id(url), min(depth, self._most))])

    def read(self, url: str, links: list[str]) -> list[str]:
        """Note what a page links to; give the pages that are reached for the first time."""
        page = self._id(url)
        self._links[page] = array("I", [self._id(link) for link in links])
        depth = self._depth.setdefault(page, self._most) + 1
        return self._relax([(link, depth) for link in self._links[page]])

    def _relax(self, reached: list[tuple[int, int]]) -> list[str]:
        first: list[str] = []
        waiting = deque(reached)
        while waiting:
            page, depth = waiting.popleft()
            known = self._depth.get(page, self._most + 1)
            if depth >= known:
                continue
            if page not in self._depth:
                first.append(self._urls[page])
            self._depth[page] = depth
            waiting.extend((link, depth + 1) for link in self._links.get(page, ()))
        return first

    def _id(self, url: str) -> int:
        if url not in self._ids:
            self._ids[url] = len(self._urls)
            self._urls.append(url)
        return self._ids[url]
