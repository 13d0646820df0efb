"""Sites as web archives kept them: crawled from pywb, and from a server of the other dialect."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from curation.errors import SourceError
from curation.ingest.selection import current
from curation.ingest.stage import IngestCounts
from curation.localshop.plan import Markup
from curation.localshop.server import LocalShop
from tests.curation.ingest.web.archive import Archive, Visit, record, serving
from tests.curation.ingest.web.cdx_server import CdxServer, Held, Index
from tests.curation.ingest.web.conftest import Crawls
from tests.curation.ingest.web.site import picture, serve

SHOP = "http://shop.example"
ENOUGH = 60_000  # requests a minute: tests wait for nobody


def crawl(crawls: Crawls, archive: Archive | CdxServer, **keys: Any) -> IngestCounts:
    return crawls.run(**wayback(archive, **keys))


def wayback(archive: Archive | CdxServer, **keys: Any) -> dict[str, Any]:
    return {
        "kind": "wayback",
        "url": "shop.example",
        "cdx_url": archive.cdx_url,
        "replay_url": archive.replay_url,
        "requests_per_minute": ENOUGH,
        **keys,
    }


def stored(crawls: Crawls) -> dict[str, str]:
    """Give the SHA-256 of each picture by locator."""
    return {row["locator"]: row["image_id"] for row in crawls.rows() if row["image_id"]}


def fields(crawls: Crawls) -> dict[str, dict[str, Any]]:
    return {row["locator"]: json.loads(row["fields"]) for row in crawls.rows() if row["fields"]}


def sha(seed: int) -> str:
    return hashlib.sha256(picture(seed)).hexdigest()


def held(timestamp: str, path: str, seed: int, **more: Any) -> Held:
    mime = more.pop("mime", "image/png")
    return Held(timestamp, SHOP + path, picture(seed), mime, **more)


# ---- Settings ----------------------------------------------------------------------------------


def test_the_pace_is_kept(crawls: Crawls) -> None:
    def delay(**keys: Any) -> float:
        made = crawls.config(kind="wayback", url="shop.example", **keys)
        again = crawls.config(**made.model_dump(mode="json"))  # as the crawl's process gets it
        assert again == made
        return float(made.delay)

    assert delay() == 2.5
    assert delay(requests_per_minute=6) == 10
    assert delay(requests_per_minute=6, delay=12) == 12
    with pytest.raises(ValidationError, match="requests_per_minute"):
        delay(requests_per_minute=0)
    with pytest.raises(ValidationError, match="requests_per_minute"):
        delay(requests_per_minute="many")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"url": "shop.example/*"}, "must be no pattern, got 'shop.example/\\*'; `match` says"),
        ({"cdx_url": "file:///etc/passwd"}, "must begin with http:// or https://"),
        ({"first": "2009-05"}, "should match pattern"),
        ({"mime": []}, "at least 1 item"),
    ],
)
def test_what_makes_no_sense_is_refused(crawls: Crawls, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        crawls.config(**{"kind": "wayback", "url": "shop.example", **keys})


# ---- What is fetched ---------------------------------------------------------------------------


def test_each_picture_is_fetched_once(crawls: Crawls) -> None:
    captures = [
        held("20120101000000", "/a.png", 1),
        held("20130101000000", "/a.png", 1),  # again
        held("20140101000000", "/a.png", 2),  # another picture by then
        held("20120101000000", "/copy.png", 1),
        held("20120101000000", "/b.png?size=1&utm_source=x", 3),
        Held("20120101000000", "http://img.shop.example:80/c%20d.png", picture(4), "image/PNG; x"),
        Held("20120101000000", "http://other.example/e.png", picture(5), "image/png"),
        held("20120101000000", "/gone.png", 6, status="404"),
        held("20120101000000", "/moved.png", 7, status="301"),
        held("20120101000000", "/", 8, mime="text/html"),
    ]
    with CdxServer(Index(captures)) as server:
        counts = crawl(crawls, server, page_size=3)
        assert stored(crawls) == {
            "20120101000000/http://shop.example/a.png": sha(1),
            "20140101000000/http://shop.example/a.png": sha(2),
            "20120101000000/http://shop.example/b.png?size=1&utm_source=x": sha(3),
            "20120101000000/http://img.shop.example:80/c%20d.png": sha(4),
        }
        assert (counts.new, counts.seen, counts.failed) == (4, 4, {})
        fetched = [path for path in server.asked if path.startswith("/web/")]
        assert len(fetched) == 4
        assert "/web/20120101000000id_/http://shop.example/b.png?size=1&utm_source=x" in fetched
        about = fields(crawls)["20140101000000/http://shop.example/a.png"]
        assert about["url"] == "http://shop.example/a.png"
        assert about["captured"] == "2014-01-01T00:00:00Z"

        again = crawl(crawls, server, page_size=3)
        assert (again.new, again.known) == (0, 4)
        assert [path for path in server.asked if path.startswith("/web/")] == fetched


def test_filters(crawls: Crawls) -> None:
    captures = [
        held("20091231235959", "/early.png", 1),
        held("20100101000000", "/first.png", 2),
        held("20121231235959", "/last.png", 3),
        held("20130101000000", "/late.png", 4),
        held("20110101000000", "/icon.png", 5, length=400),
        held("20110101000000", "/drawing.svg", 6, mime="image/svg+xml"),
        # Its bytes were stored at a visit that is not in the search.
        held("20110101000000", "/revisit.png", 7, mime="warc/revisit", status="-", length=300),
        held("20110101000000", "/revisit", 8, mime="warc/revisit", status="-", length=300),
    ]
    keys: dict[str, Any] = {"first": "2010", "last": "2012", "min_length": 500}
    with CdxServer(Index(captures)) as server:
        counts = crawl(crawls, server, **keys)
        assert set(stored(crawls).values()) == {sha(2), sha(3), sha(7)}
        assert counts.filtered == 4
    # A tighter filter takes effect without a request.
    observations = crawls.catalog.table("observations").read()
    for tighter, count in (({}, 3), ({"last": "2011"}, 2), ({"mime": ["image/gif"]}, 0)):
        config = crawls.config(**wayback(server, **{**keys, **tighter}))
        assert current(observations, [config]).num_rows == count


class Replaying(Index):
    """Answers some requests for bytes otherwise."""

    def __init__(self, held: list[Held], instead: dict[str, tuple[int, dict[str, str], bytes]]):
        super().__init__(held)
        self.instead = instead

    def replay(self, asked: str) -> tuple[int, dict[str, str], bytes]:
        return self.instead.get(asked) or super().replay(asked)


def test_another_capture_of_the_same_bytes_is_tried(crawls: Crawls) -> None:
    captures = [
        held("20120101000000", "/1.png", 1),
        held("20120101000000", "/2.png", 2),
        held("20150101000000", "/1.png", 1),
        held("20120101000000", "/x.png", 2),
    ]
    lost = [f"20120101000000id_/{SHOP}/{n}.png" for n in (1, 2)]
    with CdxServer(Replaying(captures, dict.fromkeys(lost, (404, {}, b"lost")))) as server:
        crawl(crawls, server)
    assert stored(crawls) == {
        "20150101000000/http://shop.example/1.png": sha(1),
        "20120101000000/http://shop.example/x.png": sha(2),
    }
    assert crawls.failures() == {
        "20120101000000/http://shop.example/1.png": "not_found",
        "20120101000000/http://shop.example/2.png": "not_found",
    }


def test_redirects_stay_in_the_archive(crawls: Crawls) -> None:
    def place(name: str, year: int = 2012) -> str:
        return f"{year}0101000000id_/{SHOP}/{name}"

    with serve() as live:
        live.answers["/a.png"] = picture(9)
        instead: dict[str, tuple[int, dict[str, str], bytes]] = {
            place("live.png"): (302, {"Location": f"{live.url}/a.png"}, b""),
            place("near.png"): (302, {"Location": f"/web/{place('near.png', 2013)}"}, b""),
            place("near.png", 2013): (200, {}, picture(2)),
            place("loop.png"): (302, {"Location": f"/web/{place('loop.png')}"}, b""),
        }
        names = ("live.png", "near.png", "loop.png")
        captures = [held("20120101000000", f"/{name}", n) for n, name in enumerate(names, 1)]
        with CdxServer(Replaying(captures, instead)) as server:
            crawl(crawls, server, max_redirects=3)
        assert stored(crawls) == {"20120101000000/http://shop.example/near.png": sha(2)}
        assert crawls.failures() == {
            "20120101000000/http://shop.example/live.png": "redirect_refused",
            "20120101000000/http://shop.example/loop.png": "redirect_refused",
        }
        assert live.asked == []
        assert server.asked.count(f"/web/{place('loop.png')}") == 4


def test_what_the_site_asked_of_robots_then_holds(crawls: Crawls) -> None:
    captures = [
        held("20230101000000", "/a.png", 1, headers={"X-Robots-Tag": "noimageai"}),
        held("20230101000000", "/b.png", 2, headers={"X-Robots-Tag": "noindex"}),
    ]
    with CdxServer(Index(captures)) as server:
        crawl(crawls, server)
        assert crawls.failures() == {"20230101000000/http://shop.example/a.png": "opted_out"}
        crawl(crawls, server, respect_noai=False)
        assert crawls.failures() == {}


def test_hostile_rows(crawls: Crawls) -> None:
    class Hostile(Index):
        def search(self, query: dict[str, str]) -> bytes:
            rows = json.loads(super().search(query))
            names = [
                "../../../etc/passwd", "file:///etc/passwd", "http://[::1", "dns:shop.example",
                "http://shop.example/\u202egnp.exe", "http://shop.example/\n20120101000000",
            ]  # fmt: skip
            bad = [[*rows[1][:2], name, *rows[1][3:]] for name in names]
            return json.dumps([*rows, *bad, 7, None, {}, []]).encode()

    strange = held("20120101000000", "/%2e%2e/<script>\\ü.png", 1)
    with CdxServer(Hostile([strange])) as server:
        index_url = "/web/20120101000000id_/http://shop.example/%2e%2e/%3Cscript%3E%5C%C3%BC.png"
        with pytest.raises(SourceError, match="1 pictures failed: not_found"):
            crawl(crawls, server)  # the test's server does not decode what it is asked
        assert index_url in server.asked
    assert list(crawls.failures()) == [
        "20120101000000/http://shop.example/%2e%2e/<script>\\\\ü.png"
    ]


# ---- The search ----------------------------------------------------------------------------------


@pytest.fixture
def many() -> list[Held]:
    return [held("20120101000000", f"/{n:03}.png", n) for n in range(30)]


def test_a_crawl_that_stopped_goes_on_without_asking_again(
    crawls: Crawls, many: list[Held]
) -> None:
    with CdxServer(Index(many)) as server:
        first = crawl(crawls, server, page_size=5, max_images=12)
        assert first.new == 12
        listed = [path for path in server.asked if path.startswith("/cdx/")]
        had = [f"/web/{place.replace('/', 'id_/', 1)}" for place in stored(crawls)]
        assert crawl(crawls, server, page_size=5).new == 18
        assert [server.asked.count(path) for path in [*listed, *had]] == [1] * (len(listed) + 12)


def test_pages_of_the_search_are_pages(crawls: Crawls, many: list[Held]) -> None:
    with CdxServer(Index(many)) as server:
        assert crawl(crawls, server, page_size=5, max_pages=2).new == 10
        assert crawl(crawls, server, page_size=5).new == 20


def test_an_answer_that_is_too_large_is_asked_for_in_parts(
    crawls: Crawls, many: list[Held]
) -> None:
    with CdxServer(Index(many)) as server:
        assert crawl(crawls, server, max_sitemap_bytes=2000).new == 30
        limits = [path.partition("limit=")[2].partition("&")[0] for path in server.asked]
        assert "5000" in limits and "9" in limits


def test_busy_archives_are_waited_for(crawls: Crawls, many: list[Held]) -> None:
    with CdxServer(Index(many)) as server:
        server.refusals = [(404, {}), (429, {"Retry-After": "1"}), (503, {"Retry-After": "1"})]
        assert crawl(crawls, server).new == 30


def test_a_search_that_breaks_off_is_taken_up_by_the_next_run(
    crawls: Crawls, many: list[Held]
) -> None:
    class Failing(Index):
        down = True

        def search(self, query: dict[str, str]) -> bytes:
            if "resumeKey" in query and self.down:
                raise ConnectionError("the index is gone")
            return super().search(query)

    index = Failing(many)
    with CdxServer(index) as server:
        first = crawl(crawls, server, page_size=20, retries=0)
        assert first.new == 20
        (failed,) = [row for row in crawls.rows("pages") if row["failure"]]
        assert (failed["kind"], failed["failure"]) == ("listing", "connection_failed")
        index.down = False
        assert crawl(crawls, server, page_size=20).new == 10
        begin = next(path for path in server.asked if path.startswith("/cdx/"))
        assert server.asked.count(begin) == 1


@pytest.mark.parametrize("decodes", [1, 2])
def test_both_ways_of_resuming(crawls: Crawls, many: list[Held], decodes: int) -> None:
    with CdxServer(Index(many, decodes=decodes)) as server:
        assert crawl(crawls, server, page_size=7).new == 30


def test_nothing_archived_is_an_error_that_says_so(crawls: Crawls) -> None:
    with CdxServer(Index([])) as server, pytest.raises(SourceError) as error:
        crawl(crawls, server)
    assert "lists 0 captures of shop.example" in str(error.value)
    assert "Is `cdx_url` right?" in str(error.value)


def test_an_error_page_is_an_error_that_shows_it(crawls: Crawls) -> None:
    class Blocked(Index):
        def search(self, query: dict[str, str]) -> bytes:
            return b"<html>Blocked Site Error</html>"

    with CdxServer(Blocked([])) as server, pytest.raises(SourceError, match="Blocked Site Error"):
        crawl(crawls, server)


def test_only_what_is_not_wanted_is_an_error_that_says_so(crawls: Crawls) -> None:
    index = Index([held("20120101000000", "/a.gif", 1, mime="image/gif")])
    left_out = pytest.raises(SourceError, match="1 pictures were left out by the filters")
    with CdxServer(index) as server, left_out:
        crawl(crawls, server, mime=["image/png"])


# ---- Archived pages ------------------------------------------------------------------------------


def _product(title: str, *images: str, extra: str = "") -> bytes:
    data = {"@context": "https://schema.org", "@type": "Product", "name": title, "brand": "Larch",
            "color": "Moss", "image": list(images)}  # fmt: skip
    script = f'<script type="application/ld+json">{json.dumps(data)}</script>'
    return f"<html><head>{extra}{script}</head><body></body></html>".encode()


def _page(timestamp: str, path: str, body: bytes) -> Held:
    return Held(timestamp, SHOP + path, body, "text/html; charset=utf-8")


@pytest.fixture
def described() -> list[Held]:
    noai = '<meta name="robots" content="noai">'
    return [
        _page(
            "20120101000000", "/products/a", _product("A", "/media/a.png", "/media/b.png?width=900")
        ),
        _page("20130101000000", "/products/a", _product("A, sold out", "/media/a.png")),
        _page("20120601000000", "/products/z", _product("Z", "/media/a.png", "/media/z.png")),
        _page("20120601000000", "/products/no", _product("No", "/media/no.png", extra=noai)),
        _page("20120601000000", "/products/odd", b"\xff<<<>"),
        held("20120102000000", "/media/a.png", 1),
        held("20120102000000", "/media/b.png?width=300", 2),
        held("20120102000000", "/media/z.png", 3),
        held("20120102000000", "/media/no.png", 4),
        held("20120102000000", "/media/alone.png", 5),
    ]


def test_archived_pages_describe_pictures(crawls: Crawls, described: list[Held]) -> None:
    with CdxServer(Index(described)) as server:
        crawl(crawls, server, pages=True)
        crawl(crawls, server, pages=True)
        pages = [path for path in server.asked if "/products/" in path]
        assert len(pages) == 4  # one capture of each is enough, and one reading of that
    titles = {
        place.rpartition("/")[2]: about.get("title") for place, about in fields(crawls).items()
    }
    assert titles == {
        "a.png": "A",  # of two pages the earlier one
        "b.png?width=300": "A",
        "z.png": "Z",
        "no.png": "No",
        "alone.png": None,
    }
    assert crawls.failures() == {"20120102000000/http://shop.example/media/no.png": "opted_out"}
    about = fields(crawls)["20120102000000/http://shop.example/media/z.png"]
    assert about["page"] == f"{SHOP}/products/z"
    assert (about["brand"], about["colour"]) == ("Larch", "Moss")


def test_pages_may_be_asked_for_later(crawls: Crawls, described: list[Held]) -> None:
    with CdxServer(Index(described)) as server:
        crawl(crawls, server)
        assert len(stored(crawls)) == 5
        fetched = [path for path in server.asked if "/media/" in path]
        assert crawl(crawls, server, pages=True).new == 0
        assert [path for path in server.asked if "/media/" in path] == fetched
        assert fields(crawls)["20120102000000/http://shop.example/media/z.png"]["title"] == "Z"


@pytest.mark.parametrize("most", [1, 3])
def test_a_budget_of_pages_leaves_the_pictures(
    crawls: Crawls, described: list[Held], most: int
) -> None:
    with CdxServer(Index(described)) as server:
        assert crawl(crawls, server, pages=True, max_pages=most).new >= 4
        assert len([path for path in server.asked if "/products/" in path]) == most - 1
        crawl(crawls, server, pages=True)
        assert len([path for path in server.asked if "/products/" in path]) == 4
        assert fields(crawls)["20120102000000/http://shop.example/media/z.png"]["title"] == "Z"


# ---- A real archive ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop() -> LocalShop:
    return LocalShop.generated(24, seed=3)


@pytest.fixture(scope="module")
def pywb(shop: LocalShop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """The local shop as it was when it still stood."""
    folder = tmp_path_factory.mktemp("pywb")
    with shop:
        paths = ["/", *(product.path for product in shop.shop.products)]
        images = [path for product in shop.shop.products for path in product.images]
        visits = [Visit(shop.url + p, shop.url + p, "2012-01-01T00:00:00Z") for p in paths]
        visits += [Visit(shop.url + p, shop.url + p, "2012-01-01T00:00:01Z") for p in images]
        # Pictures are visited again, by another name too, and are as they were.
        visits += [
            Visit(shop.url + p, shop.url + p, "2013-01-01T00:00:00Z", again=True)
            for p in images[:5]
        ]
        copy, gone = f"{shop.url}/cache/1.png", f"{shop.url}/media/gone.png"
        visits += [
            Visit(shop.url + images[0], copy, "2014-01-01T00:00:00Z"),
            Visit(gone, gone, "2014-01-01T00:00:00Z"),
        ]
        record(folder / "shop.warc.gz", visits)
    with serving(folder / "shop.warc.gz", folder / "root") as archive:
        yield archive


@pytest.mark.parametrize("page_size", [5, 5000])
def test_the_local_shop_from_pywb(
    pywb: Archive, shop: LocalShop, crawls: Crawls, page_size: int
) -> None:
    place = shop.url.removeprefix("http://")
    keys = {"url": place, "match": "host", "pages": True, "page_size": page_size}
    counts = crawl(crawls, pywb, **keys)
    found = {place.partition("/")[2]: digest for place, digest in stored(crawls).items()}
    expected = shop.expected().images
    assert sorted(found.values()) == sorted(expected.values())
    assert (counts.new, counts.failed) == (len(expected), {})
    about = {place.partition("/")[2]: values for place, values in fields(crawls).items()}
    described = [
        (about[shop.url + path], product)
        for product in shop.shop.products
        for path in product.images
        if product.markup is not Markup.NONE and shop.url + path in about
    ]
    assert len(described) > 10
    for values, product in described:
        assert (values["title"], values["brand"]) == (product.title, product.brand)
        assert values["page"] == shop.url + product.path
    assert crawl(crawls, pywb, **keys).new == 0


def test_pywb_over_a_span_of_time(pywb: Archive, shop: LocalShop, crawls: Crawls) -> None:
    """What was only seen to be as before is fetched, if the first visit was too early."""
    place = shop.url.removeprefix("http://")
    counts = crawl(crawls, pywb, url=place, match="host", first="2013", last="2013")
    assert counts.new == 5
    assert set(stored(crawls).values()) < set(shop.expected().images.values())
