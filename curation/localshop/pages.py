"""The shop's pages, sitemaps and feed, as text. Nothing is read or served here."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from math import ceil
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from curation.localshop.plan import (
    COLLECTIONS,
    NAME,
    Form,
    Product,
    Shop,
    Sizes,
    Way,
    slug,
)

PRIVATE: Final = "/private/"
SAMPLES: Final = tuple(f"{PRIVATE}sample-{i}.png" for i in range(3))
STYLESHEET: Final = "/assets/shop.css"
PER_PAGE: Final = 24
FEED_LIMIT: Final = 250  # products on a page of the feed, at most
_PER_SITEMAP: Final = 5000
_SHELF: Final = 5  # products of a category on the front page
_BESIDE: Final = 5  # others that a product's page links to
_WIDTHS: Final = (300, 480, 720, 1080)
_CURRENCY: Final = "EUR"

ROBOTS: Final = f"""\
# We are glad to be found. Staff pages, searches and sorted lists are of no use to anyone else.
User-agent: *
Disallow: {PRIVATE}
Disallow: /search
Disallow: {COLLECTIONS}*sort_by*

"""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("curation.localshop"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["price"] = lambda cents: f"{cents / 100:.2f}"
    environment.globals.update(
        shop_name=NAME,
        currency=_CURRENCY,
        stylesheet=STYLESHEET,
        private=PRIVATE,
    )
    return environment


def stylesheet() -> str:
    """Give the style sheet of all pages."""
    return _environment().get_template("shop.css").render()


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture as it stands on a page.

    Attributes
    ----------
    full : str
        Path of the file itself.
    zoom : str
        The same, as links to it are written.
    small, medium : str
        Smaller versions; the file itself where it has none.
    srcset : str
        All versions with their widths; empty where there is only one.
    """

    full: str
    zoom: str
    small: str
    medium: str
    srcset: str


def sized(path: str, width: int, sizes: Sizes) -> str:
    """Give the path of a picture's version of that width."""
    if sizes is Sizes.QUERY:
        return f"{path}?width={width}"
    stem, dot, suffix = path.rpartition(".")
    return f"{stem}_{width}x{dot}{suffix}"


