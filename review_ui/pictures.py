"""Pictures for the page: bytes that we encoded ourselves, never those that were scraped."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeVar

import pyarrow.compute as pc
from anyio import CapacityLimiter
from sqlalchemy import Row, select

from data_catalog.catalog import Catalog
from data_catalog.errors import StorageError
from data_catalog.packs import PackRef, PackStore
from data_catalog.tables import Table
from review_ui.errors import NotFoundError
from review_ui.store.database import Database
from review_ui.store.models import review_item

Kind = Literal["thumb", "standard", "original"]

# Of originals that were decoded and encoded again; the others cost one read each.
_KEPT_BYTES: Final = 64 << 20
_PLACES: Final = 20_000
# Of originals that could not be shown, for so long: a time-out may pass.
_FAILED: Final = 1_000
_FAILED_HOLDS: Final = 300.0  # seconds
# A hostile one may take a minute. They have threads of their own, so that those of others are left.
_ORIGINALS: Final = 4

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_TYPES: Final = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))


class _Place(NamedTuple):
    """Where the pictures of an item are; columns of `review_item`."""

    item_id: str
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
_IN_IMAGES: Final = ("pack", "offset", "length")
_ALL: Final = pc.scalar(True)


class Pictures:
    """Reads thumbnails and standardized pictures out of packs, and has originals rendered.

    Parameters
    ----------
    render
        Decodes bytes from outside and encodes them as JPEG.

    Attributes
    ----------
    limiter
        Of the threads in which originals are found.
    """

    def __init__(self, catalog: Catalog, render: Callable[[bytes], bytes]) -> None:
        self._catalog, self._render = catalog, render
        self.limiter = CapacityLimiter(_ORIGINALS)
        self._rendered: OrderedDict[str, bytes] = OrderedDict()
        self._rendered_bytes = 0
        self._failed: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._places: OrderedDict[tuple[int, str], _Place] = OrderedDict()
        # Where pictures are since their packs were rewritten, by recipe and item, or by image:
        # what pages say is as old as the build.
        self._moved: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
        self._standard: dict[str, PackStore] = {}
        self._lock = threading.Lock()
        self._seeking = threading.Lock()

    def find(self, database: Database, build: int, item: str, kind: Kind) -> tuple[bytes, str]:
        """Give the bytes of a picture of an item, and their media type.

        Raises
        ------
        NotFoundError
            If the build has no such item, it was forgotten since, or cannot be shown.
        StorageError
            If the pack is gone.
        """
        said = self._place(database, build, item)
        place = self._now(said)
        try:
            return self._give(place, kind)
        except StorageError:
            with self._seeking:
                # Others of the same pack may have waited while it was found.
                if self._now(said) == place:
                    self._seek(place, kind)
            return self._give(self._now(said), kind)

    def at_hand(self, build: int, item: str, kind: Kind) -> tuple[bytes, str] | None:
        """Give a picture that costs no more than a short read of a local file; else None."""
        said = self._places.get((build, item))
        if said is None or not self._catalog.root.is_local:
            return None
        place = self._now(said)
        try:
            if kind != "original":
                return self._read(place, kind)
            data = self._known_original(place)
        except StorageError:
            return None
        return None if data is None else (data, "image/jpeg")

    def remember(self, build: int, rows: Iterable[Row[Any]]) -> None:
        """Note where the pictures of items are that are about to be shown."""
        with self._lock:
            for row in rows:
                self._places[build, row.item_id] = _Place(*(getattr(row, name) for name in _PLACE))
            _shorten(self._places, _PLACES)

    def _give(self, place: _Place, kind: Kind) -> tuple[bytes, str]:
        if kind == "original":
            return self._original(place), "image/jpeg"
        return self._read(place, kind)

    def _now(self, place: _Place) -> _Place:
        """Give a place with what is known to have moved since."""
        standard = self._moved.get((place.recipe, place.item_id), {})
        raw = self._moved.get(("", place.image_id), {})
        return place._replace(**standard, **raw) if standard or raw else place

    def _seek(self, place: _Place, kind: Kind) -> None:
        """Look in the catalog where a picture is now: packs are rewritten when one is forgotten.

        What is in the same pack as it has moved with it, and is noted too.
        """
        if kind == "original":
            found = _beside(
                self._catalog.table("images"), "image_id", place.image_id, _IN_IMAGES, _ALL
            )
            moved = {
                ("", image): {f"raw_{name}": value for name, value in row.items()}
                for image, row in found.items()
            }
        else:
            mine = pc.field("recipe") == place.recipe
            found = _beside(
                self._catalog.table("features"), "item_id", place.item_id, _IN_FEATURES, mine
            )
            moved = {(place.recipe, item): row for item, row in found.items()}
        if not moved:
            raise NotFoundError(f"the catalog holds no picture of {place.item_id[:80]} any more")
        with self._lock:
            self._moved.update(moved)
            _shorten(self._moved, _PLACES)

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
            for kept in (self._rendered, self._failed, self._places, self._moved):
                kept.clear()
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
            _shorten(self._places, _PLACES)
        return place

    def _original(self, place: _Place) -> bytes:
        known = self._known_original(place)
        if known is not None:
            return known
        ref = PackRef(place.raw_pack, place.raw_offset, place.raw_length)
        came = self._catalog.raw.read(ref)
        try:
            data = self._render(came)
        except NotFoundError as error:
            with self._lock:
                self._failed[place.image_id] = str(error), time.monotonic() + _FAILED_HOLDS
                _shorten(self._failed, _FAILED)
            raise
        with self._lock:
            if place.image_id not in self._rendered:
                self._rendered[place.image_id] = data
                self._rendered_bytes += len(data)
            while self._rendered_bytes > _KEPT_BYTES:
                self._rendered_bytes -= len(self._rendered.popitem(last=False)[1])
        return data

    def _known_original(self, place: _Place) -> bytes | None:
        """Give what was rendered before; None where nothing was.

        Raises
        ------
        NotFoundError
            If it could not be rendered a moment ago.
        StorageError
            If its pack is gone: the picture may have been forgotten.
        """
        with self._lock:
            failed, until = self._failed.get(place.image_id, ("", 0.0))
            known = self._rendered.get(place.image_id)
            if known is not None:
                self._rendered.move_to_end(place.image_id)
        if time.monotonic() < until:
            raise NotFoundError(failed)
        if known is not None and not self._catalog.raw.root.exists(place.raw_pack):
            raise StorageError(f"{self._catalog.raw.root.join(place.raw_pack)} is gone")
        return known


def _beside(
    table: Table, key: str, value: str, columns: Sequence[str], where: pc.Expression
) -> dict[str, dict[str, Any]]:
    """Give `columns` of all rows in the same pack as the row with this key, by their keys."""
    mine = table.read(["pack"], where & (pc.field(key) == value)).to_pylist()
    if not mine:
        return {}
    together = where & (pc.field("pack") == mine[0]["pack"])
    return {row.pop(key): row for row in table.read([key, *columns], together).to_pylist()}


def _shorten(kept: OrderedDict[K, V], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)


def _type(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _TYPES if data.startswith(magic)), "image/jpeg")
