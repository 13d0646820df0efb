"""The feed of a Shopify shop is read; anything else is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ingest.web.products import Product
from curation.ingest.web.shopify import MAX_PRODUCTS, FeedError, read_products

SHOP = "https://shop.example"
SHOE: dict[str, Any] = {
    "id": 1,
    "title": "Runner &amp; Co\u202e",
    "handle": "runner",
    "vendor": "Nonesuch",
    "product_type": "Sneakers",
    "tags": ["a"],
    "options": [{"name": "Size", "values": ["42"]}, {"name": "Colour ", "values": ["Red"]}],
    "variants": [{"sku": None}, {"sku": "R-42"}],
    "images": [
        {"src": "https://cdn.shopify.com/s/files/1/2/products/b.jpg?v=1", "width": 2000},
        {"src": "https://cdn.shopify.com/s/files/1/2/products/b.jpg?v=1&utm_source=x"},
        {"src": "//cdn.shopify.com/s/files/1/2/products/a_1200x1200.jpg?v=1"},
    ],
}


def read(products: Any, shop: str = SHOP) -> tuple[Product, ...]:
    return read_products(json.dumps({"products": products}).encode(), shop)


def test_products() -> None:
    assert read([SHOE]) == (
        Product(
            page=f"{SHOP}/products/runner",
            title="Runner & Co",
            brand="Nonesuch",
            category="Sneakers",
            colour="Red",
            sku="R-42",
            images=(
                "https://cdn.shopify.com/s/files/1/2/products/b.jpg?v=1",
                "https://cdn.shopify.com/s/files/1/2/products/a_1200x1200.jpg?v=1",
            ),
        ),
    )
    assert read([]) == ()


@pytest.mark.parametrize(
    ("shop", "page"),
    [
        ("https://shop.example/", "https://shop.example/products/runner"),
        ("https://shop.example/de", "https://shop.example/de/products/runner"),
        ("https://shop.example/de/products.json?page=2", "https://shop.example/de/products/runner"),
        (
            "https://shop.example/collections/all/products.json?limit=250",
            "https://shop.example/products/runner",
        ),
    ],
)
def test_pages_are_beside_the_feed(shop: str, page: str) -> None:
    assert read([SHOE], shop)[0].page == page


@pytest.mark.parametrize("handle", ["../../private", "a/b", "a?b", "a#b", "\ud800", "ä b"])
def test_a_handle_is_one_segment_of_a_path(handle: str) -> None:
    (product,) = read([SHOE | {"handle": handle}])
    assert product.page.count("/") == 4
    assert product.page.startswith(f"{SHOP}/products/")


def test_of_several_colours_none_is_named() -> None:
    options = [{"name": "Color", "values": ["Red", "Blue"]}]
    assert read([SHOE | {"options": options}])[0].colour is None


def test_bad_entries_and_values_are_left_out() -> None:
    odd = {
        "handle": "odd",
        "title": ["x"],
        "vendor": True,
        "images": "no",
        "options": [{"name": 1}],
    }
    bad = {"src": "javascript:alert(1)"}
    images = [None, {}, {"src": 5}, bad, {"src": "http://["}, *SHOE["images"][:1]]
    products = read([None, "x", {}, {"handle": 5}, {"handle": ""}, odd, SHOE | {"images": images}])
    assert [p.page.rpartition("/")[2] for p in products] == ["odd", "runner"]
    assert products[0] == Product(page=f"{SHOP}/products/odd")
    assert len(products[1].images) == 1


def test_counts_are_bounded() -> None:
    many = [
        {"handle": str(n), "images": [{"src": f"/{i}.jpg"} for i in range(300)]} for n in range(9)
    ]
    assert [len(p.images) for p in read(many)] == [200] * 9
    assert len(read([{"handle": str(n)} for n in range(400)])) == MAX_PRODUCTS


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "no JSON"),
        (b"", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"products": ' + b"9" * 5000 + b"}", "no JSON"),
        (b"[]", "list of `products`"),
        (b"null", "list of `products`"),
        (b'{"products": {}}', "list of `products`"),
        (b'{"errors": "Not Found"}', "list of `products`"),
    ],
)
def test_what_is_no_feed_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(FeedError, match=why):
        read_products(body, SHOP)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
KEYS = st.sampled_from([*SHOE, "src", "sku", "name", "values"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=8) | VALUES, max_size=4))
def test_any_feed_can_be_read(products: list[Any]) -> None:
    for product in read(products):
        assert product.page.startswith(f"{SHOP}/")
        assert all(url.startswith("http") for url in product.images)
