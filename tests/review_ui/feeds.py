"""Builds that were never made: feeds of the review page with as many items as a test wants."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from data_catalog.reviewing import REVIEWED, QueueInfo
from data_catalog.schema import Reason
from review_ui.feed import Feed

BUILT_AT = datetime(2026, 1, 31, 12, tzinfo=UTC)

QUEUES = (
    QueueInfo(
        reason=Reason.BLURRED,
        title="Blurred",
        meaning="Even its strongest edges are wide.",
        action="flag",
        kind="items",
        measure="sharpness",
        unit="",
        order="low",
        limit=0.55,
    ),
    QueueInfo(
        reason=Reason.BUSY_BACKGROUND,
        title="Busy background",
        meaning="There is more behind it than a studio has.",
        action="flag",
        kind="items",
        measure="background complexity",
        unit="",
        order="high",
        limit=0.6,
    ),
    *(
        QueueInfo(
            reason=reason,
            title=reason.value,
            meaning="A copy.",
            action="reject",
            kind="clusters",
            measure="distance",
            unit="",
            order="high",
            limit=None,
        )
        for reason in (Reason.PIXEL_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.COLOURWAY)
    ),
)


def item_id(name: object) -> str:
    """Give the id of an item by a short name."""
    return hashlib.sha256(str(name).encode()).hexdigest()


def found(reason: Reason, value: float | None = None, limit: float | None = None) -> dict[str, Any]:
    """Give the evidence of one rule."""
    info = next(info for info in QUEUES if info.reason is reason)
    return {
        "reason": reason.value,
        "title": info.title,
        "meaning": info.meaning,
        "action": info.action,
        "measure": info.measure,
        "value": value,
        "limit": limit,
        "breaks": "<" if info.order == "low" else ">",
        "text": f"{info.measure} {value}",
    }


@dataclass(frozen=True)
class Item:
    """One item of a feed, by a short name; `columns` overrides what is made up."""

    name: object
    evidence: tuple[Mapping[str, Any], ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Give it as a row of `REVIEWED`."""
        actions = {found["action"] for found in self.evidence}
        rule = "rejected" if "reject" in actions else "flagged" if actions else "accepted"
        name = item_id(self.name)
        return {
            "item_id": name,
            "image_id": name,
            "rule": rule,
            "evidence": list(self.evidence),
            "title": None,
            "source": "shop",
            "label": None,
            "brand": None,
            "tags": [],
            "locator": f"{self.name}.jpg",
            "page": None,
            "observed_at": BUILT_AT,
            "width": 400,
            "height": 533,
            "file_bytes": 20_000,
            "score": None,
            "pixels": name,
            "phash": int(name[:15], 16),
            "duplicate": None,
            "relation": None,
            "distance": None,
            "colourway": None,
            "colourway_rank": None,
            "raw_pack": "raw",
            "raw_offset": 0,
            "raw_length": 1,
            "pack": "pack",
            "offset": 0,
            "length": 1,
            "thumb_offset": 0,
            "thumb_length": 1,
            "standard_hash": name,
            "standard_ratio": 0.75,
            **self.columns,
        }


def blurred(name: object, value: float, **columns: Any) -> Item:
    """Give an item that the rule against blur has flagged."""
    return Item(name, (found(Reason.BLURRED, value, 0.55),), columns)


def copy_of(name: object, keeper: object, distance: float = 0.1, **columns: Any) -> Item:
    """Give a near duplicate of another item."""
    return Item(
        name,
        (found(Reason.NEAR_DUPLICATE, distance),),
        {
            "duplicate": item_id(keeper),
            "relation": Reason.NEAR_DUPLICATE.value,
            "distance": distance,
            **columns,
        },
    )


def pixel_copy_of(name: object, keeper: object, **columns: Any) -> Item:
    """Give a copy of another item with the very same pixels."""
    return Item(
        name,
        (found(Reason.PIXEL_DUPLICATE, 0.0),),
        {
            "duplicate": item_id(keeper),
            "relation": Reason.PIXEL_DUPLICATE.value,
            "distance": 0.0,
            "pixels": item_id(keeper),
            **columns,
        },
    )


def feed(items: Iterable[Item], build: str = "build-1", batch: int = 1_000) -> Feed:
    """Give a build of these items."""
    rows = [item.row() for item in items]
    table = pa.Table.from_pylist(rows, schema=REVIEWED)
    return Feed(
        build=build,
        built_at=BUILT_AT,
        recipe="recipe",
        queues=QUEUES,
        items=iter(table.to_batches(max_chunksize=batch)),
        total=len(rows),
    )
