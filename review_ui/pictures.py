"""Pictures for the page: bytes that we encoded ourselves, never those that were scraped."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple

import pyarrow.compute as pc
from sqlalchemy import Row, select

from data_catalog.catalog import Catalog
from data_catalog.errors import StorageError
from data_catalog.packs import PackRef, PackStore
from review_ui.errors import NotFoundError
from review_ui.store.database import Database
from review_ui.store.models import review_item

Kind = Literal["thumb", "standard", "original"]

# Of originals that were decoded and encoded again; the others cost one read each.
_KEPT_BYTES: Final = 64 << 20
_PLACES: Final = 20_000

_TYPES: Final = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))


class _Place(NamedTuple):
    """Where the pictures of an item are; columns of `review_item`."""

    image_id: str
    recipe: str
    raw_pack: str
    raw_offset: int
    raw_length: int
    pack: str
    offset: int
    length: int
    thumb_offset: int
    thumb_length: int


_PLACE: Final = _Place._fields
_IN_FEATURES: Final = ("pack", "offset", "length", "thumb_offset", "thumb_length")


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
        self._places: OrderedDict[tuple[int, str], _Place] = OrderedDict()
        self._standard: dict[str, PackStore] = {}
        self._lock = threading.Lock()

    def find(self, database: Database, build: int, item: str, kind: Kind) -> tuple[bytes, str]:
        """Give the bytes of a picture of an item, and their media type.

        Raises
        ------
        NotFoundError
            If the build has no such item, or it was forgotten since.
        StorageError
            If the pack is gone.
        """
        place = self._place(database, build, item)
        try:
            return self._give(place, kind)
        except StorageError:
            return self._give(self._moved(build, item, place), kind)

    def at_hand(self, build: int, item: str, kind: Kind) -> tuple[bytes, str] | None:
        """Give a picture that costs no more than a short read of a local file; else None."""
        place = self._places.get((build, item))
        if place is None or kind == "original" or not self._catalog.root.is_local:
            return None
        try:
            return self._read(place, kind)
        except StorageError:
            return None

    def remember(self, build: int, rows: Iterable[Row[Any]]) -> None:
        """Note where the pictures of items are that are about to be shown."""
        with self._lock:
            for row in rows:
                self._places[build, row.item_id] = _Place(*(getattr(row, name) for name in _PLACE))
            self._shorten()

    def _give(self, place: _Place, kind: Kind) -> tuple[bytes, str]:
        if kind == "original":
            return self._original(place), "image/jpeg"
        return self._read(place, kind)

    def _moved(self, build: int, item: str, place: _Place) -> _Place:
        """Look in the catalog where pictures are now: packs are rewritten when one is forgotten."""
        is_item = (pc.field("item_id") == item) & (pc.field("recipe") == place.recipe)
        is_image = pc.field("image_id") == place.image_id
        standard = self._catalog.table("features").read(list(_IN_FEATURES), is_item).to_pylist()
        raw = self._catalog.table("images").read(["pack", "offset", "length"], is_image).to_pylist()
        if not standard or not raw:
            raise NotFoundError(f"the catalog holds no picture of {item[:80]} any more")
        found = _Place(place.image_id, place.recipe, *raw[0].values(), *standard[0].values())
        with self._lock:
            self._places[build, item] = found
        return found

    def _read(self, place: _Place, kind: Kind) -> tuple[bytes, str]:
        store = self._standard.get(place.recipe)
        if store is None:
            store = self._standard[place.recipe] = self._catalog.standard(place.recipe)
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

    def _place(self, database: Database, build: int, item: str) -> _Place:
        known = self._places.get((build, item))
        if known is not None:
            return known
        query = select(*(review_item.c[name] for name in _PLACE)).where(
            review_item.c.build == build, review_item.c.item_id == item
        )
        with database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFoundError(f"the build under review has no item {item[:80]}")
        place = _Place(*row)
        with self._lock:
            self._places[build, item] = place
            self._shorten()
        return place

    def _shorten(self) -> None:
        while len(self._places) > _PLACES:
            self._places.popitem(last=False)

    def _original(self, place: _Place) -> bytes:
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
