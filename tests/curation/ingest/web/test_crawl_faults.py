"""Whatever is killed: the same command comes to the same pictures, none fetched twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from curation.errors import CrawlDiedError, SourceError
from curation.ingest.stage import drop_superseded_pages
from curation.localshop.server import LocalShop
from data_catalog.catalog import Catalog
from tests.curation.ingest.web.conftest import Crawls
from tests.curation.ingest.web.site import Answer, Asked, Site, picture

# NONESUCH_KILLS=10 takes more of them, which is minutes longer.
MOMENTS = int(os.environ.get("NONESUCH_KILLS", "2"))
PRODUCTS = 60

PARENT = """
import sys
from pydantic import TypeAdapter
from curation.ingest.sources import SourceConfig, open_source
from curation.ingest.stage import ingest
from curation.recipe import Limits
from data_catalog.catalog import Catalog
config = TypeAdapter(SourceConfig).validate_json(sys.argv[2])
print("begin", flush=True)
ingest(Catalog(sys.argv[1]), open_source(config), Limits(), tombstones=set())
"""


@dataclass
class Crawled:
    """A shop, and what an undisturbed crawl of it gives."""

    shop: LocalShop
    log: Path
    found: set[tuple[str, str]]
    seconds: float

    def config(self, crawls: Crawls) -> str:
        config = crawls.config(
            kind="shop", start_urls=[self.shop.url], per_host=4, commit_seconds=0.15
        )
        return str(config.model_dump_json())

    def requested(self, since: int = 0) -> list[str]:
        """Give the paths of pictures asked for, from a line of the log on."""
        lines = self.log.read_text().splitlines()[since:]
        paths = [json.loads(line)["path"] for line in lines]
        return [path for path in paths if path.startswith("/media/")]

    def length(self) -> int:
        return len(self.log.read_text().splitlines())


def start(crawls: Crawls, config: str) -> subprocess.Popen[bytes]:
    """Start a process that ingests; give it when it begins."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(crawls.folder / "root"), config],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as told:
        assert told.readline() == b"begin\n"
    return process


def found(catalog: Catalog) -> set[tuple[str, str]]:
    rows = catalog.table("observations").read(["locator", "image_id"]).to_pylist()
    pairs = [(row["locator"], row["image_id"]) for row in rows if row["image_id"]]
    assert len(pairs) == len(set(pairs)), "something is observed twice"
    return set(pairs)


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    folder = tmp_path_factory.mktemp("undisturbed")
    log = folder / "log"
    with LocalShop.generated(PRODUCTS, log=log) as shop:
        crawled = Crawled(shop, log, set(), 0.0)
        crawls = Crawls(folder)
        process = start(crawls, crawled.config(crawls))
        began = time.monotonic()
        assert process.wait(120) == 0
        crawled.seconds = time.monotonic() - began
        crawled.found = found(crawls.catalog)
        assert len(crawled.found) == PRODUCTS
        yield crawled


def kill(process: subprocess.Popen[bytes], what: str) -> None:
    """Kill the process that stores, the crawl, or both."""
    try:
        crawl = psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        crawl = []
    victims = [] if what == "crawl" else [psutil.Process(process.pid)]
    victims += [] if what == "parent" else crawl
    for victim in victims:
        try:
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:  # it was done
            continue
    # A crawl whose parent is gone must go by itself, or it would fetch for nobody.
    if what == "parent":
        assert not psutil.wait_procs(crawl, timeout=20)[1]
    assert process.wait(120) in (0, -signal.SIGKILL)


