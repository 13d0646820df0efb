"""The feed of products that every Shopify shop serves at `/products.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urljoin

from curation.errors import CurationError
from curation.ingest.web.products import Product
from curation.ingest.web.schemaorg import MAX_IMAGES, plain_text
from curation.ingest.web.urls import canonical

# The largest page that Shopify serves.
MAX_PRODUCTS: Final = 250
_COLOUR_OPTIONS: Final = frozenset({"color", "colour", "farbe", "couleur", "colore", "kleur"})


class FeedError(CurationError, ValueError):
    """A response that is no feed of products."""


def read_products(body: bytes, shop_url: str) -> tuple[Product, ...]:
    """Read one page of `/products.json`; an empty one follows the last.

    Parameters
    ----------
    shop_url : str
        The shop, or the feed's own URL: pages of products are at ``/products/<handle>`` there.

    Raises
    ------
    FeedError
        If it is no JSON, or no object with a list of ``products``.
    """
    try:
        feed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FeedError(f"the feed at {shop_url} is no JSON: {error}") from error
    entries = feed.get("products") if isinstance(feed, dict) else None
    if not isinstance(entries, list):
        raise FeedError(f"the feed at {shop_url} must be an object with a list of `products`")
    found = (_read_one(entry, shop_url) for entry in entries[:MAX_PRODUCTS])
    return tuple(product for product in found if product is not None)


def _shop(url: str) -> str:
    """Cut a URL before the feed; a shop may have one for each language (``/de/products.json``)."""
    return re.split(r"/(?:collections/[^/?#]*/)?products\.json|[?#]", url)[0].rstrip("/")


def _read_one(entry: Any, shop_url: str) -> Product | None:
    handle = entry.get("handle") if isinstance(entry, dict) else None
    if not isinstance(handle, str) or not handle:
        return None
    try:
        page = canonical(f"{_shop(shop_url)}/products/{quote(handle, safe='', errors='replace')}")
    except ValueError:
        return None
    return Product(
        page=page,
        title=plain_text(entry.get("title")),
        brand=plain_text(entry.get("vendor")),
        category=plain_text(entry.get("product_type")),
        colour=_only_colour(entry),
        sku=next((s for v in _dicts(entry, "variants") if (s := plain_text(v.get("sku")))), None),
        images=_images(entry, page),
    )


def _dicts(entry: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    values = entry.get(key)
    if isinstance(values, list):
        yield from (value for value in values if isinstance(value, dict))


def _only_colour(entry: dict[str, Any]) -> str | None:
    """Give the colour of a product that comes in one: of several, no image tells which it shows."""
    for option in _dicts(entry, "options"):
        name, values = option.get("name"), option.get("values")
        if isinstance(name, str) and name.strip().lower() in _COLOUR_OPTIONS:
            return plain_text(values[0]) if isinstance(values, list) and len(values) == 1 else None
    return None


def _images(entry: dict[str, Any], page: str) -> tuple[str, ...]:
    # The feed gives originals. They are taken by the very name they have, so that a file which its
    # owner has called shoe_1200x1200.jpg is not mistaken for a smaller size of shoe.jpg.
    found: dict[str, None] = {}
    for image in _dicts(entry, "images"):
        source = image.get("src")
        if isinstance(source, str) and len(found) < MAX_IMAGES:
            try:
                found[canonical(urljoin(page, source))] = None
            except ValueError:
                continue
    return tuple(found)
