"""What goes wrong in the shop, on purpose and the same way for the same seed."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

import numpy as np

from curation.localshop.pages import PRIVATE
from curation.localshop.plan import (
    MEDIA,
    NOUNS,
    PRODUCTS,
    Form,
    Markup,
    Product,
    Way,
    make_product,
    media_path,
)
from curation.synthetic.drawing import draw_product, encode
from data_catalog.schema import Reason


class Fault(StrEnum):
    """One kind of thing that goes wrong. Each has a product of its own, with one picture."""

    # The picture arrives all the same.
    BUSY = "busy"  # 429 with Retry-After: 1 until that second is over
    HEALS = "heals"  # 500 twice
    SLOW = "slow"  # in small pieces, half a second in all
    MOVED = "moved"  # its address redirects to where it is
    MISTYPED = "mistyped"  # served as text/html
    WEB_PAGE = "web_page"  # a web page served as image/jpeg: what is fetched is no picture
    PAGE_MOVED = "page_moved"  # the page redirects, for good, to where it is
    PAGE_HEALS = "page_heals"  # the page gives 500 twice
    BAD_MARKUP = "bad_markup"  # the page has JSON-LD that breaks off, and sound microdata
    NOFOLLOW = "nofollow"  # the page asks that its links be left alone; one leads nowhere else

    # The picture never arrives.
    MISSING = "missing"  # 404
    BROKEN = "broken"  # 500 for ever
    TRUNCATED = "truncated"  # shorter than Content-Length says
    RESET = "reset"  # the connection is reset half-way
    ENDLESS = "endless"  # a body of up to 1 GB
    STALLED = "stalled"  # a byte a second, for a minute
    BOMB = "bomb"  # 1 MB of gzip that unpacks to 1 GB
    HEADERS = "headers"  # 400 kB of headers
    LOOP = "loop"  # two addresses that redirect to each other
    TO_FILE = "to_file"  # redirects to file:///etc/passwd
    TO_METADATA = "to_metadata"  # redirects to the address where clouds keep credentials
    TO_PRIVATE = "to_private"  # redirects to what robots.txt forbids
    PRIVATE = "private"  # robots.txt forbids it
    OPTED_OUT = "opted_out"  # X-Robots-Tag: noimageai
    OPTED_OUT_PAGE = "opted_out_page"  # the page says <meta name="robots" content="noai">

    # No product: the sitemaps name them.
    PAGE_MISSING = "page_missing"  # a page that gives 404
    SITEMAP_ENTITIES = "sitemap_entities"  # XML with an entity that stands for a local file
    SITEMAP_BOMB = "sitemap_bomb"  # as BOMB


# A stalled body costs a crawl all of its timeout, so it is there only where it is asked for.
USUAL: Final = frozenset(Fault) - {Fault.STALLED}

# What the catalog should say of pictures that never arrive.
REASONS: Final[Mapping[Fault, Reason]] = {
    Fault.MISSING: Reason.NOT_FOUND,
    Fault.WEB_PAGE: Reason.NOT_AN_IMAGE,
    Fault.BROKEN: Reason.SERVER_ERROR,
    Fault.TRUNCATED: Reason.CUT_SHORT,
    Fault.RESET: Reason.CONNECTION_FAILED,
    Fault.ENDLESS: Reason.FILE_TOO_LARGE,
    Fault.STALLED: Reason.FETCH_TIMED_OUT,
    Fault.BOMB: Reason.FILE_TOO_LARGE,
    Fault.HEADERS: Reason.HTTP_ERROR,
    Fault.LOOP: Reason.REDIRECT_REFUSED,
    Fault.TO_FILE: Reason.REDIRECT_REFUSED,
    Fault.TO_METADATA: Reason.ADDRESS_REFUSED,
    Fault.TO_PRIVATE: Reason.ROBOTS_DENIED,
    Fault.PRIVATE: Reason.ROBOTS_DENIED,
    Fault.OPTED_OUT: Reason.OPTED_OUT,
    Fault.OPTED_OUT_PAGE: Reason.OPTED_OUT,
}

BAD_PAGES: Final[Mapping[Fault, str]] = {
    Fault.PAGE_MISSING: f"{PRODUCTS}discontinued",
    Fault.SITEMAP_ENTITIES: "/sitemaps/entities.xml",
    Fault.SITEMAP_BOMB: "/sitemaps/bomb.xml.gz",
}
UNLISTED: Final = "unlisted"  # handle of what only the NOFOLLOW page links to
LOCAL_FILE: Final = "file:///etc/passwd"
METADATA: Final = "http://169.254.169.254/latest/meta-data/"

_SIZE: Final = (720, 576)  # height, width of pictures that are drawn for faults


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault and the product that has it; `noun` is what its picture shows."""

    fault: Fault
    product: Product
    noun: str

    @property
    def image(self) -> str:
        """Path of the picture as the product's page gives it."""
        return self.product.images[0]

    @property
    def aside(self) -> str:
        """Path that the picture's address redirects to, or back from."""
        folder = PRIVATE if self.fault is Fault.TO_PRIVATE else MEDIA
        return f"{folder}aside-{self.image.rpartition('/')[2]}"

    @property
    def data(self) -> bytes:
        """The bytes that a crawl gets which copes with the fault."""
        if self.fault is Fault.WEB_PAGE:
            return b"<!DOCTYPE html><title>Oops</title><p>This picture is on its lunch break.</p>"
        return _draw(self.image, self.noun)


