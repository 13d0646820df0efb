"""What a crawl of the shop comes to that is polite and copes with every fault."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from curation.localshop.faults import REASONS, UNLISTED, Fault, Faults
from curation.localshop.pages import PRIVATE, SAMPLES
from curation.localshop.pictures import Pictures
from curation.localshop.plan import COLLECTIONS, PRODUCTS, Shop, media_name, slug
from data_catalog.schema import Reason


@dataclass(frozen=True, slots=True)
class Expected:
    """The outcome of a crawl, by URL.

    Attributes
    ----------
    images : mapping of str to str
        Pictures that arrive, with the SHA-256 of their bytes in hex.
    failing : mapping of str to Reason
        Pictures that are offered and never arrive.
    bad_pages : mapping of str to Fault
        Pages and sitemaps that are named and that nothing comes of.
    never : frozenset of str
        What is never asked for: robots.txt, or the page that names it, says so.
    """

    images: Mapping[str, str]
    failing: Mapping[str, Reason]
    bad_pages: Mapping[str, Fault]
    never: frozenset[str]


def expected(shop: Shop, faults: Faults, pictures: Pictures, base: str) -> Expected:
    """Work out the outcome.

    Parameters
    ----------
    shop
        All products, those with faults included.
    faults
        What goes wrong.
    pictures
        Where the bytes of all others come from.
    base
        Scheme, host and port.
    """
    planted = {one.image: one for one in faults.planted}
    images, failing = {}, dict.fromkeys(faults.outside, REASONS[Fault.TO_FILE])
    for path in (path for product in shop.products for path in product.images):
        one = planted.get(path)
        if one is not None and one.fault in REASONS:
            failing[path] = REASONS[one.fault]
        elif path not in failing:
            data = pictures.read(media_name(path)).data if one is None else one.data
            images[path] = hashlib.sha256(data).hexdigest()
    return Expected(
        images={base + path: digest for path, digest in images.items()},
        failing={base + path: reason for path, reason in failing.items()},
        bad_pages={base + path: kind for path, kind in faults.bad_pages.items()},
        never=frozenset(base + path for path in _never(shop, faults)),
    )


def _never(shop: Shop, faults: Faults) -> set[str]:
    paths = {PRIVATE, *SAMPLES}
    paths.update(f"{COLLECTIONS}{slug(name)}?sort_by=price" for name in shop.collections)
    for one in faults.planted:
        match one.fault:
            case Fault.PRIVATE | Fault.OPTED_OUT_PAGE:
                paths.add(one.image)
            case Fault.TO_PRIVATE:
                paths.add(one.aside)
            case Fault.NOFOLLOW:
                paths.add(PRODUCTS + UNLISTED)
    return paths
