"""Pages of shops are read as people see them; hostile ones as nothing, without an error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from curation.ingest.web.products import MAX_LINKS, PageContent, Product, read_page
from curation.ingest.web.schemaorg import MAX_IMAGES
from curation.ingest.web.urls import canonical

URL = "https://shop.example/products/runner"
SHOE: dict[str, Any] = {"@type": "Product", "name": "Runner", "image": "/img/a.jpg"}
SHOP = "https://shop.example"


def linked(item: Any) -> str:
    return f'<script type="application/ld+json">{json.dumps(item)}</script>'


def page(body: str = "", head: str = "") -> bytes:
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode()


def read(body: str = "", head: str = "", url: str = URL) -> PageContent:
    return read_page(page(body, head), url)


def product(body: str = "", head: str = "", url: str = URL) -> Product:
    (found,) = read(body, head, url).products
    return found


MICRODATA = """
<div itemscope itemtype="https://schema.org/Product">
  <h1 itemprop="name">Runner <b>two</b></h1>
  <img itemprop="image" src="/img/a.jpg"><link itemprop="image" href="/img/b.jpg">
  <div itemprop="brand" itemscope itemtype="https://schema.org/Brand">
    <span itemprop="name">Nonesuch</span></div>
  <meta itemprop="category" content="Shoes"><meta itemprop="color" content="Red">
  <div itemprop="offers" itemscope itemtype="https://schema.org/Offer">
    <meta itemprop="sku" content="N1"><meta itemprop="price" content="9.00"></div>
  <div itemprop="isRelatedTo" itemscope itemtype="https://schema.org/Product">
    <span itemprop="name">Other</span><img itemprop="image" src="/img/other.jpg"></div>
