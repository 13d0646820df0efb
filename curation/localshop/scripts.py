"""How the addresses answer that have to do with a fault."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from time import monotonic
from typing import Any, Final, TypeAlias

from curation.localshop.faults import (
    LOCAL_FILE,
    METADATA,
    UNLISTED,
    Fault,
    Faults,
    Planted,
)
from curation.localshop.plan import Product
from curation.localshop.replies import HTML, Answer, Delivery, Reply, error, page, redirect

# Answers one request; it may answer the next to the same address in another way.
Script: TypeAlias = Callable[[], Answer]
Render: TypeAlias = Callable[[Product], str]

_ENTITIES: Final = f"""\
<?xml version="1.0"?>
<!DOCTYPE urlset [<!ENTITY file SYSTEM "{LOCAL_FILE}">]>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>&file;</loc></url></urlset>
"""


class InTurn:
    """Gives one answer after the other; the last one stays."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def __call__(self) -> Answer:
        """Give the next answer."""
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class AfterWait:
    """Asks the first who comes to wait, and everyone else until that time is over."""

    def __init__(self, seconds: int, answer: Answer) -> None:
        self._seconds, self._answer = seconds, answer
        self._until: float | None = None

    def __call__(self) -> Answer:
        """Give the answer, or 429 with Retry-After."""
        now = monotonic()
        if self._until is None:
            self._until = now + self._seconds
        if now < self._until:
            return error(429, Retry_After=str(self._seconds))
        return self._answer


def scripts(faults: Faults, render: Render) -> dict[str, Script]:
    """Give the script of each address that does not answer as others do.

    Parameters
    ----------
    faults
        What goes wrong.
    render
        Gives the page of a product.
    """
    found: dict[str, Script] = {}
    for path in faults.outside:
        found[path] = InTurn(redirect(LOCAL_FILE))
    for path, kind in faults.bad_pages.items():
        found[path] = InTurn(_bad_page(kind))
    for planted in faults.planted:
        found.update(_picture_scripts(planted))
        found.update(_page_scripts(planted, render))
    return found


def _bad_page(kind: Fault) -> Answer:
    match kind:
        case Fault.SITEMAP_ENTITIES:
            return Reply(_ENTITIES.encode(), "application/xml")
        case Fault.SITEMAP_BOMB:
            return lambda: Reply(_bomb(), "application/gzip")
        case _:
            return error(404)


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    """Pack a gigabyte of zeros: a member of 16 MB, again and again."""
    return gzip.compress(bytes(1 << 24), 9, mtime=0) * 64


_DELIVERIES: Final = {
    Fault.SLOW: Delivery.SLOW,
    Fault.STALLED: Delivery.STALLED,
    Fault.TRUNCATED: Delivery.TRUNCATED,
    Fault.RESET: Delivery.RESET,
    Fault.ENDLESS: Delivery.ENDLESS,
}


def _picture_scripts(planted: Planted) -> dict[str, Script]:
    at, aside, whole = planted.image, planted.aside, _drawn(planted)
    match planted.fault:
        case Fault.BUSY:
            return {at: AfterWait(1, whole)}
        case Fault.HEALS:
            return {at: InTurn(error(500), error(500), whole)}
        case Fault.MOVED | Fault.TO_PRIVATE:
            return {at: InTurn(redirect(aside)), aside: InTurn(whole)}
        case Fault.LOOP:
            return {at: InTurn(redirect(aside)), aside: InTurn(redirect(at))}
        case _:
            return {at: InTurn(_picture(planted))}


def _picture(planted: Planted) -> Answer:
    match planted.fault:
        case Fault.MISSING:
            return error(404)
        case Fault.BROKEN:
            return error(500)
        case Fault.TO_FILE:
            return redirect(LOCAL_FILE)
        case Fault.TO_METADATA:
            return redirect(METADATA)
        case Fault.BOMB:
            return lambda: Reply(_bomb(), "image/jpeg", headers={"Content-Encoding": "gzip"})
        case Fault.MISTYPED:
            return _drawn(planted, type=HTML)
        case Fault.OPTED_OUT:
            return _drawn(planted, headers={"X-Robots-Tag": "noimageai"})
        case Fault.HEADERS:
            return _drawn(planted, headers={f"X-Filler-{i}": "x" * 190 for i in range(2000)})
        case kind:
            return _drawn(planted, delivery=_DELIVERIES.get(kind, Delivery.WHOLE))


def _drawn(planted: Planted, **changes: Any) -> Answer:
    """Answer with the planted picture, which is not drawn before it is asked for."""

    def answer() -> Reply:
        tag = f'"{planted.product.handle}"'
        reply = Reply(planted.data, "image/jpeg", etag=tag, modified=planted.product.updated)
        return replace(reply, **changes)

    return answer


def _page_scripts(planted: Planted, render: Render) -> dict[str, Script]:
    """Give what is odd about the page of a planted product, or about where it leads."""
    product = planted.product

    def sound(shown: Product = product) -> Reply:
        return page(render(shown), product.updated)

    match planted.fault:
        case Fault.PAGE_MOVED:
            now = replace(product, handle=f"{product.handle}-now")
            return {product.path: InTurn(redirect(now.path, 301)), now.path: InTurn(sound(now))}
        case Fault.PAGE_HEALS:
            return {product.path: InTurn(error(500), error(500), sound())}
        case Fault.BAD_MARKUP:
            broken = sound().body.decode().replace("</head>", f"{_BROKEN}</head>", 1)
            return {product.path: InTurn(page(broken, product.updated))}
        case Fault.NOFOLLOW:
            unlisted = replace(product, handle=UNLISTED, robots="", links=())
            return {unlisted.path: InTurn(sound(unlisted))}
        case _:
            return {}


_BROKEN: Final = (
    '<script type="application/ld+json">{"@context": "https://schema.org", "@type": "Product", '
    '"name": "Half a description", "image": ["</script>\n'
)
