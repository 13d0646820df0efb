"""The largest size of a picture, by what is known of servers and by what a page offers."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curation.ingest.web.sizes import ORIGINAL, best_of_srcset, largest, size_of
from curation.ingest.web.urls import canonical

SHOPIFY = "https://cdn.shopify.com/s/files/1/0001/0002/products"
HASH = "0123456789abcdef0123456789abcdef"
CLOUDINARY = "https://res.cloudinary.com/demo/image/upload"

LARGEST = {
    f"{SHOPIFY}/shoe.jpg?v=12": [
        f"{SHOPIFY}/shoe_300x300.jpg?v=12",
        f"{SHOPIFY}/shoe_300x.jpg?v=12",
        f"{SHOPIFY}/shoe_x300.jpg?v=12",
        f"{SHOPIFY}/shoe_grande.jpg?v=12",
        f"{SHOPIFY}/shoe_600x600_crop_center@2x.progressive.jpg?v=12",
        f"{SHOPIFY}/shoe.jpg?v=12&width=200&height=100&crop=center",
    ],
    "https://shop.example/cdn/shop/files/shoe.png?v=1": [
        "https://shop.example/cdn/shop/files/shoe_thumb.png?v=1",
        "https://shop.example/cdn/shop/files/shoe.png?v=1&width=1946",
    ],
    "https://shop.example/wp-content/uploads/2024/05/shoe.jpg": [
        "https://shop.example/wp-content/uploads/2024/05/shoe-300x300.jpg",
        "https://shop.example/wp-content/uploads/2024/05/shoe-1024x768.jpg",
    ],
    "https://i0.wp.com/shop.example/a.jpg?ssl=1": [
        "https://i0.wp.com/shop.example/a.jpg?resize=300%2C300&ssl=1",
        "https://i0.wp.com/shop.example/a.jpg?fit=10%2C10&ssl=1&w=20",
    ],
    "https://shop.example/media/catalog/product/a/b/ab.jpg": [
        f"https://shop.example/media/catalog/product/cache/{HASH}/a/b/ab.jpg",
        f"https://shop.example/media/catalog/product/cache/1/image/{HASH}/a/b/ab.jpg",
        f"https://shop.example/media/catalog/product/cache/1/small_image/300x300/{HASH}/a/b/ab.jpg",
        "https://shop.example/media/catalog/product/a/b/ab.jpg?width=300&height=300&canvas=3:4",
    ],
    "https://m.media-amazon.com/images/I/71abc.jpg": [
        "https://m.media-amazon.com/images/I/71abc._SX300_.jpg",
        "https://m.media-amazon.com/images/I/71abc._AC_SX300_CR0,0,300,300_.jpg",
    ],
    "https://images-na.ssl-images-amazon.com/images/I/71abc.jpg": [
        "https://images-na.ssl-images-amazon.com/images/I/71abc._SL75_.jpg"
    ],
    "https://i.ebayimg.com/images/g/abc/s-l1600.jpg": [
        "https://i.ebayimg.com/images/g/abc/s-l64.jpg",
        "https://i.ebayimg.com/thumbs/images/g/abc/s-l300.jpg",
    ],
    "https://i.etsystatic.com/1/r/il/a/2/il_fullxfull.2_a.jpg": [
        "https://i.etsystatic.com/1/r/il/a/2/il_340x270.2_a.jpg",
        "https://i.etsystatic.com/1/r/il/a/2/il_794xN.2_a.jpg",
    ],
    f"{CLOUDINARY}/v12/shoes/a.jpg": [
        f"{CLOUDINARY}/w_300,h_300,c_fit/v12/shoes/a.jpg",
        f"{CLOUDINARY}/c_scale,w_0.5/f_auto,q_auto:good/v12/shoes/a.jpg",
    ],
    f"{CLOUDINARY}/e_trim/v12/a.jpg": [f"{CLOUDINARY}/w_300/e_trim/v12/a.jpg"],
    "https://shop.imgix.net/a.jpg": [
        "https://shop.imgix.net/a.jpg?w=300&h=300&fit=crop&auto=format"
    ],
    "https://images.ctfassets.net/s/a/b/a.jpg": [
        "https://images.ctfassets.net/s/a/b/a.jpg?w=300&fm=webp&q=80"
    ],
    "https://cdn.sanity.io/images/p/d/a-2000x3000.jpg?rect=0,0,9,9": [
        "https://cdn.sanity.io/images/p/d/a-2000x3000.jpg?rect=0,0,9,9&w=300&fit=max"
    ],
    "https://cdn11.bigcommerce.com/s-1/images/stencil/original/products/1/2/a.3.jpg?c=2": [
        "https://cdn11.bigcommerce.com/s-1/images/stencil/300x300/products/1/2/a.3.jpg?c=2",
        "https://cdn11.bigcommerce.com/s-1/images/stencil/640w/products/1/2/a.3.jpg?c=2",
    ],
    "https://images.squarespace-cdn.com/content/v1/a/b/c.jpg?format=2500w": [
        "https://images.squarespace-cdn.com/content/v1/a/b/c.jpg?format=500w"
    ],
    "https://static.wixstatic.com/media/a_1~mv2.jpg": [
        "https://static.wixstatic.com/media/a_1~mv2.jpg/v1/fill/w_300,h_300,al_c,q_80/shoe.jpg",
        "https://static.wixstatic.com/media/a_1~mv2.jpg/v1/crop/x_0,y_1/fill/w_3,h_4/shoe.webp",
    ],
    "https://shop.example/dw/image/v2/AAA/on/demandware.static/-/a.jpg": [
        "https://shop.example/dw/image/v2/AAA/on/demandware.static/-/a.jpg?sw=300&sh=300&sm=fit"
    ],
    "https://shop.scene7.com/is/image/Shop/a?fmt=jpg&wid=2000&hei=2000&fit=constrain,0": [
        "https://shop.scene7.com/is/image/Shop/a?wid=300&hei=300&fmt=jpg&qlt=70"
    ],
}


@pytest.mark.parametrize(
    ("url", "expected"), [(url, best) for best, urls in LARGEST.items() for url in [best, *urls]]
)
def test_largest(url: str, expected: str) -> None:
    assert largest(url) == expected
    assert canonical(largest(canonical(url))) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/a_300x300.jpg",
        "https://shop.example/a-300x300.jpg?width=300&w=3",
        "https://shop.example/media/a/cache/300x300/a.jpg",
        "https://shop.example/cdn/shop/files/shoe_2x4.v2.jpg?v=1",
        "https://shop.example/cdn/shop/files/large_shoe.jpg?v=1",
        f"{CLOUDINARY}/s--AbCd1234--/w_300/v12/a.jpg",
        f"{CLOUDINARY}/w_300,l_logo/v12/a.jpg",
        f"{CLOUDINARY}/v12/w_and_h/a.jpg",
        "https://shop.imgix.net/a.jpg?w=300&s=0123456789abcdef",
        "https://images.squarespace-cdn.com/a.jpg?format=original",
        "https://shop.scene7.com/is/image/Shop/a?wid=3000",
        "https://shop.scene7.com/is/image/Shop/a?scl=1",
        "https://i.ebayimg.com/images/g/abc/s-l2400.jpg",
        "https://evil.example/?m.media-amazon.com/images/I/71abc._SX300_.jpg",
        "https://i.ebayimg.com.evil.example/images/g/abc/s-l300.jpg",
        "https://user@i.ebayimg.com/s-l300.jpg",
        "ftp://i.ebayimg.com/s-l300.jpg",
        "no address",
        "",
    ],
)
def test_what_no_rule_knows_or_must_stay_comes_back_as_it_is(url: str) -> None:
    assert largest(url) == url


HOSTS = st.sampled_from(sorted({urlsplit(url).netloc for url in LARGEST} | {"s.example:81"}))
FOLDERS = [
    "/cdn/shop/",
    "/s/files/1/",
    "/wp-content/uploads/",
    "/media/catalog/product/",
    "/thumbs",
]
CACHES = ["cache/", f"{HASH}/", "1/image/", "/images/stencil/", "/dw/image/v2/", "/is/image/", "/"]
SIZES = ["_300x", "_300x300", "_grande", "-300x300", "@2x", "_crop_top", "3x4", "_600w", "._SX3_"]
NAMES = ["/s-l300.", "/il_3x4.", "/12-home_default/", "a", ".jpg", ".webp", "original", "/images/"]
PARTS = ["/image/upload", "/w_3,h_4", "/c_fit", "/v1/fill/w_3", "%20", "{", "\n", "?", "&", "#"]
PATHS = st.lists(st.sampled_from([*FOLDERS, *CACHES, *SIZES, *NAMES, *PARTS]), max_size=10).map(
    "".join
)
WIDTHS = ["width=3", "w=3", "W=3", "%77=3", "h=4", "sw=3", "wid=3", "wid=2000", "wid=3000", "hei=4"]
OTHERS = [
    "hei=2000",
    "scl=1",
    "fit=constrain,0",
    "fit=crop",
    "s=1",
    "format=500w",
    "format=original",
]
KEPT = ["v=1", "q=8", "id=7", "", "=", "resize=3", "rect=0"]
QUERIES = st.lists(st.sampled_from([*WIDTHS, *OTHERS, *KEPT]), max_size=6).map("&".join)
PICTURES = st.builds(
    "{}://{}{}?{}".format, st.sampled_from(["http", "https"]), HOSTS, PATHS, QUERIES
)


@given(PICTURES | st.text(max_size=60))
@example("https://shop.scene7.com/is/image/a?wid=2000&hei=3000")
def test_largest_is_idempotent_and_stays_on_the_server(url: str) -> None:
    once = largest(url)
    assert largest(once) == once
    origin = re.match(r"[^/?#]*(?://[^/?#]*)?", url)
    assert origin is not None and re.match(re.escape(origin.group()) + r"(?![^/?#])", once)


@given(PICTURES)
def test_largest_of_a_canonical_url_is_canonical(url: str) -> None:
    try:
        before = canonical(url)
    except ValueError:
        return
    assert canonical(largest(before)) == largest(before)


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("https://s.example/a_300x300.jpg", "https://s.example/a_600x600.jpg"),
        ("https://s.example/a-300x.jpg", "https://s.example/a.jpg"),
        ("https://s.example/a_small.jpg", "http://s.example/a_large.jpg"),
        ("https://s.example/a-640w.jpg", "https://s.example/a-1280w.jpg"),
        ("https://s.example/300x300/a.jpg", "https://s.example/1200x900/a.jpg"),
        ("https://s.example/12-home_default/a.jpg", "https://s.example/12-large_default/a.jpg"),
        ("https://s.example/a.jpg?width=300", "https://s.example/a.jpg?width=1200&v=3"),
        ("https://s.example/a.jpg?w=300&id=1", "https://s.example/a.jpg?id=1"),
    ],
)
def test_sizes_of_one_picture(smaller: str, larger: str) -> None:
    assert size_of(smaller)[0] == size_of(larger)[0]
    assert size_of(smaller)[1] < size_of(larger)[1] <= ORIGINAL


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://s.example/a_1.jpg", "https://s.example/a_2.jpg"),
        ("https://s.example/a.jpg", "https://t.example/a.jpg"),
        ("https://s.example/a.jpg?id=1", "https://s.example/a.jpg?id=2"),
        ("https://s.example/image?v=1", "https://s.example/image?v=2"),
        ("https://s.example/red/a.jpg", "https://s.example/blue/a.jpg"),
    ],
)
def test_different_pictures(one: str, other: str) -> None:
    assert size_of(one)[0] != size_of(other)[0]


@given(PICTURES | st.text(max_size=60))
def test_any_text_has_a_size(url: str) -> None:
    key, size = size_of(url)
    assert isinstance(key, str) and 0 <= size <= ORIGINAL


@pytest.mark.parametrize(
    ("srcset", "best"),
    [
        ("a.jpg 300w, b.jpg 1200w, c.jpg 600w", "b.jpg"),
        ("a.jpg, b.jpg 2x, c.jpg 1.5x", "b.jpg"),
        ("a.jpg 300w,b.jpg 600w", "b.jpg"),
        ("/w_300,h_300/a.jpg 300w, /w_600,h_600/a.jpg 600w", "/w_600,h_600/a.jpg"),
        ("\n  a.jpg\t300w ,\n\n b.jpg 600w 400h,\n", "b.jpg"),
        ("a.jpg", "a.jpg"),
        ("a.jpg,", "a.jpg"),
        ("a.jpg 300w, b.jpg 3x", "a.jpg"),
        ("a.jpg wide, b.jpg -5w, c.jpg nanw, d.jpg 2w", "d.jpg"),
        ("a.jpg wide, b.jpg", "a.jpg"),
        ("data:image/gif;base64,R0lGOD 9000w, a.jpg 1w", "a.jpg"),
        ("data:image/gif;base64,R0lGOD", None),
        ("", None),
        (" , ,, ", None),
    ],
)
def test_best_of_srcset(srcset: str, best: str | None) -> None:
    assert best_of_srcset(srcset) == best


@given(st.text(alphabet="ab.,: \t\n0123456789wxh-", max_size=80))
def test_any_srcset_can_be_read(srcset: str) -> None:
    best = best_of_srcset(srcset)
    assert best is None or (best in srcset and not set(best) & set(" \t\n"))


@given(st.lists(st.integers(1, 9999), min_size=1, unique=True))
def test_the_widest_is_best(widths: list[int]) -> None:
    srcset = ", ".join(f"/{width}.jpg {width}w" for width in widths)
    assert best_of_srcset(srcset) == f"/{max(widths)}.jpg"