@pytest.mark.parametrize("number", range(MOMENTS))
@pytest.mark.parametrize("what", ["crawl", "parent", "both"])
def test_killed_at_any_moment(tmp_path: Path, crawled: Crawled, what: str, number: int) -> None:
    crawls = Crawls(tmp_path)
    share = (number + np.random.default_rng(number).random()) / MOMENTS
    process = start(crawls, crawled.config(crawls))
    time.sleep(share * crawled.seconds)
    kill(process, what)
    committed = found(crawls.catalog)
    after = crawled.length()
    crawls.run(kind="shop", start_urls=[crawled.shop.url], commit_seconds=0.15)
    assert found(crawls.catalog) == crawled.found
    again = {crawled.shop.url + path.partition("?")[0] for path in crawled.requested(after)}
    assert not again & {locator for locator, _ in committed}
    pages = [row for row in crawls.rows("pages") if row["kind"] == "crawl"]
    assert json.loads(pages[-1]["found"])["finished"]


def test_a_crawl_that_broke_off_asks_for_no_page_again(tmp_path: Path, crawled: Crawled) -> None:
    (tmp_path / "calm").mkdir()
    calm, crawls = Crawls(tmp_path / "calm"), Crawls(tmp_path)
    keys = {"kind": "shop", "start_urls": [crawled.shop.url], "feed": False}
    calm.run(**keys)
    crawls.run(**keys, max_pages=15)
    known = {row["url"] for row in crawls.rows("pages") if row["kind"] != "crawl"}
    after = crawled.length()
    crawls.run(**keys)
    assert found(crawls.catalog) == found(calm.catalog)
    lines = crawled.log.read_text().splitlines()[after:]
    asked = {crawled.shop.url + json.loads(line)["path"] for line in lines}
    # The crawl's own guard reads robots.txt in each process.
    assert asked & known <= {crawled.shop.url + "/robots.txt"}


def test_a_later_crawl_costs_one_304_a_page(tmp_path: Path, crawled: Crawled) -> None:
    crawls = Crawls(tmp_path)
    keys = {"kind": "shop", "start_urls": [crawled.shop.url]}
    crawls.run(**keys)
    after = crawled.length()
    counts = crawls.run(**keys)
    assert (counts.new, counts.known) == (0, PRODUCTS)
    lines = [json.loads(line) for line in crawled.log.read_text().splitlines()[after:]]
    pages = [line for line in lines if line["path"] != "/robots.txt"]
    assert pages and {line["status"] for line in pages} <= {304, 404}
    assert len({line["path"] for line in pages}) == len(pages)
    # What is superseded goes, and the next crawl knows as much as before.
    for _ in range(2):
        crawls.run(**keys)
    before = len(crawls.rows("pages"))
    drop_superseded_pages(crawls.catalog)
    assert len(crawls.rows("pages")) < before / 2
    after = crawled.length()
    assert crawls.run(**keys).known == PRODUCTS
    lines = [json.loads(line) for line in crawled.log.read_text().splitlines()[after:]]
    assert {line["status"] for line in lines if line["path"] != "/robots.txt"} <= {304, 404}


def test_a_server_that_goes_down_half_way(tmp_path: Path) -> None:
    crawls = Crawls(tmp_path)
    keys = {"kind": "shop", "per_host": 2, "commit_seconds": 0.1, "retries": 1, "max_failures": 5}
    log = tmp_path / "log"
    with LocalShop.generated(PRODUCTS, log=log) as shop:
        config = crawls.config(**keys, start_urls=[shop.url]).model_dump_json()
        process = start(crawls, config)
        until = time.monotonic() + 60
        while not log.exists() or '"/media/' not in log.read_text():
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.01)
        shop.stop()
        process.wait(120)
        shop.start()
        crawls.run(**keys, start_urls=[shop.url])
        assert len(found(crawls.catalog)) == PRODUCTS
        assert crawls.failures() == {}


