from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.localshop.plan import (
    CATEGORIES,
    NOUNS,
    Markup,
    Shop,
    Way,
    media_name,
    media_path,
    plan_shop,
)

IMAGES = tuple(f"{noun}-{i:03d}.jpg" for noun in NOUNS for i in range(20))
DEFECTS = tuple(f"blurred-{i:03d}.jpg" for i in range(100))


@pytest.fixture(scope="module")
def shop() -> Shop:
    return plan_shop(IMAGES + DEFECTS, seed=1)


def test_every_picture_belongs_to_one_product(shop: Shop) -> None:
    counts = Counter(path for product in shop.products for path in product.images)
    assert counts == Counter(media_path(name) for name in IMAGES + DEFECTS)
    assert {len(product.images) for product in shop.products} == {1, 2, 3, 4}


def test_one_seed_one_shop() -> None:
    assert plan_shop(IMAGES, seed=3) == plan_shop(IMAGES, seed=3)
    assert plan_shop(IMAGES, seed=3) != plan_shop(IMAGES, seed=4)


def test_handles_and_item_numbers_are_unique(shop: Shop) -> None:
    assert len({p.handle for p in shop.products}) == len(shop.products)
    assert len({p.sku for p in shop.products}) == len(shop.products)


def test_a_product_is_called_what_its_first_picture_is_called(shop: Shop) -> None:
    for product in shop.products:
        noun = media_name(product.images[0]).partition("-")[0]
        assert product.title.lower().endswith(noun)
        assert product.category == NOUNS[noun]


def test_there_is_some_of_all(shop: Shop) -> None:
    """Each way of finding a product is the only one for some."""
    ways = Counter(product.ways for product in shop.products)
    assert all(ways[frozenset({way})] >= 5 for way in Way)
    assert ways[frozenset(Way)] >= 5
    assert {p.markup for p in shop.products} == set(Markup)
    assert 0 < sum(p.tracked for p in shop.products) < len(shop.products) / 2


def test_only_what_the_feed_alone_names_goes_without_markup(shop: Shop) -> None:
    for product in shop.products:
        assert (product.markup is Markup.NONE) == (product.ways == {Way.FEED})


def test_categories_hold_what_is_linked_to(shop: Shop) -> None:
    linked = {p.handle for p in shop.products if Way.LINKS in p.ways}
    assert {p.handle for listed in shop.collections.values() for p in listed} == linked
    assert tuple(shop.collections) == CATEGORIES
    assert all(p.category == c for c, listed in shop.collections.items() for p in listed)


def test_products_lead_to_others_of_their_category(shop: Shop) -> None:
    for product in shop.products:
        others = shop.beside(product, 4)
        assert len(set(others)) == len(others) == 4
        assert product not in others
        assert all(o.category == product.category and Way.LINKS in o.ways for o in others)


def test_the_number_of_pictures_of_a_product_can_be_limited() -> None:
    assert {len(p.images) for p in plan_shop(IMAGES + DEFECTS, seed=1, most=1).products} == {1}


@pytest.mark.parametrize("images", [(), ("one.jpg",), ("blurred-1.jpg", "blurred-2.jpg")])
def test_a_shop_of_next_to_nothing(images: tuple[str, ...]) -> None:
    shop = plan_shop(images, seed=0)
    assert sum(len(p.images) for p in shop.products) == len(images)
    assert all(shop.beside(p, 4) == [] for p in shop.products) or len(shop.products) > 1


@given(st.text(min_size=1).filter(lambda t: "\0" not in t and "/" not in t))
def test_a_path_gives_the_name_back(text: str) -> None:
    name = os.fsdecode(text.encode("utf-8", "surrogatepass"))
    path = media_path(name)
    assert media_name(path) == name
    assert path.isascii() and " " not in path and "?" not in path and "#" not in path
