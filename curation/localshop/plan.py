"""What the shop sells, and how each product can be found; all of it follows from a seed."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, TypeVar
from urllib.parse import quote, unquote_to_bytes
from zlib import crc32

_Card = TypeVar("_Card")

NAME: Final = "Larch & Loom"
MEDIA: Final = "/media/"
PRODUCTS: Final = "/products/"
COLLECTIONS: Final = "/collections/"

# Noun: category. A picture named after one, such as mug-0007.jpg, shows one.
NOUNS: Final = {
    "shirt": "Clothing",
    "dress": "Clothing",
    "trousers": "Clothing",
    "sneaker": "Shoes",
    "bag": "Bags",
    "hat": "Accessories",
    "umbrella": "Accessories",
    "watch": "Accessories",
    "mug": "Tableware",
    "vase": "Tableware",
    "lamp": "Living",
    "chair": "Living",
}
CATEGORIES: Final = tuple(dict.fromkeys(NOUNS.values()))

_MATERIALS: Final = {
    "Clothing": ("Linen", "Cotton", "Merino", "Denim", "Jersey", "Poplin"),
    "Shoes": ("Canvas", "Suede", "Knit", "Court", "Trail", "Leather"),
    "Bags": ("Canvas", "Waxed", "Leather", "Nylon", "Felt", "Woven"),
    "Accessories": ("Everyday", "Travel", "Slim", "Field", "Weekend", "Classic"),
    "Tableware": ("Stoneware", "Glazed", "Porcelain", "Speckled", "Terracotta", "Matte"),
    "Living": ("Oak", "Ash", "Brass", "Rattan", "Steel", "Walnut"),
}
_STYLES: Final = (
    "Alder", "Bay", "Cove", "Dune", "Elm", "Fjord", "Glen", "Harbour", "Isle", "Juniper", "Kelp",
    "Linden", "Moor", "North", "Orchard", "Pebble", "Quay", "Ridge", "Sorrel", "Tarn", "Umber",
    "Vale", "Willow", "Yarrow",
)  # fmt: skip
_BRANDS: Final = ("Oake & Daughters", "Fenwick", "Norrby", "Café Marée", "Tallow", "Studio Ikko")
_COLOURS: Final = (
    "Moss", "Ink", "Rust", "Sand", "Plum", "Sky", "Charcoal", "Ivory", "Mustard", "Rosé", "Teal",
)  # fmt: skip


class Markup(StrEnum):
    """How a product's page says what it sells."""

    JSON_LD = "json-ld"
    MICRODATA = "microdata"
    OPENGRAPH = "opengraph"
    NONE = "none"


class Way(StrEnum):
    """Where the shop mentions a product."""

    SITEMAP = "sitemap"
    LINKS = "links"
    FEED = "feed"


class Gallery(StrEnum):
    """What leads from a product's page to its pictures in full size."""

    SRCSET = "srcset"
    PICTURE = "picture"
    ZOOM = "zoom"


class Sizes(StrEnum):
    """How the URL of a smaller picture is written."""

    QUERY = "query"
    SUFFIX = "suffix"


class Form(StrEnum):
    """Shape of the JSON-LD of a page."""

    PLAIN = "plain"
    GRAPH = "graph"
    GROUP = "group"
    OBJECTS = "objects"


@dataclass(frozen=True, slots=True)
class Product:
    """One product.

    Attributes
    ----------
    images : tuple of str
        Paths of its pictures in full size, escaped, e.g. ``/media/mug-0007.jpg``.
    price : int
        In cents.
    ways : frozenset of Way
        Where it is mentioned: a crawl that leaves a way out misses what is found by it alone.
    tracked : bool
        Links to its pictures carry parameters that only tell advertisers who came.
    updated : int
        When its page was last changed, in seconds since 1970.
    robots : str
        What its page asks of robots.
    links : tuple of str
        Further paths that its page links to.
    """

    handle: str
    title: str
    brand: str
    category: str
    colour: str
    sku: str
    price: int
    images: tuple[str, ...]
    markup: Markup
    ways: frozenset[Way]
    gallery: Gallery = Gallery.SRCSET
    sizes: Sizes = Sizes.QUERY
    form: Form = Form.PLAIN
    tracked: bool = False
    updated: int = 1_700_000_000
    robots: str = ""
    links: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Path of its page."""
        return PRODUCTS + self.handle


@dataclass(frozen=True)
class Shop:
    """All that is for sale."""

    products: tuple[Product, ...]

    @cached_property
    def found_by(self) -> Mapping[Way, tuple[Product, ...]]:
        """What is mentioned where."""
        return {way: tuple(p for p in self.products if way in p.ways) for way in Way}

    @cached_property
    def collections(self) -> Mapping[str, tuple[Product, ...]]:
        """What category pages link to, by the name of the category; none is empty."""
        found: dict[str, list[Product]] = {}
        for product in self.found_by[Way.LINKS]:
            found.setdefault(product.category, []).append(product)
        return {name: tuple(found[name]) for name in CATEGORIES if name in found}

    def beside(self, product: Product, count: int) -> list[Product]:
        """Choose others of its category for a product's page to link to, always the same."""
        others = self.collections.get(product.category, ())
        start = crc32(product.handle.encode()) % max(len(others), 1)
        near = (*others[start : start + count + 1], *others[: count + 1])
        return [p for p in dict.fromkeys(near) if p.handle != product.handle][:count]


