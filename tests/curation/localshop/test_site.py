from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from curation.localshop.faults import Faults
from curation.localshop.pictures import FolderPictures
from curation.localshop.plan import media_path, plan_shop
from curation.localshop.replies import Reply
from curation.localshop.site import Site


@pytest.fixture
def site(folder: Path) -> Site:
    pictures = FolderPictures(folder)
    shop = plan_shop(pictures.names, seed=2)
    return Site(shop, pictures, "http://127.0.0.1:8000", Faults())


def answered(site: Site, target: str) -> Reply:
    answer = site.answer(target)
    return answer if isinstance(answer, Reply) else answer()


def size_of(reply: Reply) -> tuple[int, int]:
    with Image.open(io.BytesIO(reply.body)) as image:
        return image.size


@pytest.mark.parametrize(
    ("target", "type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/collections/tableware", "text/html; charset=utf-8"),
        ("/collections/tableware?page=1&sort_by=price", "text/html; charset=utf-8"),
        ("/search?q=mug", "text/html; charset=utf-8"),
        ("/pages/about", "text/html; charset=utf-8"),
        ("/private/", "text/html; charset=utf-8"),
        ("/private/sample-0.png", "image/png"),
        ("/robots.txt", "text/plain; charset=utf-8"),
        ("/products.json", "application/json; charset=utf-8"),
        ("/sitemap.xml", "application/xml; charset=utf-8"),
        ("/sitemaps/products-1.xml.gz", "application/gzip"),
        ("/sitemaps/products-2.xml", "application/xml; charset=utf-8"),
        ("/assets/shop.css", "text/css; charset=utf-8"),
    ],
)
def test_all_that_is_there(site: Site, target: str, type: str) -> None:
    reply = answered(site, target)
    assert (reply.status, reply.type) == (200, type)
    assert reply.etag and reply.body
    assert site.answer(target) is reply  # rendered once


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/collections/ships",
        "/collections/tableware?page=99",
        "/products/",
        "//127.0.0.1/x",
        "//[",
        "/%zz<script>",
        "/media",
        "/sitemaps/products-3.xml",
        "/sitemaps/bomb.xml.gz",
    ],
)
def test_pages_that_are_not_there(site: Site, target: str) -> None:
    reply = answered(site, target)
    assert reply.status == 404
    assert b"Not on our shelves" in reply.body and b"<script>" not in reply.body


@pytest.mark.parametrize(
    "target",
    [
        "/media/",
        "/media/nothing.jpg",
        "/media/.hidden.jpg",
        "/media/outside.jpg",
        "/media/../../../../etc/passwd",
        "/media/..%2f..%2fetc%2fpasswd",
        "/media//etc/passwd",
        "/media/nothing_300x.jpg",
        "/media/%00",
        "/media/%ff.jpg",
    ],
)
def test_pictures_that_are_not_there(site: Site, target: str) -> None:
    assert answered(site, target).status == 404


def test_pictures_come_as_they_are(site: Site, folder: Path) -> None:
    for name in FolderPictures(folder).names:
        reply = answered(site, media_path(name))
        assert (reply.status, reply.body) == (200, (folder / name).read_bytes())
        assert reply.etag and reply.modified


def test_tracking_changes_nothing(site: Site) -> None:
    plain = answered(site, "/media/mug-00.jpg")
    assert answered(site, "/media/mug-00.jpg?utm_source=newsletter&fbclid=x") == plain


def test_smaller_versions_in_both_ways(site: Site) -> None:
    full = answered(site, "/media/mug-00.jpg")
    query, suffix = (answered(site, f"/media/mug-00{t}") for t in (".jpg?width=300", "_300x.jpg"))
    assert query == suffix
    assert size_of(query) == (300, 375) and size_of(full) == (400, 500)
    assert query.etag != full.etag and query.modified == full.modified


@pytest.mark.parametrize("width", ["400", "5000", "0", "-3", "x", "9" * 30, ""])
def test_nothing_is_made_larger(site: Site, width: str) -> None:
    full = answered(site, "/media/mug-00.jpg")
    assert answered(site, f"/media/mug-00.jpg?width={width}") == full


@pytest.mark.parametrize("name", ["empty-00.jpg", "page-00.jpg", "corrupt-00.jpg", "hat-00.webp"])
def test_what_cannot_be_made_smaller_comes_as_it_is(site: Site, folder: Path, name: str) -> None:
    assert answered(site, f"/media/{name}?width=300").body == (folder / name).read_bytes()


def test_a_name_with_a_size_in_it_is_a_name_first(tmp_path: Path) -> None:
    for name, shade in (("a.jpg", 10), ("a_300x.jpg", 200)):
        Image.new("RGB", (400, 400), (shade, shade, shade)).save(tmp_path / name)
    pictures = FolderPictures(tmp_path)
    site = Site(plan_shop(pictures.names, seed=0), pictures, "http://127.0.0.1:1", Faults())
    assert answered(site, "/media/a_300x.jpg").body == (tmp_path / "a_300x.jpg").read_bytes()


def test_a_picture_that_is_gone_is_missing(tmp_path: Path) -> None:
    Image.new("RGB", (400, 400)).save(tmp_path / "a.jpg")
    pictures = FolderPictures(tmp_path)
    site = Site(plan_shop(pictures.names, seed=0), pictures, "http://127.0.0.1:1", Faults())
    small = site.answer("/media/a.jpg?width=300")
    assert not isinstance(small, Reply)
    (tmp_path / "a.jpg").unlink()
    assert small().status == 404
    assert answered(site, "/media/a.jpg").status == 404


def test_answers_to_questions_are_not_kept_for_ever(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.localshop.site._KEPT", 3)
    replies = [site.answer(f"/search?q={i}") for i in range(5)]
    again = [site.answer(f"/search?q={i}") for i in range(5)]
    assert [a is b for a, b in zip(replies, again, strict=True)] == [True] * 3 + [False] * 2
    assert replies == again