</div>
"""
OPENGRAPH = """
<meta property="og:type" content="product"><meta property="og:title" content="Runner two">
<meta property="og:url" content="https://shop.example/products/runner">
<meta property="og:image" content="http://shop.example/img/a.jpg">
<meta property="og:image:secure_url" content="https://shop.example/img/a.jpg">
<meta property="og:image" content="/img/b.jpg">
<meta property="product:brand" content="Nonesuch"><meta property="product:category" content="Shoes">
<meta property="product:color" content="Red"><meta property="product:retailer_item_id" content="N1">
"""
JSON_LD = linked(
    {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": "Runner two",
        "brand": {"@type": "Brand", "name": "Nonesuch"},
        "category": "Shoes",
        "color": "Red",
        "sku": "N1",
        "image": ["/img/a.jpg", {"@type": "ImageObject", "url": "/img/b.jpg"}],
    }
)


@pytest.mark.parametrize(
    ("body", "head"),
    [
        ("", JSON_LD),
        (JSON_LD, ""),
        (MICRODATA, ""),
        ("", OPENGRAPH),
        (MICRODATA, OPENGRAPH + JSON_LD),
    ],
    ids=["json-ld", "json-ld-in-body", "microdata", "opengraph", "all"],
)
def test_one_product_in_any_markup(body: str, head: str) -> None:
    assert product(body, head) == Product(
        page=URL,
        title="Runner two",
        brand="Nonesuch",
        category="Shoes",
        colour="Red",
        sku="N1",
        images=(f"{SHOP}/img/a.jpg", f"{SHOP}/img/b.jpg"),
    )


def test_what_is_trusted_less_fills_the_gaps() -> None:
    head = linked(SHOE | {"name": "By JSON-LD"}) + OPENGRAPH
    found = product(
        '<p itemscope itemtype="http://schema.org/Product"><b itemprop="color">Blue</b>', head
    )
    assert (found.title, found.colour, found.brand) == ("By JSON-LD", "Blue", "Nonesuch")
    assert found.images == (f"{SHOP}/img/a.jpg",)


def test_a_page_without_a_product_has_none() -> None:
    article = (
        '<meta property="og:type" content="article"><meta property="og:image" content="/a.jpg">'
    )
    found = read('<div class="gallery"><a href="/big.jpg"><img src="/a.jpg"></a></div>', article)
    assert found == PageContent()


@pytest.mark.parametrize(
    "script",
    [
        '{"a": ',
        "[" * 100_000,
        "null",
        "",
        '{"@type": "Product", "name": }',
        "\x00",
        '"' + "9" * 9999,
    ],
)
def test_a_broken_script_does_not_take_the_others_along(script: str) -> None:
    broken = f'<script type="application/ld+json">{script}</script>'
    assert product("", broken + linked(SHOE) + broken).title == "Runner"


@pytest.mark.parametrize(
    "script",
    [
        '<script type="application/ld+json; charset=utf-8">{}</script>',
        '<script type=" Application/LD+JSON ">{}</script>',
        '<script type="application/ld+json">/* seo */ {}</script>',
        '<script type="application/ld+json">\n//<![CDATA[\n{}\n//]]>\n</script>',
    ],
)
def test_scripts_as_they_are_found(script: str) -> None:
    assert product("", script.replace("{}", json.dumps(SHOE))).title == "Runner"


def test_trailing_comma() -> None:
    script = '{"@type": "Product", "name": "Runner", "image": ["/img/a.jpg",],}'
    assert product("", f'<script type="application/ld+json">{script}</script>').title == "Runner"


# ---- Pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "head", "expected"),
    [
        (f"{URL}?utm_source=x#top", "", URL),
        (f"{SHOP}/sale{URL[len(SHOP) :]}", f'<link rel="canonical" href="{URL}">', URL),
        (URL, '<link rel="canonical" href="/">', URL),
        (URL, '<link rel="canonical" href="https://other.example/products/runner">', URL),
        (URL, '<link rel="canonical" href="http://[">', URL),
        (
            URL,
            '<base href="/deep/er/"><link rel="canonical" href="runner">',
            f"{SHOP}/deep/er/runner",
        ),
    ],
)
def test_the_page_of_a_product(url: str, head: str, expected: str) -> None:
    assert product("", head + linked(SHOE), url).page == expected


@pytest.mark.parametrize(
    "address", ["https://other.example/p", "/", "javascript:alert(1)", "http://[", f"{URL}#product"]
)
def test_no_page_speaks_for_others(address: str) -> None:
    assert product("", linked(SHOE | {"url": address})).page == URL


def test_a_listing_names_the_pages_of_its_products() -> None:
    items = [SHOE | {"url": f"/products/{n}", "image": f"/img/{n}.jpg"} for n in "ab"]
    gallery = '<div class="gallery"><img src="/img/banner.jpg"></div>'
    found = read(gallery, linked({"@type": "ItemList", "itemListElement": items}), f"{SHOP}/shoes")
    assert [(p.page, p.images) for p in found.products] == [
        (f"{SHOP}/products/{n}", (f"{SHOP}/img/{n}.jpg",)) for n in "ab"
    ]


RUNNER = "/products/runner"


@pytest.mark.parametrize(
    ("own", "others", "url"),
    [
        ({}, ["/products/other"], URL),
        ({}, ["/products/other", "/products/third"], URL),
        ({"url": URL}, ["/products/other"], URL),
        ({"url": f"{RUNNER}/?variant=1"}, ["/products/other"], URL),
        ({"url": f"/sale{RUNNER}"}, ["/products/other"], URL),
        ({"url": "/p.php?id=1"}, ["/p.php?id=2"], f"{SHOP}/p.php?id=1"),
        ({}, ["/p.php?id=2"], f"{SHOP}/p.php?id=1"),
        ({"url": URL}, [URL], URL),
    ],
)
def test_the_gallery_goes_to_the_product_that_the_page_is_about(
    own: dict[str, str], others: list[str], url: str
) -> None:
    beside = [SHOE | {"url": u, "image": f"/img/{n}.jpg"} for n, u in enumerate(others)]
    gallery = '<div class="gallery"><img src="/img/sole.jpg"></div>'
    # With nothing but its place to tell two of the same address apart, the first is meant.
    items = [SHOE | own, *beside] if others == [URL] else [*beside, SHOE | own]
    first, *rest = read(gallery, linked(items), url).products
    assert first.images == (f"{SHOP}/img/a.jpg", f"{SHOP}/img/sole.jpg")
    assert [p.images for p in rest] == [(f"{SHOP}/img/{n}.jpg",) for n in range(len(others))]


def test_a_product_that_is_described_twice_is_one() -> None:
    gallery = '<div class="gallery"><img src="/img/b.jpg"></div>'
    found = product(gallery, linked(SHOE | {"brand": "Nonesuch"}) + linked(SHOE))
    assert (found.brand, len(found.images)) == ("Nonesuch", 2)


def test_of_several_products_none_is_meant() -> None:
    gallery = '<div class="gallery"><img src="/img/b.jpg"></div>'
    items = [SHOE, SHOE | {"name": "Other", "image": "/img/other.jpg"}]
    assert [p.images for p in read(gallery, linked(items)).products] == [
        (f"{SHOP}/img/a.jpg",),
        (f"{SHOP}/img/other.jpg",),
    ]


def test_variants_keep_their_colours() -> None:
    group = {
        "@type": "ProductGroup",
        "name": "Runner",
        "hasVariant": [
            {"@type": "Product", "color": "Red", "image": "/img/r.jpg"},
            {"@type": "Product", "color": "Blue", "image": "/img/b.jpg"},
        ],
    }
    body = '<div class="gallery"><img src="/img/r_100x100.jpg"><img src="/img/sole.jpg"></div>'
    assert [(p.page, p.colour, p.images) for p in read(body, linked(group)).products] == [
        (URL, "Red", (f"{SHOP}/img/r.jpg",)),
        (URL, "Blue", (f"{SHOP}/img/b.jpg",)),
        (URL, None, (f"{SHOP}/img/sole.jpg",)),
    ]
    assert len(read("", linked(group)).products) == 2


def test_category_by_the_breadcrumb() -> None:
    steps = [{"@type": "ListItem", "name": name} for name in ("Men", "Shoes", "Runner")]
    trail = {"@type": "BreadcrumbList", "itemListElement": steps}
    assert product("", linked([SHOE, trail])).category == "Men > Shoes"
    assert product("", linked([SHOE | {"category": "Own"}, trail])).category == "Own"


# ---- Pictures ------------------------------------------------------------------------------------


def images(body: str, item: Any = SHOE, head: str = "") -> list[str]:
    found = product(f'<div class="product-gallery">{body}</div>', head + linked(item)).images
    return [url.removeprefix(SHOP) for url in found]


@pytest.mark.parametrize(
    "body",
    [
        '<img src="/img/a_100x100.jpg"><img src="/img/a_600x600.jpg">',
        '<img src="/img/a.jpg?w=300" srcset="/img/a.jpg?w=600 600w, /img/a.jpg?w=900 900w">',
        '<a href="/img/a.jpg"><img src="/img/a-150x150.jpg"></a>',
        '<img src="http://shop.example/img/a.jpg?v=3&amp;utm_source=x">',
        '<img src="/img/a_small.jpg" data-zoom-image="/img/a_large.jpg">',
        '<picture><source srcset="/img/a_300w.jpg 300w"><img src="/img/a.jpg"></picture>',
        '<noscript><img src="/img/a.jpg"></noscript><img data-src="/img/a.jpg" src="/a_1x1.jpg">',
    ],
)
def test_one_picture_at_several_sizes_is_taken_once(body: str) -> None:
    assert images(body) == ["/img/a.jpg"]


def test_known_servers_give_their_largest() -> None:
    item = SHOE | {"image": "//shop.example/cdn/shop/files/a_grande.jpg?v=1"}
    body = (
        '<img src="/cdn/shop/files/a_100x.jpg?v=1" srcset="/cdn/shop/files/a_300x.jpg?v=1 300w">'
        '<img src="/cdn/shop/files/b.jpg?v=2&amp;width=100">'
    )
    assert images(body, item) == ["/cdn/shop/files/a.jpg?v=1", "/cdn/shop/files/b.jpg?v=2"]


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ('<img src="/img/a.jpg" data-zoom-image="/zoom/1">', "/zoom/1"),
        ('<a href="/full/1.jpg"><img src="/img/a.jpg"></a>', "/full/1.jpg"),
        ('<img src="/img/a.jpg" srcset="/w/1 300w, /w/2 1200w">', "/w/2"),
        ('<picture><source srcset="/w/1, /w/2 2x"><img src="/img/a.jpg"></picture>', "/w/2"),
        ('<img src="/img/a.jpg" data-src="/lazy/a.jpg">', "/img/a.jpg"),
    ],
)
def test_the_page_offers_more_than_the_markup_says(markup: str, expected: str) -> None:
    """Even outside of any gallery: it is known to be the product's picture."""
    found = product(f"<p>{markup}</p>", linked(SHOE)).images
    assert found == (f"{SHOP}{expected}",)