def media_path(name: str) -> str:
    """Give the path under which a picture of that file name is served."""
    return MEDIA + quote(os.fsencode(name))  # names that are no UTF-8 are served, too


def media_name(path: str) -> str:
    """Give the file name that a path below `MEDIA` stands for, however it is escaped."""
    return os.fsdecode(unquote_to_bytes(path.removeprefix(MEDIA)))


def slug(text: str) -> str:
    """Write a name as part of a path."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


# Of twenty products: most are in the sitemap and linked to, some are to be found in one way only.
_DECK: Final = (
    *[frozenset({Way.SITEMAP, Way.LINKS})] * 9,
    *[frozenset({Way.SITEMAP})] * 3,
    *[frozenset({Way.LINKS})] * 3,
    *[frozenset({Way.FEED})] * 3,
    *[frozenset(Way)] * 2,
)
_MARKUPS: Final = (*[Markup.JSON_LD] * 5, *[Markup.MICRODATA] * 3, *[Markup.OPENGRAPH] * 2)


def plan_shop(images: Sequence[str], *, seed: int, most: int = 4) -> Shop:
    """Make products of pictures, one or several of a kind together.

    Parameters
    ----------
    images
        File names. Each ends in exactly one product.
    seed
        One seed and one sequence of names give one shop.
    most
        Pictures that a product has at most.
    """
    rng = random.Random(seed)
    ways = _dealt(rng, _DECK)
    markups = _dealt(rng, _MARKUPS)
    chunks = list(_chunks(rng, images, most))
    rng.shuffle(chunks)
    products = []
    for number, (noun, names) in enumerate(chunks, 1):
        found = next(ways)
        markup = Markup.NONE if found == {Way.FEED} else next(markups)
        products.append(make_product(rng, number, noun, names, markup, found))
    return Shop(tuple(products))


def make_product(
    rng: random.Random,
    number: int,
    noun: str,
    images: Sequence[str],
    markup: Markup,
    ways: frozenset[Way],
) -> Product:
    """Invent everything else about a product; `number` makes its handle unique."""
    category = NOUNS[noun]
    title = f"{rng.choice(_STYLES)} {rng.choice(_MATERIALS[category])} {noun.title()}"
    return Product(
        handle=f"{slug(title)}-{number:04d}",
        title=title,
        brand=rng.choice(_BRANDS),
        category=category,
        colour=rng.choice(_COLOURS),
        sku=f"LL-{noun[:3].upper()}-{number:04d}",
        price=rng.randrange(9, 160) * 100 + rng.choice((0, 50, 90)),
        images=tuple(map(media_path, images)),
        markup=markup,
        ways=ways,
        gallery=rng.choice(tuple(Gallery)),
        sizes=rng.choice(tuple(Sizes)),
        form=rng.choice(tuple(Form)),
        tracked=rng.random() < 0.2,
        updated=1_700_000_000 + rng.randrange(20_000_000),
    )


def _dealt(rng: random.Random, deck: Sequence[_Card]) -> Iterator[_Card]:
    """Deal a deck again and again, shuffled each time: even a small shop gets some of all."""
    while True:
        yield from rng.sample(deck, len(deck))


def _chunks(
    rng: random.Random, images: Sequence[str], most: int
) -> Iterator[tuple[str, list[str]]]:
    """Put pictures together that show the same, and those among them whose names say nothing.

    The first picture of a product is the one that people see in lists, so that a named one, where
    there is one, comes first.
    """
    groups: dict[str, list[str]] = {noun: [] for noun in NOUNS}
    others: list[str] = []
    for name in images:
        groups.get(name.partition("-")[0], others).append(name)
    chunks = [
        (noun, part) for noun, names in groups.items() for part in _cut(rng, names, min(most, 2))
    ]
    rng.shuffle(others)
    open_ = [names for _, names in chunks for _ in range(most - len(names))]
    rng.shuffle(open_)
    for name, names in zip(others, open_, strict=False):
        names.append(name)
    nouns = tuple(NOUNS)
    left = others[len(open_) :]
    yield from chunks
    yield from ((rng.choice(nouns), names) for names in _cut(rng, left, most))


def _cut(rng: random.Random, names: Sequence[str], most: int) -> Iterator[list[str]]:
    """Cut into pieces of one to `most`, in random order."""
    shuffled = rng.sample(names, len(names))
    start = 0
    while start < len(shuffled):
        end = start + rng.randint(1, most)
        yield shuffled[start:end]
        start = end
