"""Products in the vocabulary of schema.org, as plain dicts and lists: JSON-LD, or like it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, TypeAlias

MAX_TEXT: Final = 500
MAX_PRODUCTS: Final = 500
MAX_IMAGES: Final = 200
_MAX_NODES: Final = 20_000
_MAX_DEPTH: Final = 6

_PRODUCT: Final = frozenset(
    {
        "Product",
        "ProductGroup",
        "ProductModel",
        "IndividualProduct",
        "SomeProducts",
        "Vehicle",
        "Car",
        "Motorcycle",
    }
)
# Where products are found within what is none. What is shown beside a product (similar ones,
# accessories) has a page of its own.
_LEADS_TO_PRODUCTS: Final = (
    "@graph",
    "mainEntity",
    "mainEntityOfPage",
    "about",
    "itemListElement",
    "item",
    "itemOffered",
    "hasOfferCatalog",
    "makesOffer",
)
# Controls, marks that turn the text around them, and halves of surrogate pairs.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

Node: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a page says of one product, or of one variant of it; addresses as they are written.

    Attributes
    ----------
    product : int
        Claims of equal `product` are the variants of one.
    """

    product: int = 0
    url: str | None = None
    title: str | None = None
    brand: str | None = None
    category: str | None = None
    colour: str | None = None
    sku: str | None = None
    images: tuple[str, ...] = ()


def plain_text(value: object) -> str | None:
    """Make any scalar a line of at most 500 printable characters; None when nothing is left."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        text = str(value)
    except ValueError:  # an integer of more digits than Python is willing to write
        return None
    # Escapes are longer than what they stand for: cut generously first, exactly at the end.
    text = _UNPRINTABLE.sub(" ", html.unescape(text[: 8 * MAX_TEXT]))
    return " ".join(text.split())[:MAX_TEXT].rstrip() or None


def read_claims(items: Iterable[Any]) -> list[Claim]:
    """Read all products, each variant that has pictures of its own first, then the rest of it."""
    nodes = _Nodes(items)
    claims: list[Claim] = []
    for number, node in enumerate(nodes.products()):
        claims += _claims_of(node, nodes, number)
        if len(claims) >= MAX_PRODUCTS:
            break
    return claims[:MAX_PRODUCTS]


def read_breadcrumb(items: Iterable[Any]) -> tuple[str, ...]:
    """Give the names along the first breadcrumb trail, outermost first."""
    for node in _Nodes(items).walk():
        if "BreadcrumbList" in _types(node):
            steps = _listed(node.get("itemListElement"))
            names = (_text(s.get("name") or s.get("item")) for s in steps if isinstance(s, dict))
            return tuple(name for name in islice(names, 20) if name)
    return ()


def _types(node: Node) -> set[str]:
    return {
        re.split(r"[/:#]", kind.strip())[-1]
        for kind in _listed(node.get("@type"))[:10]
        if isinstance(kind, str)
    }


def _listed(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


class _Nodes:
    """The parsed blocks of a page, where one may point into another by ``@id``."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = list(items)
        self._by_id: dict[str, Node] = {}
        self._variants: dict[str, list[Node]] = {}
        for node in self.walk():
            name = node.get("@id")
            if isinstance(name, str) and len(node) > 1:
                self._by_id.setdefault(name, node)
            whole = node.get("isVariantOf")
            if isinstance(whole, dict) and isinstance(whole.get("@id"), str):
                self._variants.setdefault(whole["@id"], []).append(node)

    def walk(self) -> Iterator[Node]:
        """Go through the nodes that may be or lead to products, in the page's order."""
        stack = list(reversed(self._items))
        for _ in range(_MAX_NODES):
            if not stack:
                return
            value = stack.pop()
            if isinstance(value, list):
                stack.extend(reversed(value))
            elif isinstance(value, dict):
                yield value
                if not _types(value) & _PRODUCT:
                    found = (value[key] for key in _LEADS_TO_PRODUCTS if key in value)
                    stack.extend(reversed(list(found)))

    def products(self) -> Iterator[Node]:
        for node in self.walk():
            if _types(node) & _PRODUCT and not self._is_variant(node):
                yield node

    def _is_variant(self, node: Node) -> bool:
        whole = node.get("isVariantOf")
        return isinstance(whole, dict) and whole.get("@id") in self._by_id

    def resolve(self, value: Any) -> Any:
        if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("@id"), str):
            return self._by_id.get(value["@id"], value)
        return value

    def variants(self, node: Node) -> list[Node]:
        found = [self.resolve(v) for v in _listed(node.get("hasVariant"))[:MAX_PRODUCTS]]
        if isinstance(node.get("@id"), str):
            found += self._variants.get(node["@id"], [])
        found += [self.resolve(offer.get("itemOffered")) for offer in self.offers(node)]
        return [v for v in found if isinstance(v, dict) and v is not node]

    def offers(self, node: Node) -> list[Node]:
        """Give all offers of a product, those within an AggregateOffer too."""
        found: dict[int, Node] = {}
        stack = list(reversed(_listed(node.get("offers"))[:MAX_PRODUCTS]))
        while stack and len(found) < MAX_PRODUCTS:
            offer = self.resolve(stack.pop())
            if isinstance(offer, dict) and id(offer) not in found:
                found[id(offer)] = offer
                stack.extend(reversed(_listed(offer.get("offers"))[:MAX_PRODUCTS]))
        return list(found.values())