def test_a_page_that_kills_the_crawl_is_left_out(
    site: Site, crawls: Crawls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A page that the parser dies of, every time: it is recorded, the rest goes on."""
    # What a crash of the parser does, done by a module that Python loads at the start.
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "from curation.ingest.web import products\n"
        "whole = products.read_page\n"
        "def read_page(body, *rest):\n"
        "    if b'deadly' in body:\n"
        "        os.kill(os.getpid(), 11)\n"
        "    return whole(body, *rest)\n"
        "products.read_page = read_page\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    site.answers = {
        "/": _page("/good", "/bad"),
        "/good": _product("good", f"{site.url}/good.png"),
        "/bad": b"<html>deadly</html>",
        "/good.png": picture(1),
    }
    counts = crawls.run(kind="shop", start_urls=[site.url], sitemaps=False, feed=False)
    assert counts.new == 1
    # Once may have been chance.
    failed = [(r["url"], r["failure"]) for r in crawls.rows("pages") if r["failure"]]
    assert failed == 2 * [(f"{site.url}/bad", "crashed_worker")]
    crawls.run(kind="shop", start_urls=[site.url], sitemaps=False, feed=False)
    assert site.times["/bad"] == 2


def test_a_page_that_was_read_when_somebody_killed_the_crawl_is_read_again(
    site: Site, crawls: Crawls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Killed while it reads a page, once: nothing is wrong with the page."""
    mark = tmp_path / "killed"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pathlib\n"
        "from curation.ingest.web import products\n"
        "whole = products.read_page\n"
        f"mark = pathlib.Path({str(mark)!r})\n"
        "def read_page(*given):\n"
        "    if not mark.exists():\n"
        "        mark.touch()\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return whole(*given)\n"
        "products.read_page = read_page\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    site.answers = {"/": _product("hat", f"{site.url}/hat.png"), "/hat.png": picture(1)}
    assert crawls.run(kind="shop", start_urls=[site.url], sitemaps=False, feed=False).new == 1
    assert mark.exists()


def test_a_crawl_that_always_dies_is_an_error(
    site: Site, crawls: Crawls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos._exit(9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CrawlDiedError, match="the same command goes on"):
        crawls.urls(site.url + "/a.jpg")


def test_a_host_without_name_and_one_with_a_bad_certificate(site: Site, crawls: Crawls) -> None:
    site.answers = {"/a.png": picture(1)}
    nowhere = "http://no-such-host.invalid/a.png"
    plain = site.url.replace("http", "https") + "/b.png"  # speaks no TLS
    crawls.urls(site.url + "/a.png", nowhere, plain, retries=0)
    failures = crawls.failures()
    assert failures[nowhere] == "dns_failure"
    assert failures[plain] in ("tls_failure", "connection_failed")


def test_an_endless_body_and_a_slow_one_end(site: Site, crawls: Crawls) -> None:
    def slow(asked: Asked) -> Answer:
        time.sleep(3)
        return Answer(picture(2))

    site.answers = {"/a.png": picture(1), "/slow.png": slow}
    crawls.urls(site.url + "/a.png", site.url + "/slow.png", timeout=1, retries=0)
    assert crawls.failures() == {site.url + "/slow.png": "fetch_timed_out"}


def test_a_shop_that_is_none_is_an_error_with_a_diagnosis(site: Site, crawls: Crawls) -> None:
    site.answers = {"/": b"<html><a href='/about'>about</a>", "/about": b"<html>hello"}
    with pytest.raises(SourceError, match=r"(?s)2 pages were read|3 pages.*no page says that it"):
        crawls.run(kind="shop", start_urls=[site.url])
    with pytest.raises(SourceError, match=r"page.*connection_failed"):
        crawls.run(kind="shop", name="dead", start_urls=["http://127.0.0.1:1/"], retries=0)


def _page(*links: str) -> bytes:
    return b"<html>" + b"".join(b"<a href='%s'>x</a>" % link.encode() for link in links)


def _product(title: str, image: str) -> bytes:
    data = {"@context": "https://schema.org", "@type": "Product", "name": title, "image": image}
    return f'<html><script type="application/ld+json">{json.dumps(data)}</script>'.encode()