def test_the_gallery_widens_the_pictures_in_order() -> None:
    body = (
        '<a href="/img/b-large.jpg"><img src="/img/b-thumb.jpg"></a>'
        '<a href="/img/a-large.jpg"><img src="/img/a-thumb.jpg"></a>'
        '<img src="/img/c.jpg"><img src="/img/size-chart.svg"><img src="/img/d.jpg" width="20">'
        '<div class="swatch"><img src="/img/red.jpg"></div>'
    )
    assert images(body) == ["/img/a.jpg", "/img/b-large.jpg", "/img/c.jpg"]


def test_a_size_larger_than_that_of_the_markup() -> None:
    body = '<img src="/img/a_100x100.jpg" srcset="/img/a_900x900.jpg 900w">'
    assert images(body, SHOE | {"image": "/img/a_300x300.jpg"}) == ["/img/a_900x900.jpg"]
    assert images("", SHOE | {"image": ["/img/a_300x300.jpg", "/img/a_900x900.jpg"]}) == [
        "/img/a_900x900.jpg"
    ]


def test_no_gallery_without_structure() -> None:
    assert images("", SHOE | {"image": None}) == []
    assert images('<img src="/img/x.jpg">', SHOE | {"image": None}) == ["/img/x.jpg"]


ADDRESSES = ["data:image/png;base64,AA==", "javascript:alert(1)", "file:///etc/passwd", "http://["]
PAGES = ["", " ", "#", "/", "//", "runner", "https://shop.example"]


