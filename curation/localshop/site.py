"""From the target of a request to what is answered."""

from __future__ import annotations

import io
import random
import re
from functools import partial
from typing import Final
from urllib.parse import parse_qsl, unquote

from PIL import Image

from curation.localshop.faults import Faults
from curation.localshop.pages import PRIVATE, SAMPLES, STYLESHEET, Pages, stylesheet
from curation.localshop.pictures import Pictures, smaller, type_of
from curation.localshop.plan import COLLECTIONS, MEDIA, Shop, media_name, media_path, slug
from curation.localshop.replies import Answer, Reply, error, page
from curation.localshop.scripts import scripts

_SUFFIXED: Final = re.compile(r"(.+)_(\d{2,4})x(\.[A-Za-z]{3,4})", re.DOTALL)
_XML: Final = "application/xml; charset=utf-8"
_JSON: Final = "application/json; charset=utf-8"
_FEED_DEFAULT: Final = 30  # products on a page of the feed that names no limit
# A visitor may ask for any number of searches and feeds; only so many answers are kept.
_KEPT: Final = 20_000


class Site:
    """All that the server has to say.

    Used by one thread only, but for the answers that are callables.
    """

    def __init__(self, shop: Shop, pictures: Pictures, base: str, faults: Faults) -> None:
        self._pictures = pictures
        self._names = {media_path(name): name for name in pictures.names}
        self._products = {p.path: p for p in shop.products}
        self._collections = {COLLECTIONS + slug(name): name for name in shop.collections}
        bad = faults.bad_pages
        sitemaps = tuple(path for path in bad if path.startswith("/sitemaps/"))
        others = tuple(path for path in bad if path not in sitemaps)
        self._pages = Pages(shop, base, self._width, sitemaps, others)
        self._scripts = scripts(faults, self._pages.product)
        self._ready: dict[str, Reply] = {}

    def answer(self, target: str) -> Answer:
        """Answer a request for a path with its query."""
        ready = self._ready.get(target)
        if ready is not None:
            return ready
        path, _, parameters = target.partition("?")
        script = self._scripts.get(path)
        if script is not None:
            return script()
        query = dict(parse_qsl(parameters))
        if path.startswith(MEDIA):
            return self._media(path, query)
        reply = self._page(path, query)
        if reply is None:
            missing = page(self._pages.missing(unquote(path)))
            return Reply(missing.body, status=404)
        if not parameters or len(self._ready) < _KEPT:
            self._ready[target] = reply
        return reply

    # ------------------------------------------------------------------------------------ pages

    def _page(self, path: str, query: dict[str, str]) -> Reply | None:
        product = self._products.get(path)
        if product is not None:
            return page(self._pages.product(product), product.updated)
        if path.startswith(COLLECTIONS):
            return self._collection(path, query)
        match path:
            case "/":
                return page(self._pages.home())
            case "/search":
                return page(self._pages.search(query.get("q", "")))
            case "/pages/about":
                return page(self._pages.about())
            case "/robots.txt":
                return page(self._pages.robots(), type="text/plain; charset=utf-8")
            case "/products.json":
                limit, number = _number(query, "limit", _FEED_DEFAULT), _number(query, "page", 1)
                return page(self._pages.feed(number, limit), type=_JSON)
            case "/sitemap.xml":
                return page(self._pages.sitemap_index(), type=_XML)
            case _ if path == STYLESHEET:
                return page(stylesheet(), type="text/css; charset=utf-8")
            case _ if path in self._pages.sitemap_paths():
                kind = "application/gzip" if path.endswith(".gz") else _XML
                return page(self._pages.sitemap(path), type=kind)
            case _ if path == PRIVATE:
                return page(self._pages.private())
            case _ if path in SAMPLES:
                return page(_sample(SAMPLES.index(path)), type="image/png")
        return None

    def _collection(self, path: str, query: dict[str, str]) -> Reply | None:
        name = self._collections.get(path)
        if name is None:
            return None
        number = _number(query, "page", 1)
        text = self._pages.collection(name, number, query.get("sort_by", ""))
        return None if text is None else page(text)

    # --------------------------------------------------------------------------------- pictures

    def _width(self, path: str) -> int | None:
        name = self._names.get(path)
        return None if name is None else self._pictures.width(name)

    def _media(self, path: str, query: dict[str, str]) -> Answer:
        name, width = media_name(path), _number(query, "width", 0)
        if media_path(name) not in self._names:
            match = _SUFFIXED.fullmatch(name)
            if match is None:
                return error(404)
            name, width = match[1] + match[3], int(match[2])
        try:
            picture = self._pictures.read(name)
        except OSError:
            return error(404)
        own = self._pictures.width(name) if width else None
        if own is None or width >= own:
            return Reply(picture.data, type_of(name), etag=picture.etag, modified=picture.modified)
        return partial(self._smaller, name, width)

    def _smaller(self, name: str, width: int) -> Reply:
        try:
            picture = self._pictures.read(name)
        except OSError:
            return error(404)
        tag = f'{picture.etag[:-1]}-{width}"'
        data = smaller(picture.data, width)
        return Reply(data, type_of(name), etag=tag, modified=picture.modified)


def _number(query: dict[str, str], key: str, default: int) -> int:
    """Read a parameter; whatever is no small number means the default."""
    text = query.get(key, "")
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else default


def _sample(number: int) -> bytes:
    """Paint one of the pictures that nobody but staff should see."""
    rng = random.Random(number)
    colour = tuple(rng.randrange(60, 220) for _ in range(3))
    buffer = io.BytesIO()
    Image.new("RGB", (480, 600), colour).save(buffer, "PNG")
    return buffer.getvalue()
