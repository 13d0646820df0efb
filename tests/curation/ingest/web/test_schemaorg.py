"""Products are found in JSON-LD however it is nested, and in nothing that only looks like them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ingest.web.schemaorg import (
    MAX_IMAGES,
    MAX_PRODUCTS,
    MAX_TEXT,
    Claim,
    plain_text,
    read_breadcrumb,
    read_claims,
)

SHOE = {"@type": "Product", "name": "Runner", "image": "/a.jpg"}
READ = Claim(title="Runner", images=("/a.jpg",))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  Runner \n\t 2 ", "Runner 2"),
        ("Red &amp; Blue", "Red & Blue"),
        ("a\x00b\u202ec\ud800d", "a b c d"),
        (42, "42"),
        (4.5, "4.5"),
        ("", None),
        (" \u200b ", None),
        (None, None),
        (True, None),
        (["x"], None),
        pytest.param(10**5000, None, id="5000 digits"),
        ("x" * 10_000, "x" * MAX_TEXT),
        ("&amp;" * 10_000, "&" * MAX_TEXT),
    ],
)
def test_plain_text(value: object, text: str | None) -> None:
    assert plain_text(value) == text


@given(st.text())
def test_plain_text_is_one_printable_line(value: str) -> None:
    text = plain_text(value)
    if text is not None:
        assert 0 < len(text) <= MAX_TEXT
        assert text == text.strip() and len(text.splitlines()) == 1
        text.encode()
        assert plain_text(text) is not None


@pytest.mark.parametrize(
    "items",
    [
        [SHOE],
        [[SHOE]],
        [{"@context": "https://schema.org", "@graph": [{"@type": "WebSite"}, SHOE]}],
        [{"@type": "WebPage", "mainEntity": SHOE}],
        [{"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": SHOE}]}],
        [{"@type": "Offer", "itemOffered": SHOE}],
        [SHOE | {"@type": ["Thing", "Product"]}],
        [SHOE | {"@type": "http://schema.org/Product"}],
        [SHOE | {"@type": "https://schema.org/IndividualProduct"}],
        [SHOE | {"@type": "schema:Product"}],
    ],
)
def test_products_are_found_wherever_they_are(items: list[Any]) -> None:
    assert read_claims(items) == [READ]


@pytest.mark.parametrize(
    "items",
    [
        [],
        [None, 3, "Product", []],
        [{"@type": "Organization", "image": "/a.jpg"}],
        [{"@type": "ProductReview"}],
        [{"@type": None}],
        [{"@type": "WebPage", "relatedLink": SHOE}],
    ],
)
def test_what_is_no_product(items: list[Any]) -> None:
    assert read_claims(items) == []


def test_what_is_shown_beside_a_product_is_not_read() -> None:
    other = SHOE | {"name": "Other", "image": "/other.jpg"}
    assert read_claims([SHOE | {"isRelatedTo": [other], "isSimilarTo": other}]) == [READ]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (["/a.jpg", "/b.jpg", "/a.jpg"], ["/a.jpg", "/b.jpg"]),
        ({"@type": "ImageObject", "url": "/a.jpg", "contentUrl": "/b.jpg"}, ["/b.jpg"]),
        (
            [{"url": ["/a.jpg"]}, {"@id": "https://s.example/b.jpg"}],
            ["/a.jpg", "https://s.example/b.jpg"],
        ),
        ({"@list": ["/a.jpg"]}, []),
        ({"image": {"image": {"url": "/a.jpg"}}}, ["/a.jpg"]),
        ({"thumbnailUrl": "/t.jpg"}, ["/t.jpg"]),
        ({"@id": "#picture"}, ["/graph.jpg"]),
        ([[["/a.jpg"]]], ["/a.jpg"]),
        (None, []),
        (5, []),
    ],
)
def test_images_in_all_their_forms(image: Any, expected: list[str]) -> None:
    graph = [SHOE | {"image": image}, {"@id": "#picture", "contentUrl": "/graph.jpg"}]
    assert list(read_claims([{"@graph": graph}])[0].images) == expected


def test_fields() -> None:
    item = {
        "@type": "Product",
        "@id": "https://s.example/p#product",
        "name": ["", "Runner"],
        "brand": {"@id": "#brand"},
        "category": [{"@type": "CategoryCode", "name": "Shoes"}],
        "color": {"@value": "Red"},
        "offers": {
            "@type": "AggregateOffer",
            "offers": [{"sku": 17, "url": "/p?1"}, {"sku": 18, "url": "/p?2"}],
        },
    }
    maker = {"@id": "#brand", "@type": "Brand", "name": "Nonesuch"}
    assert read_claims([item, {"@graph": [maker]}]) == [
        Claim(
            url="https://s.example/p#product",
            title="Runner",
            brand="Nonesuch",
            category="Shoes",
            colour="Red",
            sku=None,
        )
    ]


def test_one_offer_names_page_and_number() -> None:
    item = SHOE | {"offers": [{"url": "/p", "sku": "N1"}], "@id": "#p"}
    (claim,) = read_claims([item])
    assert (claim.url, claim.sku) == ("/p", "N1")


def test_variants_with_pictures_of_their_own() -> None:
    group = {
        "@type": "ProductGroup",
        "name": "Runner",
        "url": "/runner",
        "brand": "Nonesuch",
        "image": "/all.jpg",
        "hasVariant": [
            {
                "@type": "Product",
                "name": "Runner red 41",
                "color": "Red",
                "sku": "1",
                "image": "/r.jpg",
            },
            {
                "@type": "Product",
                "name": "Runner red 42",
                "color": "Red",
                "sku": "2",
                "image": "/r.jpg",
            },
            {"@type": "Product", "name": "Runner blue", "color": "Blue", "image": "/b.jpg"},
            {"@type": "Product", "name": "No picture"},
            {"@id": "#green"},
        ],
    }
    green = {"@type": "Product", "@id": "#green", "color": "Green", "image": "/g.jpg"}
    claims = read_claims([group, green])
    found = [(c.colour, c.images, c.title, c.brand, c.url) for c in claims if c.product == 0]
    assert found == [
        ("Red", ("/r.jpg",), "Runner", "Nonesuch", "/runner"),
        ("Blue", ("/b.jpg",), "Runner", "Nonesuch", "/runner"),
        ("Green", ("/g.jpg",), "Runner", "Nonesuch", "/runner"),
        (None, ("/all.jpg",), "Runner", "Nonesuch", "/runner"),
    ]


def test_variants_that_point_to_their_group() -> None:
    group = {"@type": "ProductGroup", "@id": "#g", "name": "Runner"}
    red = SHOE | {"isVariantOf": {"@id": "#g"}, "color": "Red", "image": "/r.jpg"}
    claims = read_claims([{"@graph": [red, group]}])
    assert [(c.product, c.colour, c.images) for c in claims] == [
        (0, "Red", ("/r.jpg",)),
        (0, None, ()),
    ]


def test_a_picture_of_several_colours_has_none() -> None:
    variants = [{"color": colour, "image": "/all.jpg"} for colour in ("Red", "Blue")]
    claims = read_claims([SHOE | {"image": None, "hasVariant": variants}])
    assert [(c.colour, c.images) for c in claims] == [(None, ("/all.jpg",)), (None, ())]


def test_breadcrumb() -> None:
    trail = {
        "@type": "BreadcrumbList",
        "itemListElement": [
            {"@type": "ListItem", "position": 1, "name": "Home"},
            {"@type": "ListItem", "position": 2, "item": {"@id": "/shoes", "name": "Shoes"}},
            {"@type": "ListItem", "position": 3},
            "odd",
        ],
    }
    assert read_breadcrumb([SHOE, {"@graph": [trail]}]) == ("Home", "Shoes")
    assert read_breadcrumb([SHOE]) == ()


def test_circles_end() -> None:
    shoe = SHOE | {"@id": "#a", "hasVariant": {"@id": "#a"}, "image": {"@id": "#b"}}
    shoe["offers"] = {"@id": "#c"}
    offer = {"@id": "#c", "offers": [{"@id": "#c"}], "itemOffered": {"@id": "#a"}}
    picture = {"@id": "#b", "url": {"@id": "#b"}}
    assert [claim.images for claim in read_claims([{"@graph": [shoe, picture, offer]}])] == [()]


def test_counts_are_bounded() -> None:
    images = [f"/{n}.jpg" for n in range(5000)]
    assert len(read_claims([SHOE | {"image": images}])[0].images) == MAX_IMAGES
    assert len(read_claims([SHOE] * 5000)) == MAX_PRODUCTS
    variants = [{"image": f"/{n}.jpg"} for n in range(5000)]
    assert len(read_claims([SHOE | {"hasVariant": variants}])) == MAX_PRODUCTS


NAMES = ["@type", "@id", "@graph", "name", "image", "url", "contentUrl", "brand", "offers", "color"]
MORE = ["hasVariant", "isVariantOf", "itemOffered", "itemListElement", "item", "sku", "mainEntity"]
TYPES = ["Product", "ProductGroup", "Offer", "BreadcrumbList", "#a", "#b", "/a.jpg", "\ud800"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(TYPES),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*NAMES, *MORE]), inner, max_size=6)
    ),
    max_leaves=25,
)


@given(st.lists(VALUES, max_size=4))
def test_any_values_can_be_read(items: list[Any]) -> None:
    for claim in read_claims(items):
        assert all(isinstance(address, str) for address in claim.images)
    assert isinstance(read_breadcrumb(items), tuple)