@pytest.mark.parametrize("image", [*ADDRESSES, *PAGES])
def test_what_is_no_address_of_a_picture(image: str) -> None:
    assert images("", SHOE | {"image": [image, "/img/a.jpg"]}) == ["/img/a.jpg"]


def test_addresses_are_relative_to_the_base() -> None:
    head = '<base href="https://static.example/x/">'
    body = '<img src="b.jpg"><img src="/c.jpg">'
    found = product(f'<div class="gallery">{body}</div>', head + linked(SHOE | {"image": "a.jpg"}))
    assert found.images == (
        "https://static.example/x/a.jpg",
        "https://static.example/x/b.jpg",
        "https://static.example/c.jpg",
    )


def test_pictures_are_bounded() -> None:
    body = "".join(f'<img src="/img/{n}.jpg">' for n in range(999))
    assert len(images(body)) == MAX_IMAGES


# ---- Links and wishes ----------------------------------------------------------------------------


def test_links() -> None:
    found = read(
        """
        <a href="/b?utm_source=x">b</a> <a href="a">a</a> <a href="/b#top">b</a>
        <a href="mailto:a@b.c">m</a> <a href="#x">x</a> <a href="JavaScript:go()">j</a>
        <a href="tel:1">t</a> <a name="n">n</a> <a href="ftp://shop.example/">f</a>
        <a href="/never" rel="noopener nofollow">n</a> <a href="/img/a.jpg"><img src="/a.jpg"></a>
        <a href="https://other.example">o</a> <area href="/map"> <a href="http://[">x</a>
        <a href=" /ü&amp;amp;b ">u</a> <!-- <a href="/comment"> --> <a href="/a\nb">ab</a>
        """,
        '<link rel="next" href="?page=2"><link rel="stylesheet" href="/x.css">',
    )
    assert found.links == (
        f"{URL}?page=2",
        f"{SHOP}/b",
        f"{SHOP}/products/a",
        "https://other.example/",
        f"{SHOP}/map",
        f"{SHOP}/%C3%BC&b",
        f"{SHOP}/ab",
    )


def test_links_are_bounded() -> None:
    found = read("".join(f'<a href="/{n}">x</a>' for n in range(MAX_LINKS + 100)))
    assert len(found.links) == MAX_LINKS


@pytest.mark.parametrize(
    ("meta", "opted_out", "nofollow"),
    [
        ('<meta name="robots" content="noai">', True, False),
        ('<meta name="Robots" content="index, NoImageAI">', True, False),
        ('<meta name="robots" content="nofollow">', False, True),
        ('<meta name="robots" content="none,noai">', True, True),
        (
            '<meta name="robots" content="index, follow"><meta name="robots" content="noai">',
            True,
            False,
        ),
        ('<meta name="robots" content="max-image-preview: none, max-snippet:-1">', False, False),
        ('<meta name="robots" content="noindex nofollow">', False, True),
        ('<meta name="robots">', False, False),
        ('<meta name="description" content="noai">', False, False),
        ('<meta name="robots" content="noaim">', False, False),
    ],
)
def test_wishes(meta: str, opted_out: bool, nofollow: bool) -> None:
    for found in (read("", meta), read(meta)):
        assert (found.opted_out, found.nofollow) == (opted_out, nofollow)


