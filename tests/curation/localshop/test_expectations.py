from __future__ import annotations

import gzip
import hashlib
import json
import re
import time
from collections import deque
from pathlib import Path
from urllib.parse import urljoin

import pytest
from lxml import etree, html

from curation.localshop.expectations import Expected
from curation.localshop.faults import REASONS, USUAL, Fault
from curation.localshop.pages import is_forbidden
from curation.localshop.plan import media_path
from curation.localshop.requestlog import read_log
from curation.localshop.server import LocalShop
from data_catalog.schema import Reason
from tests.curation.localshop.conftest import NAMES, Get, Got

_LOC = "{*}loc"
_RESIZED = re.compile(r"\?.*|_\d+x(?=\.)")


class Visitor:
    """The simplest client that copes with what the shop does and asks for nothing forbidden."""

    def __init__(self, url: str, get: Get) -> None:
        self.url, self._get = url, get
        self.offered: set[str] = set()  # pictures
        self._seen: set[str] = set()
        self._queue: deque[str] = deque()

    def fetch(self, url: str) -> Got | None:
        """Give what is there in the end, or None."""
        for _ in range(6):
            if not url.startswith(self.url) or is_forbidden(url.removeprefix(self.url)):
                return None
            got = self._get(url)
            if got.status == 200:
                return None if "x-robots-tag" in got.headers else got
            if got.status in (301, 302):
                url = urljoin(url, got.headers["location"])
            elif got.status == 429:
                time.sleep(float(got.headers["retry-after"]) + 0.05)
            elif got.status != 500:
                return None
        return None

    def crawl(self) -> None:
        """Go wherever sitemaps, the feed and links lead."""
        self._sitemap(f"{self.url}/sitemap.xml")
        for number in range(1, 100):
            page = self._get(f"{self.url}/products.json?limit=7&page={number}")
            products = json.loads(page.body)["products"]
            if not products:
                break
            self.offered.update(i["src"] for p in products for i in p["images"])
        self._note(self.url + "/")
        while self._queue:
            self._page(self._queue.popleft())

    def _note(self, url: str) -> None:
        if url.startswith(self.url) and url not in self._seen:
            self._seen.add(url)
            self._queue.append(url)

    def _sitemap(self, url: str) -> None:
        got = self.fetch(url)
        if got is None or "bomb" in url or b"<!ENTITY" in got.body:
            return
        body = gzip.decompress(got.body) if url.endswith(".gz") else got.body
        for entry in etree.fromstring(body):
            (loc,) = (e.text or "" for e in entry.iterchildren(_LOC))
            self._note(loc) if "/sitemaps/" not in loc else self._sitemap(loc)

    def _page(self, url: str) -> None:
        got = self.fetch(url)
        if got is None or not got.headers["content-type"].startswith("text/html"):
            return
        page = html.fromstring(got.body.decode())
        page.make_links_absolute(url)
        robots = page.xpath('string(//meta[@name="robots"]/@content)')
        pictures = page.xpath('//div[@class="gallery"]//img/@src')
        if robots != "noai":
            self.offered.update(_RESIZED.sub("", str(u)) for u in pictures)
        if robots != "nofollow":
            for link in page.xpath("//a/@href"):
                if "/media/" not in link:
                    self._note(link)


@pytest.fixture(scope="module")
def faults() -> frozenset[Fault]:
    return USUAL - {Fault.ENDLESS}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def test_a_simple_crawl_finds_what_is_expected(
    folder: Path, log: Path, faults: frozenset[Fault], get: Get
) -> None:
    with LocalShop(folder, seed=7, faults=faults, log=log) as shop:
        expected = shop.expected()
        visitor = Visitor(shop.url, get)
        visitor.crawl()
        opted_out = {u for u, r in expected.failing.items() if "opted_out_page" in u}
        assert visitor.offered == (expected.images.keys() | expected.failing.keys()) - opted_out
        arrived = {}
        for url in expected.images:
            got = visitor.fetch(url)
            assert got is not None
            arrived[url] = hashlib.sha256(got.body).hexdigest()
        assert arrived == expected.images
        asked = {shop.url + entry.path for entry in read_log(log)}
    assert not asked & expected.never
    assert not [entry for entry in read_log(log) if is_forbidden(entry.path)]


@pytest.fixture(scope="module")
def expected(folder: Path) -> Expected:
    return LocalShop(folder, seed=7, port=1, faults=Fault).expected()


def test_every_picture_of_the_folder_is_among_them(expected: Expected, folder: Path) -> None:
    for name in NAMES:
        digest = expected.images["http://127.0.0.1:1" + media_path(name)]
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_failures_have_reasons(expected: Expected) -> None:
    assert len(expected.failing) == len(REASONS) + 1
    by_name = {url.rpartition("/")[2]: reason for url, reason in expected.failing.items()}
    assert by_name["outside.jpg"] is Reason.REDIRECT_REFUSED
    assert by_name["odd-private.jpg"] is Reason.ROBOTS_DENIED
    assert by_name["odd-truncated.jpg"] is Reason.CUT_SHORT
    assert not expected.failing.keys() & expected.images.keys()


def test_what_is_never_asked_for(expected: Expected) -> None:
    paths = {url.removeprefix("http://127.0.0.1:1") for url in expected.never}
    assert {
        "/private/",
        "/private/sample-0.png",
        "/private/odd-private.jpg",
        "/private/aside-odd-to_private.jpg",
        "/media/odd-opted_out_page.jpg",
        "/products/unlisted",
        "/collections/tableware?sort_by=price",
    } <= paths
    assert not expected.never & expected.images.keys()


def test_bad_pages_are_named(expected: Expected) -> None:
    assert sorted(expected.bad_pages.values()) == [
        Fault.PAGE_MISSING,
        Fault.SITEMAP_BOMB,
        Fault.SITEMAP_ENTITIES,
    ]


def test_without_faults_everything_arrives(folder: Path) -> None:
    expected = LocalShop(folder, port=1, faults=False).expected()
    assert expected.failing == expected.bad_pages == {}
    assert len(expected.images) == len(NAMES) + 4
