"""Sitemaps are read; XML that attacks is refused."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ingest.web.sitemaps import (
    MAX_ENTRIES,
    Sitemap,
    SitemapError,
    read_sitemap,
    sitemaps_in_robots,
    unpack,
)

URL = "https://shop.example/sitemap.xml"
NAMESPACES = (
    'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    ' xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
)


def urlset(entries: str, head: str = '<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    return f"{head}<urlset {NAMESPACES}>{entries}</urlset>".encode()


def test_urlset() -> None:
    body = urlset(
        """
        <!-- products -->
        <url><loc> https://Shop.example/a?x=1&amp;utm_source=y </loc><lastmod>2024</lastmod></url>
        <url><loc><![CDATA[https://shop.example/b#top]]></loc></url>
        <url><loc>https://shop.example/a?x=1</loc></url>
        """
    )
    assert read_sitemap(body, URL) == Sitemap(
        pages=("https://shop.example/a?x=1", "https://shop.example/b")
    )


def test_index() -> None:
    body = (
        b"\xef\xbb\xbf\n<sitemapindex><sitemap><loc>https://shop.example/1.xml.gz</loc></sitemap>"
        b"<sitemap><loc>/2.xml</loc></sitemap><url><loc>/no</loc></url></sitemapindex>"
    )
    assert read_sitemap(body, URL).sitemaps == (
        "https://shop.example/1.xml.gz",
        "https://shop.example/2.xml",
    )


def test_pictures_that_a_sitemap_names_are_no_pages() -> None:
    body = urlset(
        "<url><loc>https://shop.example/a</loc>"
        "<image:image><image:loc>https://shop.example/cdn/a.jpg</image:loc></image:image></url>"
    )
    assert read_sitemap(body, URL) == Sitemap(pages=("https://shop.example/a",))


def test_list_of_urls() -> None:
    body = b"\xef\xbb\xbfhttps://shop.example/a\r\nhttps://shop.example/b\n\nhttp://[\n"
    read = read_sitemap(body, URL)
    assert read.pages == ("https://shop.example/a", "https://shop.example/b")
    assert read.dropped == 1


def test_unusable_entries_are_left_out_and_counted() -> None:
    body = urlset(
        "<url><loc>ftp://shop.example/a</loc></url><url><loc></loc></url><url></url>"
        "<url><loc>https://shop.example/b</loc></url>"
    )
    assert read_sitemap(body, URL) == Sitemap(pages=("https://shop.example/b",), dropped=3)


def test_what_breaks_off_or_is_not_escaped_is_read_as_far_as_it_goes() -> None:
    body = urlset("<url><loc>https://shop.example/a?x=1&y=2</loc></url>" * 3)
    assert read_sitemap(body[:-30], URL).pages[0].startswith("https://shop.example/a?x=1")


def test_count_is_bounded() -> None:
    lines = [f"https://shop.example/{number}" for number in range(MAX_ENTRIES + 7)]
    listed = read_sitemap("\n".join(lines).encode(), URL)
    tagged = read_sitemap(urlset("".join(f"<url><loc>{x}</loc></url>" for x in lines)), URL)
    for read in (listed, tagged):
        assert (len(read.pages), read.dropped) == (MAX_ENTRIES, 7)


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    '<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
FILE = '<!DOCTYPE x [<!ENTITY c SYSTEM "file:///etc/passwd">]>'
REMOTE = '<!DOCTYPE x SYSTEM "http://169.254.169.254/x.dtd">'


@pytest.mark.parametrize("head", [BOMB, FILE, REMOTE, "<!doctype html>", '<!ENTITY c "x">'])
def test_document_types_and_entities_are_refused(head: str) -> None:
    body = urlset("<url><loc>https://shop.example/&c;</loc></url>", head)
    with pytest.raises(SitemapError, match="DOCTYPE"):
        read_sitemap(body, URL)
    with pytest.raises(SitemapError, match="DOCTYPE"):
        read_sitemap(b'<?xml version="1.0"?><!-- x -->' + body, URL)


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp037"]
)
def test_no_entity_hides_in_another_encoding(encoding: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    body = urlset("<url><loc>https://shop.example/&c;</loc></url>", head + FILE).decode()
    try:
        read = read_sitemap(body.encode(encoding), URL)
    except SitemapError:
        return
    assert "root:" not in repr(read)
    assert not read.pages


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html><body>Not found</body></html>", "<urlset> or <sitemapindex>, got <html>"),
        (b"<", "no XML"),
        (b"", "list of URLs"),
        (b"Not found", "list of URLs"),
        (b"\x89PNG\r\n\x1a\n\x00", "list of URLs"),
    ],
)
def test_what_is_no_sitemap_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(SitemapError, match=why):
        read_sitemap(body, URL)


TAGS = [
    "<urlset>",
    "</urlset>",
    "<url>",
    "</url>",
    "<loc>",
    "</loc>",
    "<sitemapindex>",
    "<sitemap>",
]
TEXTS = [
    "https://shop.example/",
    "http://[",
    "&amp;",
    "&c;",
    "&#0;",
    "\x00",
    "é",
    "<",
    "\n",
    "http",
]
ODD = [
    "<?x?>",
    "<image:image>",
    "<image:loc>",
    "<a:b xmlns:a='c'>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
]
PIECES = st.sampled_from([*TAGS, *TEXTS, *ODD])


@given(st.lists(PIECES).map(lambda parts: "".join(parts).encode()) | st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        read = read_sitemap(body, URL)
    except SitemapError:
        return
    assert all(url.startswith("http") for url in (*read.pages, *read.sitemaps))


def test_depth_is_bounded() -> None:
    for body in (b"<urlset>" + b"<url>" * 100_000, b"<urlset>" * 100_000):
        assert read_sitemap(body, URL).pages == ()


@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_unpack(data: bytes, most: int) -> None:
    body = gzip.compress(data)
    if len(data) <= most:
        assert unpack(body, most) == data
    else:
        with pytest.raises(SitemapError, match="at most"):
            unpack(body, most)


def test_unpack_members_and_padding() -> None:
    members = gzip.compress(b"ab") + gzip.compress(b"cd")
    assert unpack(members, 4) == b"abcd"
    assert unpack(members + b"\0" * 9, 4) == b"abcd"
    with pytest.raises(SitemapError, match="at most 3"):
        unpack(members, 3)


def test_unpack_leaves_what_is_not_packed() -> None:
    assert unpack(b"<urlset/>", 9) == b"<urlset/>"
    with pytest.raises(SitemapError, match="at most 8"):
        unpack(b"<urlset/>", 8)


def test_a_bomb_is_not_unpacked_to_its_end() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(bytes(50_000_000)) + packer.flush()
    with pytest.raises(SitemapError, match="at most 1,000,000"):
        unpack(bomb, 1_000_000)


@pytest.mark.parametrize("damage", [slice(None, -9), slice(None, 12), slice(None, 2)])
def test_damaged_gzip_is_refused(damage: slice) -> None:
    with pytest.raises(SitemapError, match="gzip"):
        unpack(gzip.compress(b"https://shop.example/" * 50)[damage], 10_000)


@given(st.binary(max_size=200))
def test_no_gzip_raises_anything_else(data: bytes) -> None:
    try:
        unpack(b"\x1f\x8b" + data, 1000)
    except SitemapError as error:
        assert "gzip" in str(error) or "at most" in str(error)


def test_sitemaps_in_robots() -> None:
    body = (
        b"\xef\xbb\xbfSitemap: https://shop.example/1.xml\r\n"
        b"User-agent: *\nDisallow: /private/ # sitemap: https://shop.example/no.xml\n"
        b"  SITEMAP :https://shop.example/2.xml # second\n"
        b"sitemap: /relative.xml\nsitemap: file:///etc/passwd\nsitemap:\n"
        b"Sitemap: https://shop.example/1.xml"
    )
    assert sitemaps_in_robots(body) == (
        "https://shop.example/1.xml",
        "https://shop.example/2.xml",
    )


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda t: f"sitemap:{t}".encode()))
def test_any_robots_can_be_read(body: bytes) -> None:
    assert all(url.startswith("http") for url in sitemaps_in_robots(body))
