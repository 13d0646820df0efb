"""The local shop with all its faults, scraped by the real crawl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curation.errors import SourceError
from curation.ingest.web.spiders.shop import _Links
from curation.localshop.server import LocalShop
from tests.curation.ingest.web.conftest import Crawls
from tests.curation.ingest.web.site import Answer, Asked, Site, picture

KINDS = ("bag", "chair", "dress", "hat", "lamp", "mug", "shirt", "sneaker")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(64):
        pixels = np.random.default_rng(number).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        name = f"{KINDS[number % len(KINDS)]}-{number:04}.jpg"
        Image.fromarray(pixels).resize((960, 720)).save(folder / name, quality=80)
    return folder


class Visited:
    """One crawl of the shop: what it stored, and what the shop saw."""

    def __init__(self, shop: LocalShop, log: Path, crawls: Crawls) -> None:
        self.shop, self.crawls = shop, crawls
        self.counts = crawls.run(
            kind="shop", start_urls=[shop.url], per_host=3, timeout=4, retries=2
        )
        self.log = [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture(scope="module", params=[0, 1])
def visited(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Visited]:
    place = tmp_path_factory.mktemp("crawl")
    with LocalShop(folder, seed=request.param, log=place / "log") as shop:
        yield Visited(shop, place / "log", Crawls(place))


def test_every_picture_of_every_product_is_found(visited: Visited) -> None:
    stored = {r["locator"]: r["image_id"] for r in visited.crawls.rows() if r["image_id"]}
    assert stored == visited.shop.expected().images


def test_every_failure_has_its_reason(visited: Visited) -> None:
    assert visited.crawls.failures() == visited.shop.expected().failing


def test_what_must_not_be_asked_for_is_not(visited: Visited) -> None:
    asked = {visited.shop.url + line["path"] for line in visited.log}
    assert not asked & visited.shop.expected().never


def test_bad_pages_are_remembered_and_named(visited: Visited) -> None:
    bad = {row["url"] for row in visited.crawls.rows("pages") if row["failure"]}
    assert set(visited.shop.expected().bad_pages) <= bad


def test_no_more_requests_at_a_time_than_allowed(visited: Visited) -> None:
    assert max(line["at_once"] for line in visited.log) <= 3


def test_no_picture_is_asked_for_twice_without_need(visited: Visited) -> None:
    fine = {url.removeprefix(visited.shop.url) for url in visited.shop.expected().images}
    healed = {"429", "500", "503"}
    served: dict[str, list[int]] = {}
    for line in visited.log:
        served.setdefault(line["path"], []).append(line["status"])
    for path in fine & served.keys():
        assert [s for s in served[path] if str(s) not in healed] in ([200], [301], [302]), path


def test_what_is_known_of_a_product_comes_along(visited: Visited) -> None:
    rows = [json.loads(row["fields"]) for row in visited.crawls.rows() if row["image_id"]]
    for name in ("page", "title", "brand", "category", "colour"):
        assert sum(name in fields for fields in rows) > 0.5 * len(rows), name


def _product(title: str, image: str, category: str | None = None, links: str = "") -> bytes:
    data: dict[str, Any] = {
        "@context": "https://schema.org", "@type": "Product", "name": title, "image": image
    }  # fmt: skip
    if category:
        data["category"] = category
    script = f'<script type="application/ld+json">{json.dumps(data)}</script>'
    return f"<html>{script}{links}".encode()


def links(*paths: str) -> str:
    return "".join(f'<a href="{path}">x</a>' for path in paths)


@pytest.fixture
def small(site: Site) -> Site:
    """A shop of four products: /p3 is three links away."""
    site.answers = {f"/{n}.png": picture(n) for n in range(4)}
    site.answers |= {
        "/": f"<html>{links('/p0', '/p1')}".encode(),
        "/p0": _product("Red shoe", f"{site.url}/0.png", "Shoes > Trainers"),
        "/p1": _product("Blue hat", f"{site.url}/1.png", "Hats", links("/p2")),
        "/p2": _product("Sample shoe", f"{site.url}/2.png", "Shoes", links("/p3")),
        "/p3": _product("Green shoe", f"{site.url}/3.png", "Shoes"),
    }
    return site


@pytest.mark.parametrize(("depth", "count"), [(1, 2), (2, 3), (3, 4)])
def test_links_are_followed_to_a_depth(small: Site, crawls: Crawls, depth: int, count: int) -> None:
    assert crawls.run(kind="shop", start_urls=[small.url], depth=depth).new == count


def test_products_are_chosen_by_category_and_title(small: Site, crawls: Crawls) -> None:
    keys = {"kind": "shop", "start_urls": [small.url], "include_categories": ["shoes"]}
    counts = crawls.run(**keys, exclude_titles=["sample"], label_from="category")
    assert (counts.new, counts.filtered) == (2, 2)
    labels = {row["locator"]: row["label"] for row in crawls.rows()}
    assert labels == {f"{small.url}/0.png": "Shoes > Trainers", f"{small.url}/3.png": "Shoes"}
    assert not {"/1.png", "/2.png"} & set(small.paths())


def test_filters_that_leave_nothing_are_an_error(small: Site, crawls: Crawls) -> None:
    with pytest.raises(SourceError, match=r"(?s)4 pictures were left out.*4 of them left out"):
        crawls.run(kind="shop", start_urls=[small.url], include_categories=["trousers"])


def test_the_budget_of_pages_leaves_their_pictures(small: Site, crawls: Crawls) -> None:
    keys = {"kind": "shop", "start_urls": [small.url], "sitemaps": False, "feed": False}
    # robots.txt, the first page, one product
    assert crawls.run(**keys, max_pages=3).new == 1
    assert crawls.run(**keys, max_pages=100).new == 3
    assert small.times["/"] == 1


def test_the_budget_of_time_ends_a_crawl(small: Site, crawls: Crawls) -> None:
    def endless(asked: Asked) -> Answer:
        return Answer(f"<html>{links(f'/more/{len(small.asked)}')}".encode())

    class Everything(dict[str, Any]):
        def get(self, path: str, default: Any = None) -> Any:
            return super().get(path, endless if path.startswith("/more") else default)

    small.answers = Everything(small.answers)
    small.answers["/p3"] = _product("x", f"{small.url}/3.png", links=links("/more/0"))
    keys = {"kind": "shop", "start_urls": [small.url], "depth": 50, "delay": 0.2}
    crawls.run(**keys, max_minutes=0.05)
    end = json.loads(crawls.rows("pages")[-1]["found"])
    assert (end["finished"], end["stopped_by"]) == (False, "max_minutes")


def test_a_delay_is_kept_and_the_one_that_robots_txt_asks_for(small: Site, crawls: Crawls) -> None:
    small.answers["/robots.txt"] = b"User-agent: *\nCrawl-delay: 0.4\n"
    crawls.run(kind="shop", start_urls=[small.url], depth=1, sitemaps=False, feed=False)
    end = json.loads(crawls.rows("pages")[-1]["found"])
    # The first page, two products, two pictures: four times the delay between them.
    assert end["seconds"] >= 4 * 0.4


def test_a_redirect_to_another_site_is_not_the_shop(small: Site, crawls: Crawls) -> None:
    other = small.url.replace("127.0.0.1", "127.0.0.2")
    small.answers["/p0"] = Answer(status=302, headers={"Location": f"{other}/p0"})
    crawls.run(kind="shop", start_urls=[small.url], allow_hosts=["127.0.0.0/8"])
    (row,) = [row for row in crawls.rows("pages") if row["failure"]]
    assert row["url"] == f"{small.url}/p0"


def test_a_size_that_the_server_does_not_have_is_asked_for_as_it_is_named(
    small: Site, crawls: Crawls
) -> None:
    # What WordPress calls a smaller size; the one without it is not there.
    named = f"{small.url}/wp-content/uploads/hat-300x300.png"
    small.answers["/p1"] = _product("Blue hat", named)
    small.answers["/wp-content/uploads/hat-300x300.png"] = picture(9)
    crawls.run(kind="shop", start_urls=[small.url])
    assert f"{small.url}/wp-content/uploads/hat.png" in {
        row["locator"] for row in crawls.rows() if row["image_id"]
    }
    assert small.times["/wp-content/uploads/hat.png"] == 1
    crawls.run(kind="shop", start_urls=[small.url])
    assert small.times["/wp-content/uploads/hat.png"] == 1


def test_pages_reached_do_not_depend_on_the_order() -> None:
    web = {"a": ["b", "c"], "b": ["d"], "c": ["b", "e"], "d": ["f"], "e": ["d"], "f": ["g"]}
    starts = [("a", 0), ("e", 1)]
    for depth in range(6):
        outcomes = set()
        for seed in range(40):
            rng = np.random.default_rng(seed)
            graph = _Links(depth)
            waiting: list[Any] = list(starts)
            reached: set[str] = set()
            while waiting:
                one = waiting.pop(int(rng.integers(len(waiting))))
                if isinstance(one, tuple):
                    found = graph.reach(*one)
                else:
                    found = graph.read(one, web.get(one, []))
                reached |= set(found)
                waiting += found
            outcomes.add(frozenset(reached))
        assert len(outcomes) == 1, depth
