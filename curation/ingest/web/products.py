"""What a page says about products: schema.org in JSON-LD and microdata, OpenGraph, its gallery."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from extruct.jsonld import JsonLdExtractor
from extruct.opengraph import OpenGraphExtractor
from extruct.w3cmicrodata import MicrodataExtractor
from lxml import etree, html
from w3lib.encoding import html_body_declared_encoding, read_bom, resolve_encoding

from curation.ingest.web.gallery import PICTURE, Shown, shown_pictures
from curation.ingest.web.schemaorg import (
    MAX_IMAGES,
    MAX_PRODUCTS,
    Claim,
    plain_text,
    read_breadcrumb,
    read_claims,
)
from curation.ingest.web.sizes import largest, size_of
from curation.ingest.web.urls import MAX_CHARS, canonical

MAX_LINKS: Final = 10_000

# Real pages have a dozen properties two deep; the extractor's time grows with both.
_MAX_PROPERTIES: Final = 3000
_MAX_NESTING: Final = 6
_MAX_REFERENCES: Final = 20
_MAX_SCRIPTS: Final = 200
_MAX_SCRIPT_CHARS: Final = 4_000_000
_MAX_HREFS: Final = 50_000

_MICRODATA_PRODUCTS: Final = etree.XPath(
    "//*[@itemscope][contains(@itemtype, 'schema.org/')]"
    "[contains(@itemtype, '/Product') or contains(@itemtype, '/IndividualProduct')"
    " or contains(@itemtype, '/SomeProducts')]"
    "[not(ancestor::*[@itemscope][contains(@itemtype, 'schema.org/Product')])]"
)
_TOO_DEEP: Final = etree.XPath(
    f"boolean(descendant::*[@itemprop][count(ancestor::*[@itemprop]) > {_MAX_NESTING}"
    f" or count(ancestor::*[@itemscope]) > {_MAX_NESTING}])"
)
_SCRIPTS: Final = etree.XPath("//script[contains(@type, 'json') or contains(@type, 'JSON')]")
_REFERRING: Final = etree.XPath("//*[@itemref]")
_PROPERTIES: Final = etree.XPath("count(descendant::*[@itemprop])")
_HREFS: Final = etree.XPath(
    "//a[@href] | //area[@href] | //link[@href][@rel='next' or @rel='prev']"
)
_NO_LINK: Final = ("#", "javascript:", "mailto:", "tel:", "data:")
_PAGE_CODECS: Final = re.compile(
    r"utf-(?:8|16(?:-[lb]e)?)|ascii|iso8859-\d+|cp\d+|koi8-[rut]|mac-(?:roman|cyrillic)|tis-620"
    r"|shift_jis\w*|euc_(?:jp|kr)\w*|iso2022_jp\w*|gb2312|gbk|gb18030|big5\w*|hz|johab"
)
# libxml2 takes quadratic time for the attributes of one element.
_TOO_MANY_ATTRIBUTES: Final = re.compile(
    rb"""<[A-Za-z][^ \t\r\n\f/>]*+
    (?>[ \t\r\n\f/]*+[^ \t\r\n\f/>][^ \t\r\n\f/>=]*+
       (?>[ \t\r\n\f]*+=[ \t\r\n\f]*+(?>"[^"]*+"|'[^']*+'|[^ \t\r\n\f>"'][^ \t\r\n\f>]*+))?
    ){2000}""",
    re.VERBOSE,
)

_JSON_LD: Final = JsonLdExtractor()
_MICRODATA: Final = MicrodataExtractor()
_OPENGRAPH: Final = OpenGraphExtractor()


@dataclass(frozen=True, slots=True)
class Product:
    """One product, or one of its variants when they have pictures of their own.

    Attributes
    ----------
    page : str
        Canonical URL of its page.
    images : tuple of str
        Canonical URLs, the largest size offered of each picture, no picture twice.
    """

    page: str
    title: str | None = None
    brand: str | None = None
    category: str | None = None
    colour: str | None = None
    sku: str | None = None
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageContent:
    """What was read off one page.

    Attributes
    ----------
    products : tuple of Product
    links : tuple of str
        Canonical URLs in the page's order, without those of pictures, and without those marked
        ``rel="nofollow"``.
    opted_out : bool
        The page asks that its pictures are not used for training.
    nofollow : bool
        The page asks that its links are not followed.
    """

    products: tuple[Product, ...] = ()
    links: tuple[str, ...] = ()
    opted_out: bool = False
    nofollow: bool = False


def read_page(body: bytes, url: str, encoding: str | None = None) -> PageContent:
    """Read products and links off a page; of one that cannot be parsed, nothing.

    Parameters
    ----------
    body : bytes
        As it came. Whatever is in it, nothing is raised because of it.
    url : str
        Where it came from.
    encoding : str, optional
        As the server names it; the page's own word is taken otherwise.

    Raises
    ------
    ValueError
        If `url` is none that `canonical` accepts.
    """
    page = canonical(url)
    root = _parse(body, encoding)
    if root is None:
        return PageContent()
    wishes = _robots_words(root)
    base = _base(root, page)
    return PageContent(
        products=tuple(_Page(root, page, base).products()),
        links=tuple(_links(root, base)),
        opted_out=bool(wishes & {"noai", "noimageai"}),
        nofollow=bool(wishes & {"nofollow", "none"}),
    )


def _parse(body: bytes, encoding: str | None) -> Any:
    data = _decoded(body, encoding).encode("utf-8", "replace")
    if _TOO_MANY_ATTRIBUTES.search(data):
        return None
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        return html.document_fromstring(data, parser=parser)
    except (etree.LxmlError, ValueError):
        return None


def _decoded(body: bytes, encoding: str | None) -> str:
    marked, mark = read_bom(body)
    for name in (marked, encoding, html_body_declared_encoding(body)):
        if name is not None and (codec := _codec(name)) is not None:
            return body[len(mark or b"") :].decode(codec, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


@lru_cache(maxsize=128)
def _codec(name: str) -> str | None:
    """Give the codec for an encoding that pages are written in; Python knows stranger ones."""
    try:
        codec = resolve_encoding(name)
    except ValueError:
        return None
    return codec if codec is not None and _PAGE_CODECS.fullmatch(codec) else None


def _robots_words(root: Any) -> set[str]:
    contents = (
        meta.get("content", "")
        for meta in root.iter("meta")
        if meta.get("name", "").strip().lower() == "robots"
    )
    parts = (part for content in contents for part in content[:1000].lower().split(","))
    # "max-image-preview: none" is no wish of this kind.
    return {word for part in parts if ":" not in part for word in part.split()}


def _base(root: Any, page: str) -> str:
    for element in root.iter("base"):
        with suppress(ValueError):
            return canonical(urljoin(page, element.get("href", "")))
    return page


def _join(base: str, address: str) -> str | None:
    """Make an address of a page canonical; None when it is no http(s) URL."""
    text = address.strip()
    if len(text) > MAX_CHARS:
        return None
    if text.startswith("/"):  # then nothing but the host of the base counts
        base = base[: base.index("/", len("https://"))]
    return _join_once(base, text)


# The pages of a site share most of their links.
@lru_cache(maxsize=4096)
def _join_once(base: str, address: str) -> str | None:
    # Templates that escape twice are common, URLs that mean "&amp;" are not.
    address = address.replace("&amp;", "&")
    try:
        return canonical(
            address if address.startswith(("https://", "http://")) else urljoin(base, address)
        )
    except ValueError:
        return None


def _links(root: Any, base: str) -> Iterator[str]:
    seen: set[str] = set()
    for element in islice(_HREFS(root), _MAX_HREFS):
        href = element.get("href").strip()
        if href.lower().startswith(_NO_LINK) or "nofollow" in element.get("rel", "").lower():
            continue
        if PICTURE.search(href):
            continue
        if (link := _join(base, href)) is not None and link not in seen:
            seen.add(link)
            yield link
            if len(seen) == MAX_LINKS:
                return


class _Page:
    """A parsed page, from which products are put together."""

    def __init__(self, root: Any, page: str, base: str) -> None:
        self._root, self._page, self._base = root, page, base
        self._own_pages = [page, *self._named_pages()]

    def _named_pages(self) -> Iterator[str]:
        for link in self._root.xpath("//link[@rel='canonical'][@href]")[:1]:
            named = _join(self._base, link.get("href"))
            if named is not None and _may_be_page_of(named, self._page):
                yield named

    def products(self) -> list[Product]:
        linked_data = list(_json_ld(self._root))
        by_trust = (
            read_claims(linked_data),
            read_claims(_microdata(self._root, self._base)),
            _opengraph(self._root),
        )
        claims, *others = [found for found in by_trust if found] or [[]]
        main = self._main(claims)
        if main is None:
            return self._listed(claims)
        about = _filled([claim for claim in claims if claim.product == main], others)
        about = _categorized(about, read_breadcrumb(linked_data))
        return self._shown([claim for claim in claims if claim.product != main], about)

    def _main(self, claims: list[Claim]) -> int | None:
        """Give the product that this page is about; None where it lists several."""
        # The last claim of each product is that of the whole.
        urls = {claim.product: claim.url and _join(self._base, claim.url) for claim in claims}
        here = [number for number, url in urls.items() if url is not None and self._is_here(url)]
        # What is listed links to its own page; what has no address is the one that is shown.
        unnamed = [number for number, url in urls.items() if url is None]
        return here[0] if here else unnamed[0] if len(unnamed) == 1 else None

    def _is_here(self, url: str) -> bool:
        path = urlsplit(url).path.rstrip("/")
        own = [urlsplit(known).path.rstrip("/") for known in self._own_pages]
        # A product is often reached by several ways: /sale/products/shoe, /products/shoe.
        return path in own or path.rpartition("/")[2] in {p.rpartition("/")[2] for p in own}

    def _assembled(self, claims: list[Claim], main: int | None) -> list[Product]:
        pictures = _Pictures(self._base, self._own_pages)
        for number, claim in enumerate(claims):
            for address in claim.images:
                pictures.add(number, address)
        if main is not None:
            whole = max(n for n, claim in enumerate(claims) if claim.product == main)
            for shown in shown_pictures(self._root):
                pictures.widen(whole, shown)
        found = [
            self._product(claim, pictures.of(number), is_main=claim.product == main)
            for number, claim in enumerate(claims)
        ]
        shows_any = any(product.images for product in found)
        return (
            [p for p in found if p.images] if shows_any else found[-1:] if main is not None else []
        )

    def _product(self, claim: Claim, images: tuple[str, ...], *, is_main: bool) -> Product:
        url = _join(self._base, claim.url) if claim.url else None
        if is_main and len(self._own_pages) > 1:
            url = self._own_pages[-1]
        elif url is None or not _may_be_page_of(url, self._page):
            url = self._page
        return Product(
            url, claim.title, claim.brand, claim.category, claim.colour, claim.sku, images
        )


def _may_be_page_of(url: str, page: str) -> bool:
    """Tell whether `page` may speak for `url`: of one site, and not its front page."""
    there, here = urlsplit(url), urlsplit(page)
    return there.netloc == here.netloc and (there.path != "/" or here.path == "/")


def _json_ld(root: Any) -> Iterator[Any]:
    left = _MAX_SCRIPT_CHARS
    for script in islice(_SCRIPTS(root), _MAX_SCRIPTS):
        kind = script.get("type").partition(";")[0].strip().lower()
        left -= len(script.text or "")
        if kind != "application/ld+json" or left < 0:
            continue
        script.set("type", kind)  # the extractor knows this very spelling alone
        # One script at a time, so that a broken one does not take the others along.
        with suppress(ValueError, RecursionError):
            yield from _JSON_LD.extract_items(script)


def _microdata(root: Any, base: str) -> list[Any]:
    products = _MICRODATA_PRODUCTS(root)
    if not products or _PROPERTIES(root) > _MAX_PROPERTIES or _TOO_DEEP(root):
        return []
    _drop_references(root)
    found = []
    for product in products[:MAX_PRODUCTS]:
        with suppress(ValueError, RecursionError):  # the extractor joins URLs, and those may be bad
            found.append(_as_json_ld(_MICRODATA.extract_items(product, base)[0]))
    return found


def _drop_references(root: Any) -> None:
    """Take out references to elements elsewhere when there are too many: each is read again."""
    elements = _REFERRING(root)
    if sum(len(element.get("itemref").split()) for element in elements) > _MAX_REFERENCES:
        for element in elements:
            del element.attrib["itemref"]


def _as_json_ld(item: Any) -> Any:
    if isinstance(item, list):
        return [_as_json_ld(part) for part in item]
    if not isinstance(item, dict):
        return item
    properties = item.get("properties")
    if not isinstance(properties, dict):
        return item.get("value")
    node = {name: _as_json_ld(value) for name, value in properties.items()}
    return {**node, "@type": item.get("type")}


def _opengraph(root: Any) -> list[Claim]:
    values: dict[str, list[str]] = {}
    for block in _OPENGRAPH.extract_items(root):
        for name, value in block["properties"]:
            values.setdefault(name, []).append(value)
    kind = (values.get("og:type") or [""])[0].strip().lower().removeprefix("og:")
    if not re.match(r"product\b", kind):
        return []

    def text(*names: str) -> str | None:
        found = (plain_text(value) for name in names for value in values.get(name, ()))
        return next((value for value in found if value), None)

    names = ("og:image:secure_url", "og:image", "og:image:url")
    images = dict.fromkeys(value for name in names for value in values.get(name, ()))
    return [
        Claim(
            url=text("og:url"),
            title=text("og:title"),
            brand=text("product:brand", "og:brand"),
            category=text("product:category"),
            colour=text("product:color"),
            sku=text("product:retailer_item_id", "product:sku"),
            images=tuple(images)[:MAX_IMAGES],
        )
    ]


def _filled(claim: Claim, others: list[list[Claim]]) -> Claim:
    """Take from the less trusted what the most trusted does not say."""
    for claims in others:
        if len({c.product for c in claims}) > 1:
            continue  # which of them is meant is not known
        other = claims[-1]
        claim = replace(
            claim,
            title=claim.title or other.title,
            brand=claim.brand or other.brand,
            category=claim.category or other.category,
            colour=claim.colour or other.colour,
            sku=claim.sku or other.sku,
            images=claim.images or other.images,
        )
    return claim


def _categorized(claim: Claim, trail: tuple[str, ...]) -> Claim:
    """Name the category after the breadcrumb trail, whose last step is often the product itself."""
    if claim.category is not None:
        return claim
    steps = trail[:-1] if trail and trail[-1] == claim.title else trail
    return replace(claim, category=plain_text(" > ".join(steps)))


class _Pictures:
    """The pictures of each product, none twice although a page offers each in several sizes."""

    def __init__(self, base: str, pages: Iterable[str]) -> None:
        self._base = base
        self._pages = {base, *pages}
        self._urls: dict[int, list[str]] = {}
        self._places: dict[str, tuple[int, int]] = {}

    def of(self, number: int) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._urls.get(number, ())))

    def add(self, number: int, address: str) -> None:
        url = self._resolved(address)
        if url is None:
            return
        key, size = size_of(url)
        place = self._places.get(key)
        if place is None:
            self._append(number, url, [key])
        elif size > size_of(self._at(place))[1]:
            self._put(place, url)

    def widen(self, number: int, shown: Shown) -> None:
        """Take what the page shows: a larger size of what is known, or one more picture."""
        addresses = (*shown.zoom, *filter(None, [shown.widest]), *shown.plain)
        urls = [url for address in addresses if (url := self._resolved(address)) is not None]
        if not urls:
            return
        keys = [size_of(url)[0] for url in urls]
        best = _largest_of(keys[0], urls)
        place = next((self._places[key] for key in keys if key in self._places), None)
        if place is None:
            if shown.in_gallery:
                self._append(number, best, keys)
            return
        known = self._at(place)
        if size_of(known)[0] == keys[0]:
            self._put(place, _largest_of(keys[0], [known, best]))
        elif shown.zoom or shown.widest:
            self._put(place, best)
        for key in keys:
            self._places.setdefault(key, place)

    def _resolved(self, address: str) -> str | None:
        url = _join(self._base, address)
        if url is None or url in self._pages:  # an empty address means the page itself
            return None
        path = urlsplit(url).path.lower()
        # Drawings are the site's own: icons, logos, size charts.
        return None if path == "/" or path.endswith(".svg") else largest(url)

    def _at(self, place: tuple[int, int]) -> str:
        return self._urls[place[0]][place[1]]

    def _put(self, place: tuple[int, int], url: str) -> None:
        self._urls[place[0]][place[1]] = url

    def _append(self, number: int, url: str, keys: Iterable[str]) -> None:
        urls = self._urls.setdefault(number, [])
        if len(urls) < MAX_IMAGES:
            urls.append(url)
            for key in keys:
                self._places.setdefault(key, (number, len(urls) - 1))


def _largest_of(key: str, urls: Iterable[str]) -> str:
    """Give the largest of those that show the picture `key`; the first of equals."""
    sized = [(size, url) for url in urls for k, size in [size_of(url)] if k == key]
    return max(sized, key=lambda pair: pair[0])[1]