def _claims_of(node: Node, nodes: _Nodes, number: int) -> list[Claim]:
    whole = _claim(node, nodes, number)
    by_images: dict[tuple[str, ...], Claim] = {}
    for variant in nodes.variants(node):
        claim = _claim(variant, nodes, number)
        if not claim.images:
            continue
        known = by_images.get(claim.images)
        if known is None:
            by_images[claim.images] = replace(
                claim,
                # A variant's own page and title differ by its size ("… / 42") as a rule.
                url=whole.url,
                title=whole.title or claim.title,
                brand=claim.brand or whole.brand,
                category=claim.category or whole.category,
                colour=claim.colour or whole.colour,
                sku=claim.sku or whole.sku,
            )
        elif known.colour != claim.colour:  # one picture of both colours
            by_images[claim.images] = replace(known, colour=None)
    return [*by_images.values(), whole]


def _claim(node: Node, nodes: _Nodes, number: int) -> Claim:
    offers = nodes.offers(node)
    return Claim(
        product=number,
        url=_address(node, offers),
        title=_text(node.get("name")),
        brand=_text(nodes.resolve(node.get("brand")) or nodes.resolve(node.get("manufacturer"))),
        category=_text(node.get("category")),
        colour=_text(node.get("color")),
        sku=_sku(node, offers),
        images=tuple(dict.fromkeys(islice(_images(node.get("image"), nodes), MAX_IMAGES))),
    )


def _address(node: Node, offers: list[Node]) -> str | None:
    # Of several offers, each has the address of one variant.
    offered = offers[0].get("url") if len(offers) == 1 else None
    for value in (node.get("url"), offered, node.get("@id")):
        if isinstance(value, str) and not value.startswith(("#", "_:")):
            return value
    return None


def _sku(node: Node, offers: list[Node]) -> str | None:
    names = ("sku", "productGroupID", "productID", "mpn")
    values = (*(node.get(name) for name in names), *(offer.get("sku") for offer in offers[:1]))
    return next((text for value in values if (text := _text(value))), None)


def _text(value: Any, depth: int = 0) -> str | None:
    """Give the first text of a value; of an object, its name."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return _text(value.get("name") or value.get("@value"), depth + 1)
    if isinstance(value, list):
        found = (_text(part, depth + 1) for part in value[:10])
        return next((text for text in found if text), None)
    return plain_text(value)


def _images(value: Any, nodes: _Nodes, depth: int = 0) -> Iterator[str]:
    """Give the addresses in what may be one, an ImageObject, or a list of either."""
    if depth > _MAX_DEPTH:
        return
    value = nodes.resolve(value)
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value[:MAX_IMAGES]:
            yield from _images(part, nodes, depth + 1)
    elif isinstance(value, dict):
        names = ("contentUrl", "url", "image", "@id", "thumbnailUrl")
        found = next((value[name] for name in names if value.get(name)), None)
        if found is not value:
            yield from _images(found, nodes, depth + 1)