# ---- Encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "said", "declared"),
    [
        ("utf-8", None, None),
        ("utf-8", "utf-8", "latin-1"),
        ("utf-8-sig", None, None),
        ("utf-16", None, None),
        ("utf-16", "utf-8", None),
        ("latin-1", None, None),
        ("latin-1", "iso-8859-1", None),
        ("latin-1", None, "iso-8859-1"),
        ("cp1251", "windows-1251", None),
        ("shift_jis", None, "shift_jis"),
        ("gbk", "gb2312", None),
        ("utf-8", "zlib", "idna"),
        ("utf-8", "no such\x00", "punycode"),
    ],
)
def test_encodings(codec: str, said: str | None, declared: str | None) -> None:
    name = {"cp1251": "Кеды", "shift_jis": "スニーカー", "gbk": "运动鞋"}.get(codec, "Kürzel é")
    item = json.dumps(SHOE | {"name": name}, ensure_ascii=False)
    meta = f'<meta charset="{declared}">' if declared else ""
    text = f'<html><head>{meta}<script type="application/ld+json">{item}</script></head></html>'
    (found,) = read_page(text.encode(codec), URL, said).products
    assert found.title == name


# ---- Hostile pages -------------------------------------------------------------------------------

BOMBS = {
    "nothing": b"",
    "spaces": b"  \n ",
    "comment": b"<!-- <a href='/x'> -->",
    "zeros": bytes(1000),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    "deep": b"<div>" * 100_000,
    "deep microdata": b'<p itemscope itemtype="http://schema.org/Product" itemprop=x>' * 300,
    "deep script": page("", '<script type="application/ld+json">' + '{"@graph":' * 50_000),
    "attributes": b"<a " + b" ".join(b"a%d" % n for n in range(100_000)) + b">",
    "quoted attributes": b"<a b='>' " + b" ".join(b'a%d=">"' % n for n in range(50_000)) + b">",
    "references": page(
        '<p itemscope itemtype="http://schema.org/Product" itemref="z"></p>' * 2000
        + f"<i id=z><b itemprop=name>{'x ' * 50_000}</b></i>"
    ),
    "nested text": page(
        '<p itemscope itemtype="http://schema.org/Product">'
        + "<b itemprop=name>" * 200
        + "x " * 99_999
    ),
    "entities": b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><p>&a;</p>",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_hostile_pages_are_read_as_nothing(body: bytes) -> None:
    found = read_page(body, URL)
    assert not found.links
    assert not any(p.images for p in found.products)


def test_a_long_tag_with_few_attributes_is_no_attack() -> None:
    body = f"<div data-state='{json.dumps(['a=1 <b> c=2'] * 5000)}'></div>"
    assert product(body, linked(SHOE)).title == "Runner"


def test_text_is_bounded_and_printable() -> None:
    found = product("", linked(SHOE | {"name": "Run\u202e\x07ner " + "x" * 9999, "sku": "\x00"}))
    assert found.title is not None and found.title.startswith("Run ner xx")
    assert (len(found.title), found.sku) == (500, None)


def test_an_url_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="must begin with http"):
        read_page(b"", "file:///etc/passwd")


SCRIPTS = [
    '<script type="application/ld+json">',
    "</script>",
    json.dumps(SHOE),
    '{"@graph": [',
    "]}",
]
TAGS = [
    "<a href='",
    "'>",
    "<base href='",
    "<img srcset='",
    "<link rel=canonical href='",
    "<meta name=robots",
]
SCOPES = [
    '<p itemscope itemtype="http://schema.org/Product"',
    " itemprop=image",
    " itemref=x",
    " id=x>",
]
META = [
    "<meta property='og:type' content='product'>",
    "<meta property='og:image' content='",
    "<head>",
]
TEXTS = [
    "http://[",
    "/a.jpg",
    "//",
    "&#0;",
    "&#xD800;",
    "\ud800",
    "\x00",
    "é",
    " 300w, ",
    "<!--",
    "</p>",
]
MARKUP = st.lists(st.sampled_from([*SCRIPTS, *TAGS, *SCOPES, *META, *TEXTS]), max_size=25)
BODIES = MARKUP.map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES | st.binary(max_size=200), st.none() | st.text(max_size=12) | st.just("utf-16"))
@example(
    b"<p itemscope itemtype='http://schema.org/Product'><a itemprop=url href='http://['>", None
)
@example(b"<link rel=canonical href=''><base href='//'><a href='//'>", None)
def test_no_page_raises(body: bytes, encoding: str | None) -> None:
    found = read_page(body, URL, encoding)
    urls = [*found.links, *(u for p in found.products for u in (p.page, *p.images))]
    assert all(canonical(url) == url for url in urls)
    assert len(set(found.links)) == len(found.links)
    for one in found.products:
        assert len(set(one.images)) == len(one.images)