@dataclass(frozen=True, slots=True)
class Faults:
    """All that goes wrong in one shop.

    Attributes
    ----------
    kinds : frozenset of Fault
    planted : tuple of Planted
        Those that products have.
    outside : tuple of str
        Paths of pictures that are links out of the folder of pictures: they redirect out of the
        web in the same way.
    """

    kinds: frozenset[Fault] = frozenset()
    planted: tuple[Planted, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def bad_pages(self) -> dict[str, Fault]:
        """Paths that sitemaps name and that no crawl gets anything from."""
        return {path: kind for kind, path in BAD_PAGES.items() if kind in self.kinds}


def plan_faults(
    kinds: Collection[Fault],
    *,
    seed: int,
    names: Collection[str] = (),
    outside: Collection[str] = (),
    after: int = 0,
) -> Faults:
    """Make a product for each kind of fault that needs one.

    Parameters
    ----------
    kinds
        Which faults.
    seed
        Decides on everything else about the products.
    names
        File names of pictures that are not to be hidden.
    outside
        File names of links out of the folder.
    after
        Number of the last product that there is already.
    """
    rng = random.Random(f"faults {seed}")
    planted, taken = [], frozenset(names)
    for number, kind in enumerate((k for k in Fault if k not in BAD_PAGES), after + 1):
        # Those left out are made, too: the others are to be the same with and without them.
        noun = rng.choice(tuple(NOUNS))
        product = _product(rng, kind, number, noun, taken)
        if kind in kinds:
            planted.append(Planted(kind, product, noun))
    return Faults(frozenset(kinds), tuple(planted), tuple(map(media_path, outside)))


def _product(
    rng: random.Random, kind: Fault, number: int, noun: str, taken: frozenset[str]
) -> Product:
    name = f"odd-{kind}.jpg"
    while taken & {name, f"aside-{name}"}:
        name = f"odd-{name}"
    markup = Markup.MICRODATA if kind is Fault.BAD_MARKUP else Markup.JSON_LD
    # A sitemap may name the pictures of a page, and so go past what the page asks for.
    on_page_alone = kind in (Fault.OPTED_OUT_PAGE, Fault.NOFOLLOW)
    ways = frozenset({Way.LINKS}) if on_page_alone else frozenset({Way.LINKS, Way.SITEMAP})
    product = replace(
        make_product(rng, number, noun, [name], markup, ways), form=Form.PLAIN, tracked=False
    )
    match kind:
        case Fault.PRIVATE:
            return replace(product, images=(PRIVATE + name,))
        case Fault.OPTED_OUT_PAGE:
            return replace(product, robots="noai")
        case Fault.NOFOLLOW:
            return replace(product, robots="nofollow", links=(PRODUCTS + UNLISTED,))
    return product


@lru_cache(maxsize=64)
def _draw(path: str, noun: str) -> bytes:
    """Draw a picture; its path decides on what it looks like."""
    rng = np.random.default_rng(list(path.encode()))
    return encode(draw_product(rng, noun, size=_SIZE, fill=0.75), ".jpg")