@dataclass(frozen=True, slots=True)
class Pages:
    """Renders the pages of one shop.

    Parameters
    ----------
    shop
        What is for sale.
    base
        Scheme, host and port, without a slash at the end.
    width_of
        Gives the width of the picture at a path, or None where it comes in one size only.
    extra_sitemaps, extra_pages
        Further paths that the sitemap index, and the last sitemap, name.
    """

    shop: Shop
    base: str
    width_of: Callable[[str], int | None]
    extra_sitemaps: tuple[str, ...] = ()
    extra_pages: tuple[str, ...] = ()

    def _render(self, template: str, **values: object) -> str:
        shelves = [(name, COLLECTIONS + slug(name)) for name in self.shop.collections]
        return _environment().get_template(template).render(values, collections=shelves)

    # ------------------------------------------------------------------------------------ pages

    def home(self) -> str:
        """Render the front page: every category, and some of what is in it."""
        shelves = [
            (name, COLLECTIONS + slug(name), [self._card(p) for p in products[:_SHELF]])
            for name, products in self.shop.collections.items()
        ]
        return self._render("home.html.j2", shelves=shelves)

    def collection(self, name: str, number: int, sort_by: str = "") -> str | None:
        """Render one page of a category, counted from 1; None when there is no such page."""
        products = self.shop.collections.get(name, ())
        pages = ceil(len(products) / PER_PAGE)
        if not 1 <= number <= pages:
            return None
        if sort_by:
            products = tuple(sorted(products, key=lambda p: p.price))
        path = COLLECTIONS + slug(name)
        kept = {"sort_by": sort_by} if sort_by else {}
        start = (number - 1) * PER_PAGE
        return self._render(
            "collection.html.j2",
            name=name,
            path=path,
            count=len(products),
            list=[self._card(p) for p in products[start : start + PER_PAGE]],
            number=number,
            pages=[(i, f"{path}?{urlencode({'page': i, **kept})}") for i in range(1, pages + 1)],
            sorted_by=sort_by,
        )

    def search(self, words: str) -> str:
        """Render what a search for words in titles finds."""
        wanted = words.lower().split()
        found = [
            p
            for p in self.shop.found_by[Way.LINKS]
            if wanted and all(word in p.title.lower() for word in wanted)
        ]
        cards = [self._card(p) for p in found[:PER_PAGE]]
        return self._render("search.html.j2", words=words, list=cards, count=len(found))

    def product(self, product: Product) -> str:
        """Render a product's page."""
        shots = [self._shot(path, product) for path in product.images]
        return self._render(
            "product.html.j2",
            product=product,
            shots=shots,
            json_ld=self._json_ld(product, shots),
            beside=[self._card(p) for p in self.shop.beside(product, _BESIDE)],
            base=self.base,
        )

    def about(self) -> str:
        """Render the page about the shop."""
        return self._render("about.html.j2")

    def private(self) -> str:
        """Render the page that robots are asked to stay away from."""
        return self._render("private.html.j2", samples=SAMPLES)

    def missing(self, path: str) -> str:
        """Render the page that says that there is none."""
        return self._render("missing.html.j2", path=path)

    def _card(self, product: Product) -> Mapping[str, object]:
        return {"product": product, "shot": self._shot(product.images[0], product)}

    def _shot(self, path: str, product: Product) -> Shot:
        campaign = "?utm_source=newsletter&fbclid=IwAR3xK9" if product.tracked else ""
        width = self.width_of(path)
        smaller = [w for w in _WIDTHS if width is not None and w < width]
        if not smaller:
            return Shot(path, path + campaign, path, path, "")
        versions = [(sized(path, w, product.sizes), w) for w in smaller]
        medium = next((v for v, w in reversed(versions) if w <= 720), versions[0][0])
        srcset = ", ".join(f"{v} {w}w" for v, w in [*versions, (path, width)])
        small = versions[min(1, len(versions) - 1)][0]
        return Shot(path, path + campaign, small, medium, srcset)

    # ------------------------------------------------------------------------------------- data

    def _json_ld(self, product: Product, shots: Sequence[Shot]) -> dict[str, Any]:
        """Describe a product by schema.org, in one of the shapes that shops use."""
        full = [self.base + shot.full for shot in shots]
        about: dict[str, Any] = {
            "@type": "Product",
            "name": product.title,
            "sku": product.sku,
            "brand": {"@type": "Brand", "name": product.brand},
            "category": product.category,
            "color": product.colour,
            "url": self.base + product.path,
            "image": full,
            "offers": {
                "@type": "Offer",
                "price": f"{product.price / 100:.2f}",
                "priceCurrency": _CURRENCY,
                "availability": "https://schema.org/InStock",
            },
        }
        context = {"@context": "https://schema.org"}
        match product.form:
            case Form.PLAIN:
                return {**context, **about}
            case Form.OBJECTS:
                pictures = [{"@type": "ImageObject", "contentUrl": url} for url in full]
                return {**context, **about, "image": pictures}
            case Form.GRAPH:
                # One small picture only: the others are to be found in the page.
                crumbs = {
                    "@type": "BreadcrumbList",
                    "itemListElement": [
                        {"@type": "ListItem", "position": 1, "name": product.category}
                    ],
                }
                return {**context, "@graph": [crumbs, {**about, "image": shots[0].medium}]}
            case Form.GROUP:
                shared = {k: v for k, v in about.items() if k not in ("color", "image", "sku")}
                variants = [
                    {**about, "image": url, "sku": f"{product.sku}-{i}"}
                    for i, url in enumerate(full, 1)
                ]
                group = {**shared, "@type": "ProductGroup", "productGroupID": product.sku}
                return {**context, **group, "hasVariant": variants}

    def feed(self, page: int, limit: int) -> str:
        """Give one page of the feed, in the manner of Shopify; past the end it holds nothing."""
        limit = min(max(limit, 1), FEED_LIMIT)
        start = (max(page, 1) - 1) * limit
        products = self.shop.found_by[Way.FEED][start : start + limit]
        entries = [self._feed_entry(start + i, p) for i, p in enumerate(products)]
        return json.dumps({"products": entries}, ensure_ascii=False)

    def _feed_entry(self, number: int, product: Product) -> dict[str, Any]:
        when = _iso(product.updated)
        variant = {
            "id": 7_000_000 + number,
            "title": product.colour,
            "option1": product.colour,
            "sku": product.sku,
            "price": f"{product.price / 100:.2f}",
            "available": True,
        }
        images = [
            {"id": 9_000_000 + 10 * number + i, "position": i, "src": self.base + path}
            for i, path in enumerate(product.images, 1)
        ]
        return {
            "id": 5_000_000 + number,
            "title": product.title,
            "handle": product.handle,
            "body_html": f"<p>{product.title}, made by {product.brand}.</p>",
            "published_at": when,
            "updated_at": when,
            "vendor": product.brand,
            "product_type": product.category,
            "tags": [product.category, product.colour],
            "variants": [variant],
            "images": images,
            "options": [{"name": "Colour", "position": 1, "values": [product.colour]}],
        }

    # -------------------------------------------------------------------------------- for robots

    def robots(self) -> str:
        """Give robots.txt."""
        return f"{ROBOTS}Sitemap: {self.base}/sitemap.xml\n"

    def sitemap_paths(self) -> tuple[str, ...]:
        """Give the paths of the files that list products: in turn packed and plain."""
        count = max(2, ceil(len(self.shop.found_by[Way.SITEMAP]) / _PER_SITEMAP))
        return tuple(
            f"/sitemaps/products-{i}.xml{'.gz' if i % 2 else ''}" for i in range(1, count + 1)
        )

    def sitemap_index(self) -> str:
        """Give the list of sitemaps."""
        files = [self.base + path for path in (*self.sitemap_paths(), *self.extra_sitemaps)]
        return self._render("sitemap_index.xml.j2", files=files)

    def sitemap(self, path: str) -> bytes:
        """Give one of `sitemap_paths`: its share of the products; the last lists pages, too."""
        paths = self.sitemap_paths()
        which = paths.index(path)
        products = self.shop.found_by[Way.SITEMAP][which :: len(paths)]
        entries = [
            (self.base + p.path, _iso(p.updated), [self.base + image for image in p.images])
            for p in products
        ]
        if which == len(paths) - 1:
            lists = [COLLECTIONS + slug(name) for name in self.shop.collections]
            others = ["/pages/about", PRIVATE, *lists, *self.extra_pages]
            entries.extend((self.base + other, "", []) for other in others)
        packed = path.endswith(".gz")
        # Pictures are named in the packed ones only, so that both kinds are there to be read.
        text = self._render("sitemap.xml.j2", entries=entries, with_images=packed).encode()
        return gzip.compress(text, 6, mtime=0) if packed else text


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def is_forbidden(target: str) -> bool:
    """Tell whether robots.txt asks robots to stay away from a path with its query."""
    sorted_list = target.startswith(COLLECTIONS) and "sort_by" in target
    return target.startswith((PRIVATE, "/search")) or sorted_list
