"""Pictures for the page: bytes that we encoded ourselves, never those that were scraped."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Literal

from sqlalchemy import Row, select

from data_catalog.catalog import Catalog
from data_catalog.packs import PackRef
from review_ui.errors import NotFoundError
from review_ui.store.database import Database
from review_ui.store.models import review_item

Kind = Literal["thumb", "standard", "original"]

# Of originals that were decoded and encoded again; the others cost one read each.
_KEPT_BYTES: Final = 64 << 20
_PLACES: Final = 20_000

_TYPES: Final = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))


class Pictures:
    """Reads thumbnails and standardized pictures out of packs, and has originals rendered.

    Parameters
    ----------
    render
        Decodes bytes from outside and encodes them as JPEG.
    """

    def __init__(self, catalog: Catalog, render: Callable[[bytes], bytes]) -> None:
        self._catalog, self._render = catalog, render
        self._rendered: OrderedDict[str, bytes] = OrderedDict()
        self._rendered_bytes = 0
        self._places: OrderedDict[tuple[int, str], Row[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, database: Database, build: int, item: str, kind: Kind) -> tuple[bytes, str]:
        """Give the bytes of a picture of an item, and their media type.

        Raises
        ------
        NotFoundError
            If the build has no such item.
        StorageError
            If the pack is gone.
        """
        place = self._place(database, build, item)
        if kind == "original":
            return self._original(place), "image/jpeg"
        store = self._catalog.standard(place.recipe)
        if kind == "thumb":
            ref = PackRef(place.pack, place.thumb_offset, place.thumb_length)
        else:
            ref = PackRef(place.pack, place.offset, place.length)
        data = store.read(ref)
        return data, _type(data)

    def close(self) -> None:
        """Forget what is kept."""
        with self._lock:
            self._rendered.clear()
            self._places.clear()
            self._rendered_bytes = 0

    def _place(self, database: Database, build: int, item: str) -> Row[Any]:
        with self._lock:
            known = self._places.get((build, item))
        if known is not None:
            return known
        columns = (
            "image_id",
            "recipe",
            "raw_pack",
            "raw_offset",
            "raw_length",
            "pack",
            "offset",
            "length",
            "thumb_offset",
            "thumb_length",
        )
        query = select(*(review_item.c[name] for name in columns)).where(
            review_item.c.build == build, review_item.c.item_id == item
        )
        with database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFoundError(f"the build under review has no item {item[:80]}")
        with self._lock:
            self._places[build, item] = row
            while len(self._places) > _PLACES:
                self._places.popitem(last=False)
        return row

    def _original(self, place: Row[Any]) -> bytes:
        with self._lock:
            known = self._rendered.get(place.image_id)
            if known is not None:
                self._rendered.move_to_end(place.image_id)
                return known
        ref = PackRef(place.raw_pack, place.raw_offset, place.raw_length)
        data = self._render(self._catalog.raw.read(ref))
        with self._lock:
            if place.image_id not in self._rendered:
                self._rendered[place.image_id] = data
                self._rendered_bytes += len(data)
            while self._rendered_bytes > _KEPT_BYTES:
                self._rendered_bytes -= len(self._rendered.popitem(last=False)[1])
        return data


def _type(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _TYPES if data.startswith(magic)), "image/jpeg")
