"""How the addresses answer that have to do with a fault."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from time import monotonic
from typing import Any, Final, TypeAlias

from curation.localshop.faults import (
    BAD_PAGES,
    LOCAL_FILE,
    METADATA,
    UNLISTED,
    Fault,
    Faults,
    Planted,
)
from curation.localshop.plan import PRODUCTS, Product
from curation.localshop.replies import HTML, Answer, Delivery, Reply, error, page, redirect

# Answers one request; it may answer the next to the same address in another way.
Script: TypeAlias = Callable[[], Answer]
Render: TypeAlias = Callable[[Product], str]

_UPDATED: Final = 1_700_000_000
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
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class AfterWait:
    """Asks the first who comes to wait, and everyone else until that time is over."""

    def __init__(self, seconds: int, answer: Answer) -> None:
        self._seconds, self._answer = seconds, answer
        self._until: float | None = None

    def __call__(self) -> Answer:
        now = monotonic()
        if self._until is None:
            self._until = now + self._seconds
        if now < self._until:
            return error(429, Retry_After=str(self._seconds))
        return self._answer


def scripts(faults: Faults, render: Render) -> dict[str, Script]:
    """Give the script of each address that does not answer as it should.

    Parameters
    ----------
    faults
        What goes wrong.
    render
        Gives the page of a product.
    """
    found = dict.fromkeys(faults.outside, InTurn(redirect(LOCAL_FILE)))
    found |= {path: InTurn(_bad_page(kind)) for path, kind in faults.bad_pages.items()}
    scripts: dict[str, Script] = {**found}
    for planted in faults.planted:
        scripts.update(_picture_scripts(planted))
        scripts.update(_page_scripts(planted, render))
    return scripts


def _bad_page(kind: Fault) -> Answer:
    match kind:
        case Fault.SITEMAP_ENTITIES:
            return Reply(_ENTITIES.encode(), "application/xml")
        case Fault.SITEMAP_BOMB:
            return lambda: Reply(_bomb(), "application/gzip")
        case _:
            return error(404)


# --------------------------------------------------------------------------------------- pictures


def _picture_scripts(planted: Planted) -> Iterator[tuple[str, Script]]:
    answers = _picture_answers(planted)
    if isinstance(answers, AfterWait):
        yield planted.image, answers
    yield planted.image, answers


def _drawn(planted: Planted, **changes: Any) -> Answer:
    """Answer with the planted picture, which is not drawn before it is asked for."""
    return lambda: replace(
        Reply(
            planted.data, "image/jpeg", etag=f'"{planted.product.handle}"', modified=_UPDATED
        ),
        **changes,
    )
