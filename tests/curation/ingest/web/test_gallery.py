"""Which pictures of a page are its product's, and at what sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from curation.ingest.web.gallery import Shown, shown_pictures


def shown(body: str) -> list[Shown]:
    return shown_pictures(html.document_fromstring(f"<html><body>{body}</body></html>"))


def one(body: str) -> Shown:
    (picture,) = shown(body)
    return picture


@pytest.mark.parametrize(
    "markup",
    [
        '<div class="product-gallery"><img src="/a.jpg"></div>',
        '<div id="ProductImages"><p><img src="/a.jpg"></p></div>',
        '<media-gallery><img src="/a.jpg"></media-gallery>',
        '<div class="product__media-item"><img src="/a.jpg"></div>',
        '<figure class="woocommerce-product-gallery__wrapper"><img src="/a.jpg"></figure>',
        '<div class="fotorama"><img src="/a.jpg"></div>',
        '<img class="main-image" src="/a.jpg">',
        '<a href="/a-large.jpg"><img src="/a.jpg"></a>',
        '<img src="/a.jpg" data-zoom-image="/a-large.jpg">',
    ],
)
def test_in_the_gallery(markup: str) -> None:
    assert one(markup).in_gallery


@pytest.mark.parametrize(
    "markup",
    [
        '<img src="/a.jpg">',
        '<div class="text"><a href="/page"><img src="/a.jpg"></a></div>',
        '<div class="related-products"><div class="gallery"><img src="/a.jpg"></div></div>',
        '<div class="product-card"><img class="product-image" src="/a.jpg"></div>',
        '<ul class="recently-viewed"><a href="/a-large.jpg"><img src="/a.jpg"></a></ul>',
        '<header><div class="carousel"><img src="/a.jpg"></div></header>',
        '<footer><img src="/a.jpg" data-zoom-image="/b.jpg"></footer>',
        '<div class="gallery"><div class="reviews"><img src="/a.jpg"></div></div>',
        '<div class="swatches"><img src="/a.jpg"></div>',
    ],
)
def test_not_in_the_gallery(markup: str) -> None:
    assert not one(markup).in_gallery


def test_the_page_itself_says_nothing() -> None:
    page = '<html class="gallery"><body class="has-related-products product-gallery"><main id="{}">'
    root = html.document_fromstring(page.format("reviews") + '<img src="/a.jpg"></main>')
    assert not shown_pictures(root)[0].in_gallery
    root = html.document_fromstring(page.format("x") + '<p class="gallery"><img src="/a.jpg"></p>')
    assert shown_pictures(root)[0].in_gallery


def test_previews_are_no_reviews() -> None:
    assert one('<div class="gallery preview"><img src="/a.jpg"></div>').in_gallery


@pytest.mark.parametrize(
    ("markup", "zoom"),
    [
        ('<img src="/a.jpg" data-zoom-image="/z.jpg">', ("/z.jpg",)),
        ('<img src="/a.jpg" data-large_image="/z.jpg" data-large_image_width="900">', ("/z.jpg",)),
        ('<img src="/a.jpg" data-old-hires=" //s.example/z.jpg ">', ("//s.example/z.jpg",)),
        ('<a href="/z.jpg?v=1"><span><img src="/a.jpg"></span></a>', ("/z.jpg?v=1",)),
        ('<a data-full-src="/z" href="/y.webp"><img src="/a.jpg"></a>', ("/z", "/y.webp")),
        ('<a href="/page"><img src="/a.jpg"></a>', ()),
        ('<img src="/a.jpg" data-zoom="true" data-large-caption="a/b">', ()),
        ('<img src="/a.jpg" data-zoom="{&quot;a&quot;: &quot;/b&quot;}">', ()),
        ('<img src="/a.jpg" data-full="a / b">', ()),
    ],
)
def test_zoom(markup: str, zoom: tuple[str, ...]) -> None:
    assert one(markup).zoom == zoom


@pytest.mark.parametrize(
    ("markup", "widest"),
    [
        ('<img src="/a.jpg" srcset="/a1 300w, /a2 600w">', "/a2"),
        ('<img src="/a.jpg" data-srcset="/a1 300w, /a2 600w">', "/a2"),
        ('<picture><source srcset="/w 900w"><img src="/a.jpg" srcset="/a1 300w"></picture>', "/w"),
        (
            '<picture><source srcset="/w 9w"><source srcset="/v 8w"/><img src="/a.jpg"></picture>',
            "/w",
        ),
        ('<picture><source srcset="/v 8w"></source><img src="/a.jpg"></picture>', "/v"),
        ('<img src="/a.jpg" srcset="/a_{width}x.jpg 1x">', "/a_2048x.jpg"),
        ('<img src="/a.jpg">', None),
    ],
)
def test_widest(markup: str, widest: str | None) -> None:
    assert one(markup).widest == widest


def test_what_a_script_will_show_comes_before_the_placeholder() -> None:
    picture = one('<img src="/blank.gif" data-src="/a_{width}x.jpg">')
    assert picture.plain == ("/a_2048x.jpg", "/blank.gif")
    assert one('<img src="data:image/gif;base64,AA" data-original="/a.jpg">').plain == ("/a.jpg",)


@pytest.mark.parametrize(
    "markup",
    [
        "<img>",
        '<img src="">',
        '<img src="data:image/gif;base64,AA">',
        '<img src="/icon.png" width="16" height="16">',
        '<img src="/pixel.gif" height="1">',
    ],
)
def test_icons_and_placeholders_are_not_shown(markup: str) -> None:
    assert shown(f'<div class="gallery">{markup}</div>') == []


def test_order_and_bound() -> None:
    pictures = shown("".join(f'<img src="/{n}.jpg">' for n in range(900)))
    assert [p.plain for p in pictures] == [(f"/{n}.jpg",) for n in range(500)]


PARTS = [
    "<a href='/a.jpg'>",
    "</a>",
    "<picture>",
    "</picture>",
    "<source srcset='",
    "<img src='",
    "'>",
]
MORE = [
    "<div class='gallery",
    "<nav>",
    "</nav>",
    "data-zoom=",
    "/b.jpg",
    " ",
    "'",
    "é",
    ",",
    "{width}",
]


@given(st.lists(st.sampled_from([*PARTS, *MORE]), max_size=30))
def test_any_markup_can_be_looked_through(parts: list[str]) -> None:
    for picture in shown("".join(parts)):
        assert picture.zoom or picture.widest or picture.plain
