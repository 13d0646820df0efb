"""What a page says about products: schema.org in JSON-LD and microdata, OpenGraph, its gallery."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
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
    named : tuple of (str, str)
        Of those whose size was changed by what is known of their server: the URL in `images`, and
        the one that the page names. The server may have the size alone that is named.
    """

    page: str
    title: str | None = None
    brand: str | None = None
    category: str | None = None
    colour: str | None = None
    sku: str | None = None
    images: tuple[str, ...] = ()
    named: tuple[tuple[str, str], ...] = ()


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
        claims, *less_trusted = [found for found in by_trust if found] or [[]]
        main = self._main(claims)
        about = [claim for claim in claims if claim.product == main]
        about = _categorized(_filled(about, less_trusted), read_breadcrumb(linked_data))
        return self._assembled(about, [claim for claim in claims if claim.product != main])

    def _main(self, claims: list[Claim]) -> int | None:
        """Give the product that this page is about; None where it lists several."""
        wholes = {claim.product: claim for claim in claims}  # the last of each is the whole
        urls = {n: claim.url and _join(self._base, claim.url) for n, claim in wholes.items()}
        for same_part in (str, _path_of):
            for number, url in urls.items():
                if url and any(_is_same(url, own, same_part) for own in self._own_pages):
                    return number
        # A product is often reached by several ways: /sale/products/shoe, /products/shoe.
        alike = [n for n, url in urls.items() if url and _is_same(url, self._page, _name_of)]
        # What is listed links to its own page; what has no address is the one that is shown, even
        # if two plugins of the shop describe it.
        unnamed = {wholes[n].title: n for n, url in reversed(urls.items()) if url is None}
        found = alike or list(unnamed.values())
        return found[0] if len(found) == 1 else None

    def _assembled(self, about: list[Claim], others: list[Claim]) -> list[Product]:
        claims = [*about, *others]
        whole = len(about) - 1
        pictures = _Pictures(self._base, self._own_pages)
        for number, claim in enumerate(claims):
            for address in claim.images:
                pictures.add(number, address)
        if about:
            for shown in shown_pictures(self._root):
                pictures.widen(whole, shown)
        pages = [self._own_pages[-1]] * len(about) + [self._page_of(claim) for claim in others]
        found = [
            Product(
                page,
                c.title,
                c.brand,
                c.category,
                c.colour,
                c.sku,
                pictures.of(number),
                pictures.named(number),
            )
            for number, (page, c) in enumerate(zip(pages, claims, strict=True))
        ]
        shows_any = any(product.images for product in found[: whole + 1])
        return [p for n, p in enumerate(found) if p.images or (n == whole and not shows_any)]

    def _page_of(self, claim: Claim) -> str:
        url = _join(self._base, claim.url) if claim.url else None
        return url if url is not None and _may_be_page_of(url, self._page) else self._page


def _is_same(one: str, other: str, part: Callable[[str], str]) -> bool:
    """Tell whether two URLs agree in a part; parameters that one alone has do not count."""
    queries = {query for url in (one, other) if (query := urlsplit(url).query)}
    return part(one) == part(other) and len(queries) <= 1


def _path_of(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def _name_of(url: str) -> str:
    return _path_of(url).rpartition("/")[2]


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


def _filled(about: list[Claim], less_trusted: list[list[Claim]]) -> list[Claim]:
    """Take from the less trusted what the most trusted does not say."""
    # Where there are several products, which of them is meant is not known.
    others = [claims[-1] for claims in less_trusted if len({c.product for c in claims}) == 1]
    for other in others:
        about = [
            replace(
                claim,
                title=claim.title or other.title,
                brand=claim.brand or other.brand,
                category=claim.category or other.category,
                # Of several variants, which one has the colour is not known either.
                colour=claim.colour or (other.colour if len(about) == 1 else None),
                sku=claim.sku or other.sku,
                images=claim.images or other.images,
            )
            for claim in about
        ]
    return about


def _categorized(about: list[Claim], trail: tuple[str, ...]) -> list[Claim]:
    """Name the category after the breadcrumb trail, whose last step is often the product itself."""
    return [
        replace(c, category=c.category or plain_text(" > ".join(t for t in trail if t != c.title)))
        for c in about
    ]


def _is_drawing(url: str) -> bool:
    """Tell drawings apart: beside a product they are the site's own icons, logos, size charts."""
    return urlsplit(url).path.lower().endswith(".svg")


class _Pictures:
    """The pictures of each product, none twice although a page offers each in several sizes."""

    def __init__(self, base: str, pages: Iterable[str]) -> None:
        self._base = base
        self._pages = {base, *pages}
        self._urls: dict[int, list[str]] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._named: dict[str, str] = {}

    def named(self, number: int) -> tuple[tuple[str, str], ...]:
        pairs = ((url, self._named.get(url, url)) for url in self.of(number))
        return tuple((url, named) for url, named in pairs if url != named)

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
        resolved = (self._resolved(address) for address in addresses)
        urls = [url for url in resolved if url is not None and not _is_drawing(url)]
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
        if urlsplit(url).path == "/":
            return None
        best = largest(url)
        self._named.setdefault(best, url)
        return best

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
